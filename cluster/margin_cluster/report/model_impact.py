"""HTML page of the impact of a new model version, for a risk committee."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from margin_actors.engine.backtest import ImpactResponse, ModelImpact
from margin_actors.engine.parameters.versions import Change
from margin_cluster.report import figures
from margin_cluster.report.formats import millions, minute, percent, signed, usd
from margin_cluster.report.identity import ReportIdentity
from margin_cluster.report.panels import Cell, Panel, study_page

SIGNATORIES = ("Head of model validation", "Chief risk officer", "Chair of the risk committee")
"""Roles of those who sign the page."""
_MOVERS_SHOWN = 25
_DEFICITS_SHOWN = 100


@dataclass(frozen=True)
class ImpactPage:
    """What the page shows besides the requirements."""

    old: str
    """Name and version."""
    new: str
    verdict: Sequence[str]
    changes: Sequence[Change]
    response: ImpactResponse | None
    challenge: tuple[float | None, float | None]


def impact_html(impact: ModelImpact, page: ImpactPage, *, identity: ReportIdentity) -> str:
    """Return the page of a model impact report."""
    last = impact.time.size - 1
    panels = [
        _totals(impact, page),
        _components(impact, last, page),
        _movers(impact, last, page),
        _members(impact, last, page),
        _distribution(impact),
        _deficits(impact, last),
        _response(page),
        _changes(page),
    ]  # fmt: skip
    first = minute(impact.time[0])
    span = first if impact.time.size == 1 else f"{first} to {minute(impact.time[last])}"
    return study_page(
        "Impact of a model change",
        f"{page.old} to {page.new}; {len(impact.accounts):,} accounts, {span}",
        [p for p in panels if p.rows or p.figure],
        identity=identity,
        verdict=page.verdict,
        signatures=SIGNATORIES,
    )


def _totals(impact: ModelImpact, page: ImpactPage) -> Panel:
    sums = [impact.total(d) for d in range(impact.time.size)]
    rows = [
        [
            Cell(minute(impact.time[d])),
            Cell(f"{int(np.isfinite(impact.old_usd[d]).sum()):,}"),
            Cell(millions(old)),
            Cell(millions(new)),
            Cell(millions(new - old)),
            Cell(signed(new / old - 1.0) if old else ""),
        ]
        for d, (old, new) in enumerate(sums)
    ]
    figure = None
    if len(sums) > 1:
        drawn = go.Figure()
        x = [minute(t) for t in impact.time]
        for k, (name, colour) in enumerate(((page.old, figures.GREY), (page.new, figures.BLUE))):
            y = [s[k] / 1e6 for s in sums]
            drawn.add_scatter(x=x, y=y, name=name, mode="lines+markers", line={"color": colour})
        figure = figures.finish(drawn, height=320, y="million USD")
    return Panel(
        "Requirements of all accounts",
        "Million US dollars.",
        figure,
        ("date", "accounts", page.old, page.new, "change", "relative"),
        rows,
    )


def _components(impact: ModelImpact, date: int, page: ImpactPage) -> Panel:
    totals = impact.component_totals(date)
    ordered = sorted(totals.items(), key=lambda item: item[1][0] - item[1][1])
    figure = go.Figure(
        go.Bar(
            x=[(new - old) / 1e6 for _, (old, new) in ordered],
            y=[name.replace("_", " ") for name, _ in ordered],
            orientation="h",
            marker_color=[figures.RED if b > a else figures.GREEN for _, (a, b) in ordered],
            hovertemplate="%{y}: %{x:+,.2f} M USD<extra></extra>",
        )
    )
    figures.finish(figure, height=90 + 32 * len(ordered), x="change, million USD")
    figure.update_yaxes(autorange="reversed").update_layout(margin={"l": 150})
    rows = [
        [Cell(name.replace("_", " ")), *(Cell(millions(v)) for v in (a, b, b - a))]
        for name, (a, b) in ordered
    ]
    return Panel(
        f"Change by component on {minute(impact.time[date])}",
        "Sums over all accounts, million US dollars. The changes add up to the change of the "
        "requirements; a component that only one model has counts as 0 in the other.",
        figure,
        ("component", page.old, page.new, "change"),
        rows,
    )


def _movers(impact: ModelImpact, date: int, page: ImpactPage) -> Panel:
    change = np.nan_to_num(impact.change_usd[date])
    order = np.argsort(-np.abs(change), kind="stable")[:_MOVERS_SHOWN].tolist()
    rows: list[list[Cell]] = []
    for a in order:
        old, new = float(impact.old_usd[date, a]), float(impact.new_usd[date, a])
        if change[a] == 0.0:
            continue
        cause, amount = impact.cause(date, a)
        rows.append(
            [
                Cell(impact.accounts[a]),
                Cell(impact.members[a], "l"),
                Cell(usd(old)),
                Cell(usd(new)),
                Cell(usd(new - old), "red" if new > old else "green"),
                Cell(signed(new / old - 1.0) if old > 0.0 else ""),
                Cell(cause.replace("_", " "), "l"),
                Cell(usd(amount)),
            ]
        )
    return Panel(
        "Largest movers",
        f"Accounts with the largest changes on {minute(impact.time[date])}, US dollars, and the "
        "component that changes most.",
        None,
        ("account", "member", page.old, page.new, "change", "relative", "component", "its change"),
        rows,
    )


def _members(impact: ModelImpact, date: int, page: ImpactPage) -> Panel:
    rows: list[tuple[float, list[Cell]]] = []
    for member in dict.fromkeys(impact.members):
        own = np.array([m == member for m in impact.members], np.bool_)
        old, new = (float(np.nansum(v[date, own])) for v in (impact.old_usd, impact.new_usd))
        cells = [Cell(member), Cell(f"{int(own.sum()):,}"), Cell(usd(old)), Cell(usd(new)),
                 Cell(usd(new - old), "red" if new > old else "green"),
                 Cell(signed(new / old - 1.0) if old > 0.0 else "")]  # fmt: skip
        rows.append((-abs(new - old), cells))
    return Panel(
        "Members",
        f"Sums over the accounts of each member on {minute(impact.time[date])}, US dollars.",
        None,
        ("member", "accounts", page.old, page.new, "change", "relative"),
        [cells for _, cells in sorted(rows, key=lambda item: item[0])],
    )


def _distribution(impact: ModelImpact) -> Panel:
    values = 100 * impact.relative
    if values.size == 0:
        return Panel("", "")
    low, high = np.quantile(values, [0.005, 0.995])
    figure = go.Figure(
        go.Histogram(x=np.clip(values, low, high).tolist(), nbinsx=60, marker_color=figures.BLUE)
    )
    shown = ", ".join(
        f"{q:g} %: {np.quantile(values, q / 100):+.1f} %" for q in (5, 25, 50, 75, 95)
    )
    return Panel(
        "Distribution of relative changes",
        f"{values.size:,} pairs of account and date. Percentiles {shown}. Values beyond 0.5 % and "
        "99.5 % are drawn at these.",
        figures.finish(figure, height=300, x="change of the requirement, %", y="account-dates"),
    )


def _deficits(impact: ModelImpact, date: int) -> Panel:
    fallen = np.flatnonzero(impact.falls_into_deficit()[date])
    order = fallen[np.argsort(impact.new_excess_usd[date, fallen], kind="stable")]
    rows = [
        [
            Cell(impact.accounts[a]),
            Cell(impact.members[a], "l"),
            Cell(usd(impact.old_excess_usd[date, a])),
            Cell(usd(impact.new_excess_usd[date, a]), "red"),
            Cell(usd(impact.change_usd[date, a])),
        ]
        for a in order[:_DEFICITS_SHOWN].tolist()
    ]
    return Panel(
        f"Accounts that go into deficit: {fallen.size:,}",
        f"With the given collateral on {minute(impact.time[date])}, US dollars; the largest "
        "deficits first.",
        None,
        ("account", "member", "excess before", "excess after", "change of requirement"),
        rows,
    )


def _response(page: ImpactPage) -> Panel:
    rows: list[list[Cell]] = []
    if page.response is not None:
        r = page.response
        rows += [
            [Cell("95 % of daily changes"), Cell(percent(r.old_change_95)),
             Cell(percent(r.new_change_95))],
            [Cell("peak to trough of the sum"), Cell(f"{r.old_peak_to_trough:.2f}"),
             Cell(f"{r.new_peak_to_trough:.2f}")],
        ]  # fmt: skip
    if any(c is not None for c in page.challenge):
        old, new = ("" if c is None else f"{c:.2f}" for c in page.challenge)
        rows.append([Cell("smallest requirement per plausible loss"), Cell(old), Cell(new)])
    return Panel(
        "Responsiveness and challenge",
        "Requirements of positions in contracts that every date lists; the smallest ratio of "
        "requirement to plausible loss that a challenge found, if one was given.",
        None,
        ("figure", page.old, page.new),
        rows,
    )


def _changes(page: ImpactPage) -> Panel:
    rows = [
        [Cell(c.field), Cell(c.before, "l long"), Cell(c.after, "l long")] for c in page.changes
    ]
    return Panel(
        f"Changed parameters: {len(rows):,}", "All that differ.", None,
        ("parameter", page.old, page.new), rows,
    )  # fmt: skip
