"""HTML page of a backtest of the whole requirement on recorded chains."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from margin_actors.engine.backtest import (
    BENCHMARK,
    CoverageRow,
    GroupDay,
    RequirementHistory,
    Responsiveness,
    exceeded_requirements,
    group_of,
    is_unchanged,
    member_days,
    pooled_coverage,
    responsiveness_of,
)
from margin_actors.engine.backtest.portfolios import DEFINITIONS
from margin_actors.engine.parameters import ModelParameters
from margin_cluster.report import figures
from margin_cluster.report.formats import millions, minute, percent, usd
from margin_cluster.report.identity import ReportIdentity
from margin_cluster.report.panels import COLOURS, Cell, Panel, study_page

_ROWS_SHOWN = 300
_SIGNIFICANT = 0.05
_TESTS = (
    "name", "group", "measure", "covered", "all dates", "windows", "rejected from", "Kupiec p",
    "independence p", "light", "severity", "largest",
)  # fmt: skip


def chain_backtest_html(
    history: RequirementHistory,
    model: ModelParameters,
    *,
    identity: ReportIdentity,
    verdict: Sequence[str],
    remarks: Sequence[str],
    coverage: Sequence[CoverageRow],
    days: Sequence[GroupDay],
) -> str:
    """Return the HTML page of a backtest on recorded chains.

    Parameters
    ----------
    history : RequirementHistory
    model : ModelParameters
    identity : ReportIdentity
    verdict, remarks : sequences of str
        Sentences at the top of the page, and on the choice of dates.
    coverage : sequence of CoverageRow
    days : sequence of GroupDay
    """
    first, last = (str(t.astype("datetime64[D]")) for t in history.time[[0, -1]])
    groups = tuple(dict.fromkeys(d.group for d in days))
    books = [g for g in groups if g != BENCHMARK]
    panels = [
        _pooled(history),
        _exceptions(history),
        *(_group(group, [d for d in days if d.group == group]) for group in books),
        *(_shares(group, [d for d in days if d.group == group]) for group in groups),
        *_portfolios(history),
        _tests("Portfolios", [r for r in coverage if r.scope == "portfolio"]),
        _tests("Members", [r for r in coverage if r.scope == "member"]),
        _tests("Accounts", [r for r in coverage if r.scope == "account"]),
        *_responses(responsiveness_of(history)),
        _members(history),
        *(_days(group, [d for d in days if d.group == group]) for group in books),
        _definitions(history, model, remarks),
    ]
    return study_page(
        "Backtest of the whole requirement",
        f"{model.name} {model.version}, {len(history.dates):,} recorded chains from {first} to "
        f"{last}; each date uses only the data available on it",
        [p for p in panels if p.rows or p.figure],
        identity=identity,
        verdict=verdict,
    )


def _pooled(history: RequirementHistory) -> Panel:
    rows = [
        [
            Cell(p.group),
            Cell(p.measure, "l"),
            Cell(f"{100 * p.covered:.3f} %"),
            Cell(f"{p.exceptions:,}", "red" if p.exceptions else ""),
            Cell(f"{p.observations:,}"),
            Cell(f"{p.dates_with_exceptions} of {p.dates}"),
            Cell(f"{p.windows}"),
        ]
        for p in pooled_coverage(history)
    ]
    return Panel(
        "Coverage",
        "Share of account-dates whose loss over the margin period of risk did not exceed the core, "
        "and the whole requirement. Windows: number of margin periods that do not overlap.",
        None,
        ("group", "measure", "covered", "exceptions", "account-dates", "dates with any", "windows"),
        rows,
    )


def _exceptions(history: RequirementHistory) -> Panel:
    found = sorted(exceeded_requirements(history), key=lambda e: -e.above_usd)
    rows = [
        [
            Cell(e.account),
            Cell(e.group, "l"),
            Cell(str(e.time.astype("datetime64[m]")).replace("T", " "), "l"),
            Cell(usd(e.loss_usd)),
            Cell(usd(e.core_usd)),
            Cell(usd(e.requirement_usd)),
            Cell(usd(e.above_usd), "red"),
            Cell(percent(e.above_usd / e.requirement_usd) if e.requirement_usd > 0.0 else ""),
        ]
        for e in found
    ]
    return Panel(
        f"Losses greater than the requirement: {len(found):,}",
        "US dollars, the largest first; all are listed.",
        None,
        ("account", "group", "date", "loss", "core", "requirement", "above", "of requirement"),
        rows,
    )


def _group(group: str, days: Sequence[GroupDay]) -> Panel:
    """Return the requirement, losses and default fund of a book by day."""
    x = [minute(d.time) for d in days]
    figure = go.Figure()
    for name, values, colour, dash in (
        ("requirement", [d.requirement_usd for d in days], figures.BLUE, "solid"),
        ("core", [d.core_usd for d in days], figures.GREY, "solid"),
        ("losses of all accounts", [d.loss_usd for d in days], figures.AMBER, "solid"),
        ("default fund (stress cover-2, 30 days)", [d.default_fund_usd for d in days],
         figures.GREEN, "dash"),
        ("realised cover-2", [d.cover_2_usd for d in days], figures.RED, "solid"),
    ):  # fmt: skip
        millions = [v / 1e6 if np.isfinite(v) else None for v in values]
        line = {"color": colour, "width": 1.6, "dash": dash}
        figure.add_scatter(x=x, y=millions, name=name, mode="lines", line=line)
    return Panel(
        f"{group}: requirement, losses and default fund",
        "Realised cover-2: losses above requirement of the two members with the largest. Default "
        "fund: the largest stress loss above requirement of two members in the last 30 days.",
        figures.finish(figure, height=380, y="million USD"),
    )


def _shares(group: str, days: Sequence[GroupDay]) -> Panel:
    x = [minute(d.time) for d in days]
    names = tuple(dict.fromkeys(c for d in days for c in d.components_usd))
    figure = go.Figure()
    for k, name in enumerate(names):
        share = [
            100 * d.components_usd.get(name, 0.0) / max(d.requirement_usd, 1e-12) for d in days
        ]
        if max(share) > 0.0:
            figure.add_scatter(
                x=x, y=share, name=name.replace("_", " "), mode="lines", stackgroup="one",
                line={"width": 0.5, "color": figures.component_colour(k)},
            )  # fmt: skip
    return Panel(
        f"{group}: shares of the components",
        "Each component's share of the sum of the requirements.",
        figures.finish(figure, height=360, y="% of the requirement"),
    )


def _portfolios(history: RequirementHistory) -> list[Panel]:
    panels: list[Panel] = []
    for a, account in enumerate(history.accounts):
        group, name = group_of(account)
        if group != BENCHMARK:
            continue
        known = np.flatnonzero(np.isfinite(history.requirement_usd[:, a]))
        x = [minute(t) for t in history.time[known]]
        loss = -history.profit_usd[known, a]
        required = history.requirement_usd[known, a]
        figure = go.Figure()
        for label, values, colour in (
            ("loss", loss, "#8793a1"),
            ("core", history.core_usd[known, a], figures.GREY),
            ("requirement", required, figures.BLUE),
        ):
            line = {"color": colour, "width": 1.6}
            figure.add_scatter(x=x, y=values.tolist(), name=label, mode="lines", line=line)
        hit = np.flatnonzero(loss > required)
        if hit.size:
            figure.add_scatter(
                x=[x[i] for i in hit], y=loss[hit].tolist(), name="exception", mode="markers",
                marker={"color": COLOURS[1], "size": 7, "symbol": "x"},
            )  # fmt: skip
        panels.append(
            Panel(
                name,
                f"Holds: {DEFINITIONS[name]}.",
                figures.finish(figure, height=300, y="USD"),
            )
        )
    return panels


def _tests(title: str, rows: Sequence[CoverageRow]) -> Panel:
    ordered = sorted(rows, key=lambda r: (-r.exceptions, r.name, r.group, r.measure))
    shown = ordered[:_ROWS_SHOWN]
    cells = [
        [
            Cell(r.name),
            Cell(r.group, "l"),
            Cell(r.measure, "l"),
            Cell(f"{100 * r.covered:.2f} %"),
            Cell(f"{r.exceptions} / {r.observations}", "red" if r.exceptions else ""),
            Cell(f"{r.test.exceptions} / {r.test.days}"),
            Cell(f"{r.rejected_from}" if r.rejected_from <= r.test.days else "never"),
            Cell(f"{r.test.kupiec_p:.3f}", "red" if _rejects(r) else ""),
            Cell(
                f"{r.test.independence_p:.3f}",
                "red" if r.test.independence_p < _SIGNIFICANT else "",
            ),
            Cell(r.test.light, r.test.light),
            Cell(percent(r.severity_mean) if r.exceptions else ""),
            Cell(percent(r.severity_max) if r.exceptions else ""),
        ]
        for r in shown
    ]
    some = "" if len(shown) == len(rows) else f" The {len(shown)} with most of {len(rows):,} rows."
    return Panel(
        f"{title}: tests of coverage",
        "Exceptions of all dates, and of the windows that do not overlap, on which the tests rest. "
        "Rejected from: the least number of exceptions in these windows that the tests reject; a "
        "sample this short cannot show that a requirement is too high." + some,
        None,
        _TESTS,
        cells,
    )


def _rejects(row: CoverageRow) -> bool:
    return row.test.kupiec_p < _SIGNIFICANT and row.test.exceptions > row.test.expected


def _responses(found: Responsiveness) -> list[Panel]:
    rows: list[list[Cell]] = []
    for item in found.accounts:
        if is_unchanged(item.group):
            continue
        for measure, path in (("core", item.core), ("requirement", item.requirement)):
            rows.append(
                [
                    Cell(item.name),
                    Cell(measure, "l"),
                    Cell(f"{100 * path.mean:.2f} %"),
                    Cell(f"{path.peak_to_trough:.2f}"),
                    *(Cell(percent(v)) for v in (path.rise_1d, path.rise_5d, path.rise_30d)),
                    Cell(percent(path.change_95)),
                ]
            )
    pooled = [
        [Cell("core"), Cell(percent(found.core_change_95))],
        [Cell("requirement"), Cell(percent(found.requirement_change_95))],
        *(
            [Cell(name.replace("_", " ")), Cell(percent(value))]
            for name, value in found.component_change_95.items()
            if np.isfinite(value) and value > 0.0
        ),
    ]
    ratio = f"{found.ratio:.2f}" if np.isfinite(found.ratio) else "unknown"
    return [
        Panel(
            "Responsiveness of the benchmark portfolios",
            "Margins as a share of the index; largest rises over 1, 5 and 30 days, and the 95th "
            "percentile of the absolute daily changes.",
            None,
            ("portfolio", "measure", "mean", "peak to trough", "1 day", "5 days", "30 days",
             "95 % of daily changes"),
            rows,
        ),
        Panel(
            "Daily changes of the margin of unchanged positions",
            f"95th percentile of the absolute daily changes of accounts, restricted to contracts "
            f"that every date lists ({found.changes:,} changes). Requirement divided by core: "
            f"{ratio}. Components are in shares of the whole requirement.",
            None,
            ("measure", "95 % of daily changes"),
            pooled if found.changes else [],
        ),
    ]  # fmt: skip


def _members(history: RequirementHistory) -> Panel:
    found = [m for m in member_days(history) if m.group != BENCHMARK]
    found.sort(key=lambda m: -(m.above_margin_usd + np.nan_to_num(m.above_collateral_usd)))
    rows = [
        [
            Cell(m.member),
            Cell(m.group, "l"),
            Cell(minute(m.time), "l"),
            Cell(usd(m.requirement_usd)),
            Cell(usd(m.above_margin_usd)),
            Cell(usd(m.above_collateral_usd)),
        ]
        for m in found[:_ROWS_SHOWN]
    ]
    return Panel(
        f"Members with losses above margin or above collateral: {len(found):,} member-dates",
        "US dollars; sums over the accounts of a member, without netting between accounts. Above "
        "collateral: losses beyond option value and the recorded deposits, which do not change. "
        f"The largest {len(rows):,}.",
        None,
        ("member", "group", "date", "requirement", "above margin", "above collateral"),
        rows,
    )


def _days(group: str, days: Sequence[GroupDay]) -> Panel:
    rows = [
        [
            Cell(minute(d.time)),
            Cell(f"{d.accounts:,}"),
            *(
                Cell(millions(v))
                for v in (d.requirement_usd, d.core_usd, d.loss_usd, d.above_core_usd,
                          d.above_margin_usd, d.above_collateral_usd, d.cover_1_usd)
            ),
            Cell(d.cover_1_member, "l"),
            *(Cell(millions(v)) for v in (d.cover_2_usd, d.stress_cover_1_usd,
                                           d.stress_cover_2_usd, d.default_fund_usd)),
        ]
        for d in days
    ]  # fmt: skip
    return Panel(
        f"{group}: days",
        "Million US dollars. Losses are sums over accounts that lost; cover-1 and cover-2 are "
        "realised losses above requirement of one and two members.",
        None,
        ("date", "accounts", "requirement", "core", "losses", "above core", "above margin",
         "above collateral", "cover-1", "member", "cover-2", "stress cover-1", "stress cover-2",
         "default fund"),
        rows,
    )  # fmt: skip


def _definitions(
    history: RequirementHistory, model: ModelParameters, remarks: Sequence[str]
) -> Panel:
    ends = history.dates[0], history.dates[-1]
    terms = [
        ("dates", " ".join(remarks)),
        (
            "loss",
            "value of the positions on the date, less their value at the later chain's own "
            "forwards, marks and index; options that expire in between are settled at the recorded "
            "index, interpolated to the mean of the last 30 minutes before 08:00 UTC",
        ),
        (
            "positions",
            "a book is held unchanged; on a date it counts the contracts that are listed with a "
            "mark on the date and a margin period later, or expire in between",
        ),
        ("perpetuals", "move with the index, because the chains record no price of perpetuals"),
        (
            "benchmark portfolios",
            "formed on each date in listed contracts, with the closest expiries and strikes",
        ),
        ("model", f"{model.name} {model.version}, {model.id}"),
        ("first inputs", f"{ends[0].snapshot_id}, {ends[0].scenarios_id}"),
        ("last inputs", f"{ends[1].snapshot_id}, {ends[1].scenarios_id}"),
    ]
    rows = [[Cell(term), Cell(text, "l long")] for term, text in terms]
    return Panel("Definitions and inputs", "", None, ("term", "meaning"), rows)
