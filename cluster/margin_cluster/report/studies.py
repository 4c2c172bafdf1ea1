"""HTML pages of studies: backtest, procyclicality and comparison of methods."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from margin_actors.arrays import FloatArray
from margin_actors.engine.backtest import (
    Backtest,
    Procyclicality,
    ResponsivenessRow,
)
from margin_actors.engine.comparison import LEVELS, Comparison
from margin_actors.engine.margin import AccountFailure
from margin_actors.engine.parameters import ModelParameters
from margin_cluster.report import figures
from margin_cluster.report.identity import ReportIdentity
from margin_cluster.report.page import failure_rows, failures_title
from margin_cluster.report.panels import COLOURS, Cell, Panel, study_page

_ACCOUNTS_SHOWN = 400
_PORTFOLIOS_DRAWN = 12
_ROWS_SHOWN = 1500


def backtest_html(
    backtest: Backtest, model: ModelParameters, *, identity: ReportIdentity, remark: str = ""
) -> str:
    """Return the HTML page of a backtest.

    At most 12 portfolios, those with the largest mean VaR, are drawn. `remark` is added to the
    subtitle.
    """
    replay = backtest.replay
    first, last = (str(t.astype("datetime64[D]")) for t in replay.time[[0, -1]])
    panels = [_verdicts(backtest)]
    middle = len(replay.confidences) // 2
    size = replay.var_usd[:, 0, middle].mean(axis=0)
    drawn = np.sort(np.argsort(-size, kind="stable")[:_PORTFOLIOS_DRAWN])
    for p in drawn.tolist():
        portfolio = replay.portfolios[p]
        figure = go.Figure()
        losses = -replay.profit_usd[:, p]
        days = [str(t.astype("datetime64[D]")) for t in replay.time]
        figure.add_scatter(
            x=days,
            y=losses.tolist(),
            name="loss",
            mode="lines",
            line={"color": "#8793a1", "width": 1},
        )
        for e, engine in enumerate(replay.engines):
            var = replay.var_usd[:, e, middle, p]
            hit = np.flatnonzero(losses > var)
            figure.add_scatter(
                x=days, y=var.tolist(), name=engine, line={"color": COLOURS[e], "width": 1.6}
            )
            figure.add_scatter(
                x=[days[d] for d in hit],
                y=losses[hit].tolist(),
                mode="markers",
                showlegend=False,
                marker={"color": COLOURS[e], "size": 6, "symbol": "x"},
                hovertemplate=f"{engine}: loss %{{y:$,.0f}} on %{{x}}<extra></extra>",
            )
        level = replay.confidences[middle]
        panels.append(
            Panel(
                portfolio,
                f"VaR at {100 * level:g} % and the loss over the following margin period, US "
                "dollars; crosses are exceptions.",
                figures.finish(figure, height=330, y="USD"),
            )
        )
    return study_page(
        "Backtest",
        f"{model.name}, {replay.time.size:,} dates from {first} to {last}; each date uses only "
        f"the data available on it{'; ' + remark if remark else ''}",
        panels,
        identity=identity,
    )


def _verdicts(backtest: Backtest) -> Panel:
    rows: list[list[Cell]] = []
    worst = sorted(backtest.rows, key=lambda r: r.test.expected - r.test.exceptions)
    listed = backtest.rows if len(worst) <= _ROWS_SHOWN else worst[:_ROWS_SHOWN]
    for r in listed:
        t = r.test
        rows.append(
            [
                Cell(r.portfolio),
                Cell(r.engine, "l"),
                Cell(f"{100 * r.confidence:g} %"),
                Cell(f"{r.exceptions_daily} / {r.days_daily:,}"),
                Cell(f"{t.exceptions} / {t.days:,}"),
                Cell(f"{t.expected:.1f}"),
                Cell(f"{t.kupiec_p:.3f}", "red" if _rejects(t.kupiec_p, t) else ""),
                Cell(f"{t.independence_p:.3f}", "red" if t.independence_p < 0.05 else ""),
                Cell(f"{t.conditional_p:.3f}"),
                Cell(t.light, t.light),
                Cell(f"{100 * t.severity_mean:.0f} %"),
                Cell(f"{100 * t.severity_max:.0f} %"),
            ]
        )
    return Panel(
        "Test results",
        f"One date in {backtest.stride}, so that windows do not overlap; the exceptions of all "
        "dates are listed too. Severity: loss beyond VaR divided by VaR, mean and largest. Red: "
        "coverage worse than stated, or clustered exceptions, at the 5 % level.",
        None,
        (
            "portfolio",
            "engine",
            "confidence",
            "all dates",
            "exceptions",
            "expected",
            "Kupiec p",
            "independence p",
            "both p",
            "light",
            "severity",
            "largest",
        ),
        rows,
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _rejects(p_value: float, test: Any) -> bool:
    return p_value < 0.05 and test.exceptions > test.expected


def _responsiveness_row(row: ResponsivenessRow) -> list[Cell]:
    return [
        Cell(row.tool),
        Cell(f"{100 * row.mean:.2f} %"),
        Cell(f"{row.peak_to_trough:.2f}"),
        Cell(f"{100 * row.rise_1d:.0f} %"),
        Cell(f"{100 * row.rise_5d:.0f} %"),
        Cell(f"{100 * row.rise_30d:.0f} %"),
    ]


def procyclicality_html(
    series: Procyclicality,
    margins: Mapping[str, FloatArray],
    rows: Sequence[ResponsivenessRow],
    model: ModelParameters,
    *,
    identity: ReportIdentity,
) -> str:
    """Return the HTML page of a procyclicality study.

    Parameters
    ----------
    series : Procyclicality
    margins : mapping
        Tool to margin, float64 (n_dates, n_portfolios), fractions of the index.
    rows : sequence of ResponsivenessRow
    model : ModelParameters
    identity : ReportIdentity
    """
    days = [str(t.astype("datetime64[D]")) for t in series.time]
    panels: list[Panel] = []
    for p, portfolio in enumerate(series.portfolios):
        figure = go.Figure()
        for k, (tool, values) in enumerate(margins.items()):
            figure.add_scatter(
                x=days,
                y=(100 * values[:, p]).tolist(),
                name=tool,
                line={
                    "color": COLOURS[k % len(COLOURS)],
                    "width": 2.2 if tool == "none" else 1.3,
                },
            )
        panels.append(
            Panel(
                portfolio,
                "Margin as a share of the index, day by day.",
                figures.finish(figure, height=340, y="% of the index"),
                ("tool", "mean", "peak to trough", "1 day", "5 days", "30 days"),
                [_responsiveness_row(r) for r in rows if r.portfolio == portfolio],
            )
        )
    levels = np.unique(np.round(series.stress_confidence, 4))
    return study_page(
        "Procyclicality",
        f"{model.name}, {days[0]} to {days[-1]}; largest rises over 1, 5, 30 days. Stress period "
        f"calibrated each year: confidence {100 * levels.min():.2f} to {100 * levels.max():.2f} %",
        panels,
        identity=identity,
    )


def _failures(failures: Sequence[AccountFailure], margined: int) -> list[Panel]:
    if not failures:
        return []
    rows = [
        [Cell(account), Cell(member, "l"), Cell(positions), Cell(name, "l"), Cell(reason, "l long")]
        for account, member, positions, name, reason in failure_rows(failures)
    ]
    return [
        Panel(
            failures_title(failures, margined),
            "At least one method cannot margin these accounts; they are not part of this page.",
            None,
            ("account", "member", "positions", "instrument", "reason"),
            rows,
        )
    ]


def _offset(offset_usd: float, whole_usd: float) -> Cell:
    """Return an offset in millions and as a share of the whole; never a negative zero."""
    amount = round(offset_usd / 1e6, 1) + 0.0
    share = round(100 * offset_usd / whole_usd) if whole_usd else 0
    return Cell(f"{amount:,.1f} M  ({share} %)")


def _account_rows(comparison: Comparison) -> list[list[Cell]]:
    """Return the requirement of the largest accounts by every method, one row per account."""
    methods = comparison.methods
    order = np.argsort(-methods[0].requirement_usd[:, 0], kind="stable")[:_ACCOUNTS_SHOWN]
    rows: list[list[Cell]] = []
    for a in order:
        values = [m.requirement_usd[a, 0] for m in methods]
        low, high = min(values), max(values)
        rows.append(
            [Cell(comparison.book.accounts[a])]
            + [Cell(f"{value:,.0f}", "red" if value == high > low else "") for value in values]
            + [Cell(f"{high / low:.2f}" if low > 0 else "")]
        )
    return rows


def _totals_figure(names: list[str], totals: FloatArray) -> go.Figure:
    """Return the bars of the totals, float64 (n_methods, n_levels), US dollars."""
    figure = go.Figure()
    for level, name in enumerate(LEVELS):
        figure.add_bar(
            x=names,
            y=(totals[:, level] / 1e6).tolist(),
            name="whole accounts" if level == 0 else f"sum over {name}",
            marker_color=COLOURS[level],
        )
    return figure.update_layout(barmode="group")


def comparison_html(
    comparison: Comparison,
    *,
    identity: ReportIdentity,
    failures: Sequence[AccountFailure] = (),
    remarks: Sequence[str] = (),
) -> str:
    """Return the HTML page of a comparison of methods.

    `failures` are the accounts that at least one method cannot margin; they are listed first.
    `remarks` are sentences below the totals.
    """
    book, methods = comparison.book, comparison.methods
    rows = _account_rows(comparison)
    totals = np.array([m.requirement_usd.sum(axis=0) for m in methods])
    figure = _totals_figure([m.name for m in methods], totals)
    offsets = np.array([m.offsets_usd.sum(axis=0) for m in methods])
    shares = [
        [Cell(m.name)]
        + [Cell(f"{totals[k, 0] / 1e6:,.1f} M")]
        + [_offset(offsets[k, j], totals[k, j + 1]) for j in range(offsets.shape[1])]
        for k, m in enumerate(methods)
    ]
    return study_page(
        "Comparison of methods",
        f"{_counted(len(book.accounts), 'account')}, {_counted(book.n_positions, 'position')}",
        [
            *_failures(failures, len(book.accounts)),
            Panel(
                "Requirement of all accounts, million US dollars",
                "Of whole accounts, and summed over their sub-portfolios. Offset recognised = sum "
                "of the requirements of the sub-portfolios - requirement of the account. "
                + " ".join(remarks),
                figures.finish(figure, height=380, y="million USD"),
            ),
            Panel(
                "Offsets recognised",
                "Between underlyings, between expiries of one underlying, and between positions of "
                "one expiry; in brackets as a share of the sum over the sub-portfolios.",
                None,
                (
                    "method",
                    "requirement",
                    "between underlyings",
                    "between expiries",
                    "in an expiry",
                ),
                shares,
            ),
            Panel(
                "Accounts",
                f"US dollars, the largest {len(rows):,} by {methods[0].name}; red: the highest "
                "requirement; last column: highest divided by lowest.",
                None,
                ("account", *(m.name for m in methods), "spread"),
                rows,
            ),
        ],
        identity=identity,
    )
