"""What a simulated day shows while it runs: read from the committed state and log."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from margin_actors.clearing.calls import Announcement, CallStatus, News
from margin_actors.clearing.house import HouseState
from margin_actors.clearing.house.account_events import CallChanged
from margin_actors.clearing.house.queries import open_calls
from margin_cluster.operations.machine import HouseLog

_PAGE = 1_000
SHOWN = 8
"""Accounts and messages that a view lists."""
_COUNTED = (News.ISSUED, News.MET, News.OVERDUE, News.CANCELLED)


@dataclass(frozen=True)
class ShortAccount:
    """An account in deficit."""

    account: str
    deficit_cents: int
    resources_cents: int
    call: str
    """Status of its call, empty without an open one."""
    out_cents: int
    """Called and not paid, US cents."""
    due: datetime | None
    """First due time of an unpaid tranche, UTC."""


@dataclass(frozen=True)
class DayView:
    """The clearing house at one time of the day."""

    time: datetime
    index_usd: Mapping[str, float]
    """US dollars per coin, by underlying."""
    change: Mapping[str, float]
    """Change of each index since the start, a fraction."""
    cycles: int
    entries: int
    """Number of the last event of the log."""
    accounts: int
    requirement_cents: int
    resources_cents: int
    short: tuple[ShortAccount, ...]
    """Accounts in deficit, the largest first."""
    deficit_cents: int
    """Sum of the deficits."""
    issued: int
    """Calls issued so far."""
    met: int
    """Calls met so far, also late."""
    late: int
    """Calls that became overdue so far."""
    cancelled: int
    """Calls that were cancelled, because the deficit disappeared."""
    open: int
    """Calls that are open now."""
    out_cents: int
    """Called and not paid by all accounts, US cents."""
    messages: tuple[str, ...] = ()
    """What happened last, the newest last."""


@dataclass
class CallTally:
    """Counts of what was announced; read from the log, so that it survives an interruption."""

    number: int = 0
    """Number of the last event that was read."""
    calls: dict[News, set[str]] = field(default_factory=lambda: defaultdict[News, set[str]](set))
    """Ids of the calls of which something was announced."""
    messages: list[str] = field(default_factory=list[str])

    def read(self, log: HouseLog) -> None:
        """Read what was committed since the last time."""
        until = log.committed.at.number
        while self.number < until:
            page = log.events_after(self.number, kinds=("call",), limit=_PAGE)
            for one in page.events:
                assert isinstance(one.event, CallChanged)
                self._add(one.event, one.recorded_at)
            last = page.events[-1].number if len(page.events) == _PAGE else until
            self.number = max(last, self.number + 1)

    def _add(self, event: CallChanged, at: datetime) -> None:
        for effect in event.effects:
            if isinstance(effect, Announcement):
                self.calls[effect.news].add(effect.call_id)
                out = f"USD {effect.out_cents / 100:,.0f} unpaid"
                words = effect.news.value.replace("_", " ")
                self.messages.append(f"{at:%H:%M}  {event.account}: {words}, {out}")
        del self.messages[: -4 * SHOWN]


def view_of(
    log: HouseLog,
    tally: CallTally,
    time: datetime,
    index_usd: Mapping[str, float],
    start_usd: Mapping[str, float],
) -> DayView:
    """Return the view of a time.

    Parameters
    ----------
    log : HouseLog
    tally : CallTally
        Up to date.
    time : datetime
        UTC.
    index_usd, start_usd : mapping of str to float
        Index now and at the start, US dollars per coin.
    """
    state = log.state
    cycle = state.cycle
    short = _short(state)
    opened = open_calls(state)
    required = 0 if cycle is None else sum(cycle.requirement_cents)
    excess = 0 if cycle is None else sum(map(cycle.excess_cents, range(len(cycle.accounts))))
    issued, met, late, cancelled = (len(tally.calls[news]) for news in _COUNTED)
    return DayView(
        time=time,
        index_usd=index_usd,
        change={name: price / start_usd[name] - 1.0 for name, price in index_usd.items()},
        cycles=0 if cycle is None else cycle.number,
        entries=state.number,
        accounts=len(state.accounts),
        requirement_cents=required,
        resources_cents=required + excess,
        short=short,
        deficit_cents=sum(one.deficit_cents for one in short),
        issued=issued,
        met=met,
        late=late,
        cancelled=cancelled,
        open=len(opened),
        out_cents=sum(call.out_cents for call in opened),
        messages=tuple(tally.messages[-SHOWN:]),
    )


def _short(state: HouseState) -> tuple[ShortAccount, ...]:
    cycle = state.cycle
    if cycle is None:
        return ()
    calls = {call.account: call for call in open_calls(state)}
    found: list[ShortAccount] = []
    for row, account in enumerate(cycle.accounts):
        excess = cycle.excess_cents(row)
        if excess >= 0:
            continue
        call = calls.get(account)
        status = CallStatus.NONE if call is None else call.status
        due = None if call is None else min(
            (t.due for t in call.tranches if t.unpaid_cents), default=None
        )  # fmt: skip
        found.append(
            ShortAccount(
                account,
                -excess,
                excess + cycle.requirement_cents[row],
                "" if call is None else status.value.replace("_", " "),
                0 if call is None else call.out_cents,
                due,
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.deficit_cents, one.account)))
