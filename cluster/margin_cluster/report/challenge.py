"""HTML page of a challenge."""

from collections.abc import Sequence

import plotly.graph_objects as go

from margin_actors.engine.challenge import ChallengeResult
from margin_cluster.report import figures
from margin_cluster.report.identity import ReportIdentity
from margin_cluster.report.panels import COLOURS, Cell, Panel, study_page
from margin_cluster.sources import ChallengeRecord

_LEGS_SHOWN = 200


def challenge_html(
    found: ChallengeResult,
    *,
    identity: ReportIdentity,
    earlier: Sequence[ChallengeRecord] = (),
) -> str:
    """Return the HTML page of a challenge; its title is the verdict.

    `earlier` are the recorded challenges, of which those of the same snapshot and limits are shown.
    """
    synthetic = "; SYNTHETIC DATA" if found.snapshot.is_synthetic else ""
    panels = [_summary(found)]
    if found.worst:
        panels += [_components(found), *_portfolios(found)]
    panels += [_families(found), _moves(found)]
    history = _history(found, earlier)
    if history is not None:
        panels.append(history)
    return study_page(
        found.verdict,
        f"Challenge of {found.model.name} version {found.model.version} on the market of "
        f"{found.snapshot.time:%Y-%m-%d %H:%M} UTC{synthetic}",
        panels,
        identity=identity,
    )


def _summary(found: ChallengeResult) -> Panel:
    """Return what was searched, and the best result of each method."""
    limits = found.limits
    said = [
        f"{found.contracts:,} contracts",
        f"each at most {100 * limits.open_interest_share:g} % of its open interest",
        f"plausible loss of at least {limits.loss_min_usd:,.0f} USD",
    ]
    if limits.gross_usd is not None:
        said.append(f"gross notional of at most {limits.gross_usd:,.0f} USD")
    if limits.legs_max is not None:
        said.append(f"at most {limits.legs_max} contracts in a portfolio")
    text = "; ".join(said) + "."
    if found.ratio_bound is not None:
        text += (
            f" The linear programs prove that no portfolio within the limits has less than "
            f"{found.ratio_bound:.2g}."
        )
    rows = [
        [Cell(method), Cell(f"{found.evaluated[method]:,}"), _ratio(found.best_of_method[method])]
        for method in found.best_of_method
    ]
    return Panel("The search", text, None, ("method", "portfolios", "smallest ratio"), rows)


def _ratio(ratio: float) -> Cell:
    if ratio == float("inf"):
        return Cell("none")
    return Cell(f"{ratio:.3g}", "red" if ratio < 0.5 else "")


def _components(found: ChallengeResult) -> Panel:
    """Return the requirement of each of the worst portfolios by component."""
    names = [f"{rank}" for rank in range(1, len(found.worst) + 1)]
    figure = go.Figure()
    used = [
        n for n in found.worst[0].components_usd if any(p.components_usd[n] for p in found.worst)
    ]
    for k, name in enumerate(used):
        figure.add_bar(
            x=names,
            y=[100 * p.components_usd[name] / p.loss_usd for p in found.worst],
            name=name.replace("_", " "),
            marker_color=COLOURS[k % len(COLOURS)],
        )
    figure.update_layout(barmode="stack")
    rows = [
        [
            Cell(f"{rank}"),
            _ratio(p.ratio),
            Cell(f"{p.requirement_usd:,.0f}"),
            Cell(f"{p.loss_usd:,.0f}"),
            Cell(f"{p.gross_usd:,.0f}"),
            Cell(f"{len(p.quantities)}"),
            Cell(p.portfolio.method, "l"),
            Cell(p.move, "l long"),
            Cell(p.missed, "l long"),
        ]
        for rank, p in enumerate(found.worst, 1)
    ]
    return Panel(
        "The worst portfolios and what missed their losses",
        "Components of the requirement as a share of the largest plausible loss, by rank; amounts "
        "in US dollars.",
        figures.finish(figure, height=340, x="rank", y="% of the loss"),
        ("rank", "ratio", "requirement", "loss", "gross", "legs", "method", "move", "what missed"),
        rows,
    )


def _portfolios(found: ChallengeResult) -> list[Panel]:
    """Return the positions of the worst portfolios, one panel each."""
    panels: list[Panel] = []
    for rank, item in enumerate(found.worst, 1):
        legs = sorted(item.quantities.items(), key=lambda leg: (-abs(leg[1]), leg[0]))
        rows = [[Cell(name), Cell(f"{quantity:+,g}")] for name, quantity in legs[:_LEGS_SHOWN]]
        losses = ", ".join(f"{move}: {loss:,.0f}" for move, loss in item.losses_usd.items())
        panels.append(
            Panel(
                f"Portfolio {rank}: {item.portfolio.label}",
                f"Largest plausible losses in US dollars: {losses}.",
                None,
                ("instrument", "quantity"),
                rows,
            )
        )
    return panels


def _families(found: ChallengeResult) -> Panel:
    rows = [
        [
            Cell(f.family),
            Cell(f"{f.portfolios:,}"),
            Cell("none") if f.worst is None else _ratio(f.worst.ratio),
            Cell("" if f.worst is None else f"{f.worst.requirement_usd:,.0f}"),
            Cell("" if f.worst is None else f"{f.worst.loss_usd:,.0f}"),
            Cell("" if f.worst is None else f.worst.portfolio.label, "l long"),
            Cell("" if f.worst is None else f.worst.move, "l long"),
        ]
        for f in found.families
    ]
    return Panel(
        "Known families",
        "The smallest ratio within each family; amounts in US dollars.",
        None,
        ("family", "portfolios", "ratio", "requirement", "loss", "worst", "move"),
        rows,
    )


def _moves(found: ChallengeResult) -> Panel:
    """Return all plausible moves, with the smallest requirement per loss in each of them."""
    ratios = found.ratio_of_move.tolist()
    rows = [
        [Cell(name), _ratio(ratio)] for name, ratio in zip(found.moves.names, ratios, strict=True)
    ]
    return Panel(
        "Plausible moves",
        "Every portfolio is revalued in each of them; the ratio is the smallest requirement per "
        "loss in the move, of all portfolios evaluated.",
        None,
        ("move", "smallest ratio"),
        rows,
    )


def _history(found: ChallengeResult, earlier: Sequence[ChallengeRecord]) -> Panel | None:
    """Return the recorded results on the same snapshot and within the same limits, if any."""
    limits = found.limits
    own = (
        found.snapshot.id,
        limits.open_interest_share,
        limits.gross_usd,
        limits.legs_max,
        limits.loss_min_usd,
    )
    rows = [
        [
            Cell(r.model_name),
            Cell(r.model_version, "l"),
            Cell("none") if r.ratio is None else _ratio(r.ratio),
            Cell(r.move, "l long"),
            Cell(f"{r.recorded_at:%Y-%m-%d %H:%M}"),
        ]
        for r in earlier
        if (r.snapshot_id, r.open_interest_share, r.gross_usd, r.legs_max, r.loss_min_usd) == own
    ]
    if not rows:
        return None
    return Panel(
        "Recorded challenges",
        "Smallest ratios on this market within these limits, by model and version.",
        None,
        ("model", "version", "smallest ratio", "move", "recorded"),
        rows,
    )
