"""The report of a simulated day: who was short, the timeline, and every call."""

from collections.abc import Sequence
from datetime import datetime

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from margin_actors.clearing.calls import CallStatus
from margin_cluster.day_outcome import CallRecord, DayOutcome, TimelinePoint
from margin_cluster.report import figures
from margin_cluster.report.formats import usd
from margin_cluster.report.identity import ReportIdentity
from margin_cluster.report.panels import COLOURS, Cell, Panel, study_page

_CALLS_MAX = 1_000
_SHORT_MAX = 100
_STATUS_KINDS = {
    CallStatus.MET: "l green",
    CallStatus.OVERDUE: "l red",
    CallStatus.DEFAULT_DECLARED: "l red",
}


def day_html(outcome: DayOutcome, rules: Sequence[str], *, identity: ReportIdentity) -> str:
    """Return the report of a day as one self-contained HTML document.

    Parameters
    ----------
    outcome : DayOutcome
    rules : sequence of str
        The rules of the day in words.
    identity : ReportIdentity
    """
    first, last = outcome.timeline[0], outcome.timeline[-1]
    panels = [
        _timeline(outcome.timeline),
        _short_accounts(outcome),
        _deficits(outcome.timeline),
        _calls(outcome),
        _rules(rules),
        _checks(outcome),
    ]
    return study_page(
        "A simulated day of the clearing house",
        f"{first.time:%Y-%m-%d %H:%M} to {last.time:%Y-%m-%d %H:%M} UTC, "
        f"{len(outcome.timeline):,} requirement cycles, {len(outcome.state.accounts):,} accounts",
        panels,
        identity=identity,
        verdict=verdict(outcome),
    )


def verdict(outcome: DayOutcome) -> list[str]:
    """Return the result of a day in sentences, the most important first."""
    first, last = outcome.timeline[0], outcome.timeline[-1]
    worst = max(outcome.timeline, key=lambda point: point.deficit_cents)
    calls = outcome.calls
    met = sum(call.status is CallStatus.MET for call in calls)
    missed = sum(call.overdue is not None for call in calls)
    unpaid = [call for call in calls if call.out_cents]
    falls = ", ".join(
        f"{name} {100 * (last.index_usd[name] / price - 1):+.1f} % "
        f"(lowest {100 * (min(p.index_usd[name] for p in outcome.timeline) / price - 1):+.1f} %)"
        for name, price in sorted(first.index_usd.items())
    ).replace("-", "\N{MINUS SIGN}")
    short = (
        f"At the end, {last.short:,} accounts are short, by {_usd(last.deficit_cents)}"
        if last.short
        else "At the end, no account is short"
    )
    owed = (
        f"{_calls_of(len(unpaid))} with {_usd(sum(call.out_cents for call in unpaid))} unpaid"
        if unpaid
        else "all calls are paid or cancelled"
    )
    ending = f"{short}; {owed}."
    sound = (
        "The hash chain of the ledger is intact, and no money or position was created or lost."
        if outcome.is_sound
        else f"THE LEDGER IS NOT SOUND: {len(outcome.findings):,} findings, listed below."
    )
    return [
        ending,
        f"The deficits were largest at {worst.time:%Y-%m-%d %H:%M} UTC: {worst.short:,} accounts "
        f"short by {_usd(worst.deficit_cents)}.",
        f"{len(calls):,} calls over {_usd(sum(call.called_cents for call in calls))} were issued; "
        f"{met:,} are met, {missed:,} missed a deadline.",
        f"Index from start to end: {falls}.",
        sound,
    ]


def _timeline(points: Sequence[TimelinePoint]) -> Panel:
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    times = [_stamp(point.time) for point in points]
    for number, name in enumerate(sorted(points[0].index_usd)):
        start = points[0].index_usd[name]
        figure.add_scatter(
            x=times,
            y=[100 * (point.index_usd[name] / start - 1) for point in points],
            customdata=[point.index_usd[name] for point in points],
            name=f"{name} index",
            line={"color": COLOURS[2 + 2 * (number % 2)], "width": 1.6},
            hovertemplate=f"{name} %{{customdata:,.2f}} (%{{y:+.1f}} %)<extra></extra>",
            row=1,
            col=1,
        )
    for name, colour, values in (
        ("resources", figures.GREEN, [point.resources_cents / 1e8 for point in points]),
        ("requirement", figures.BLUE, [point.requirement_cents / 1e8 for point in points]),
    ):
        figure.add_scatter(
            x=times,
            y=values,
            name=name,
            line={"color": colour, "width": 2},
            hovertemplate=f"{name} %{{y:,.1f}} M USD<extra></extra>",
            row=2,
            col=1,
        )
    figures.finish(figure, height=520)
    figure.update_yaxes(title_text="change of the index, %", row=1, col=1)
    figure.update_yaxes(title_text="million USD", rangemode="tozero", row=2, col=1)
    figure.update_layout(hovermode="x unified")
    return Panel(
        "The index, and the requirement of all accounts against their resources",
        "One point per requirement cycle. Resources are collateral after haircuts, option value "
        "and unsettled variation; those of one account do not cover another.",
        figure,
    )


def _deficits(points: Sequence[TimelinePoint]) -> Panel:
    figure = go.Figure()
    times = [_stamp(point.time) for point in points]
    figure.add_scatter(
        x=times,
        y=[point.deficit_cents / 1e8 for point in points],
        name="sum of the deficits",
        fill="tozeroy",
        line={"color": figures.RED, "width": 1.5},
        customdata=[point.short for point in points],
        hovertemplate="%{y:,.2f} M USD, %{customdata} accounts<extra></extra>",
    )
    return Panel(
        "Sum of the deficits of all short accounts",
        "A deficit is called if it is at least the minimum transfer and the requirement is above "
        "the trigger; smaller ones stay open.",
        figures.finish(figure, height=280, y="million USD"),
    )


def _short_accounts(outcome: DayOutcome) -> Panel:
    cycle = outcome.state.cycle
    rows: list[list[Cell]] = []
    calls = {call.account: call for call in outcome.calls}
    short = [] if cycle is None else [a for a in outcome.short_since if a in cycle.rows]
    if cycle is not None:
        short.sort(key=lambda name: cycle.excess_cents(cycle.rows[name]))
    for account in short[:_SHORT_MAX]:
        assert cycle is not None
        row = cycle.rows[account]
        call = calls.get(account)
        rows.append(
            [
                Cell(account),
                Cell(usd(-cycle.excess_cents(row) / 100), "red"),
                Cell(usd(cycle.requirement_cents[row] / 100)),
                Cell(usd(cycle.collateral_cents[row] / 100)),
                Cell(usd(cycle.option_cents[row] / 100)),
                Cell(usd(cycle.unsettled_cents[row] / 100)),
                Cell(f"{outcome.short_since[account]:%m-%d %H:%M}", "l"),
                Cell(_why(outcome, row, call), "l long"),
            ]
        )
    text = (
        "Accounts in deficit at the last cycle, the largest first; US dollars, times in UTC."
        if rows
        else "No account is in deficit at the last cycle."
    )
    return Panel(
        "Who is short, by how much, why, since when",
        text,
        None,
        (
            "account", "deficit", "requirement", "collateral", "option value", "unsettled",
            "short since", "why it is not covered",
        ),
        rows,
    )  # fmt: skip


def _why(outcome: DayOutcome, row: int, call: CallRecord | None) -> str:
    if call is None or not call.out_cents:
        return _not_called(outcome, row)
    unpaid = usd(call.out_cents / 100)
    if call.overdue is not None:
        return f"call of {call.issued:%m-%d %H:%M} overdue since {call.overdue:%H:%M}, {unpaid} out"
    due = "" if call.due is None else f", due {call.due:%H:%M}"
    return f"call of {call.issued:%m-%d %H:%M} is {_words(call.status)}, {unpaid} out{due}"


def _not_called(outcome: DayOutcome, row: int) -> str:
    """Return the rule by which a deficit is not called."""
    rules, cycle = outcome.state.parameters.calls, outcome.state.cycle
    assert cycle is not None
    deficit = -cycle.excess_cents(row)
    if deficit < rules.minimum_transfer_cents:
        return f"not called: below the minimum transfer of {usd(rules.minimum_transfer_usd)}"
    resources = cycle.requirement_cents[row] - deficit
    used = 100 * cycle.requirement_cents[row] / resources if resources > 0 else float("inf")
    return (
        f"not called: the requirement is {used:.1f} % of the resources, at or below the trigger "
        f"of {rules.trigger_basis_points / 100:g} %"
    )


def _calls(outcome: DayOutcome) -> Panel:
    rows = [
        [
            Cell(call.account),
            Cell(f"{call.issued:%m-%d %H:%M}", "l"),
            Cell(usd(call.called_cents / 100)),
            Cell(_time(call.acknowledged), "l"),
            Cell(_time(call.due), "l"),
            Cell(_words(call.status), _STATUS_KINDS.get(call.status, "l")),
            Cell(_time(call.overdue), "l red" if call.overdue else "l"),
            Cell(_time(call.ended), "l"),
            Cell(usd(call.out_cents / 100) if call.out_cents else ""),
            Cell(f"{call.number:,}"),
        ]
        for call in outcome.calls[:_CALLS_MAX]
    ]
    more = len(outcome.calls) - _CALLS_MAX
    return Panel(
        "Every call of the day",
        "US dollars, times in UTC; called: with all increases, before reductions. The command "
        "margin audit ACCOUNT shows the whole story of an account."
        + (f" The first {_CALLS_MAX:,}; {more:,} more are in the ledger." if more > 0 else ""),
        None,
        (
            "account", "issued", "called", "acknowledged", "first due", "status", "overdue",
            "ended", "unpaid", "entry",
        ),
        rows,
    )  # fmt: skip


def _rules(rules: Sequence[str]) -> Panel:
    return Panel("The rules of the day", " ".join(rules))


def _checks(outcome: DayOutcome) -> Panel:
    rows = [
        [Cell("settlements"), Cell(", ".join(outcome.settlements) or "none", "l long")],
        [Cell("custodian"), Cell(", ".join(f"{k} {v}" for k, v in outcome.custody.items()), "l")],
        [Cell("last entry"), Cell(f"{outcome.head_sequence:,}", "l")],
        [Cell("its hash"), Cell(outcome.head_hash, "l long")],
        *([Cell("finding"), Cell(what, "l red long")] for what in outcome.findings),
    ]
    return Panel(
        "Checks of the ledger",
        "All hashes were computed again; debits equal credits in every asset; the positions in "
        "every contract sum to zero.",
        None,
        ("check", "result"),
        rows,
    )


def _time(time: datetime | None) -> str:
    return "" if time is None else f"{time:%H:%M}"


def _stamp(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _words(status: CallStatus) -> str:
    return status.value.replace("_", " ")


def _calls_of(count: int) -> str:
    return "1 call is open," if count == 1 else f"{count:,} calls are open,"


def _usd(cents: int) -> str:
    return f"{usd(cents / 100)} US dollars"
