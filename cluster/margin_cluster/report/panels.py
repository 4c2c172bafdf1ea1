"""Pages made of panels: the common form of the reports of studies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from margin_cluster.report import figures
from margin_cluster.report.page import environment

COLOURS = (figures.BLUE, figures.RED, figures.AMBER, figures.GREEN, "#6b4fa0", figures.GREY)


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell."""

    text: str
    kind: str = ""
    """CSS classes, separated by spaces: l (left-aligned), long (wrapped), green, yellow, red."""


@dataclass(frozen=True)
class Panel:
    """A panel of a page: text, with an optional figure and table."""

    title: str
    text: str
    figure: Markup | None = None
    columns: tuple[str, ...] = ()
    rows: list[list[Cell]] = field(default_factory=list[list[Cell]])


def study_page(
    title: str,
    subtitle: str,
    panels: Sequence[Panel],
    *,
    verdict: Sequence[str] = (),
    signatures: Sequence[str] = (),
) -> str:
    """Return the HTML page of a study.

    Parameters
    ----------
    title, subtitle : str
    panels : sequence of Panel
    verdict : sequence of str
        Sentences at the top of the page: the result first.
    signatures : sequence of str
        Roles of those who sign the page; each has a line for name, date and signature at its end.
    """
    return (
        environment()
        .get_template("study.html.j2")
        .render(
            title=title,
            subtitle=subtitle,
            panels=panels,
            verdict=verdict,
            signatures=signatures,
            version=version("margin-cluster"),
            plotly_js=Markup(get_plotlyjs()),  # noqa: S704 - our own dependency's script
        )
    )


def embedded(figure: go.Figure) -> Markup:
    """Return a figure as JSON for a panel."""
    return Markup(figures.as_json(figure))  # noqa: S704 - JSON with its closing tags escaped
