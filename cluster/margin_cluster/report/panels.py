"""Pages made of panels: the common form of the reports of studies."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from margin_cluster.report import figures
from margin_cluster.report.identity import ReportIdentity
from margin_cluster.report.page import base_values, environment

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
    figure: go.Figure | None = None
    columns: tuple[str, ...] = ()
    rows: list[list[Cell]] = field(default_factory=list[list[Cell]])


def study_page(
    title: str,
    subtitle: str,
    panels: Sequence[Panel],
    *,
    identity: ReportIdentity,
    verdict: Sequence[str] = (),
    signatures: Sequence[str] = (),
) -> str:
    """Return the HTML page of a study.

    Parameters
    ----------
    title, subtitle : str
    panels : sequence of Panel
    identity : ReportIdentity
    verdict : sequence of str
        Sentences at the top of the page: the result first.
    signatures : sequence of str
        Roles of those who sign the page; each has a line for name, date and signature at its end.
    """
    drawn = {f"figure-{i}": p.figure for i, p in enumerate(panels, 1) if p.figure is not None}
    return (
        environment()
        .get_template("study.html.j2")
        .render(
            title=title,
            subtitle=subtitle,
            panels=panels,
            verdict=verdict,
            signatures=signatures,
            **base_values(identity, drawn),
        )
    )
