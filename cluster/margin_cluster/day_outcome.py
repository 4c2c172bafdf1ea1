"""What a simulated day leaves: the timeline, the calls, and the checks of the ledger."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from margin_actors.clearing.calls import Announcement, CallStatus, News, TrancheIssued
from margin_actors.clearing.house import HouseState
from margin_actors.clearing.house.account_events import CallChanged
from margin_actors.clearing.house.book_events import CycleRecorded
from margin_actors.clearing.journal.integrity import (
    held_at_custodians,
    integrity_findings,
    position_sums,
)
from margin_cluster.ledger.database import Database
from margin_cluster.ledger.verification import verify_ledger
from margin_cluster.operations.machine import HouseLog

_PAGE = 500
_SETTLEMENT = re.compile(r"settlement:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(:.*:v\d+)?")


@dataclass(frozen=True)
class TimelinePoint:
    """The house after one cycle; amounts in US cents."""

    time: datetime
    index_usd: dict[str, float]
    """US dollars per coin, by underlying."""
    requirement_cents: int
    resources_cents: int
    deficit_cents: int
    """Sum of the deficits of all accounts in deficit."""
    short: int
    """Number of accounts in deficit."""
    number: int
    """Number of the event."""


@dataclass
class CallRecord:
    """One call from its issue to its end."""

    account: str
    call_id: str
    issued: datetime
    number: int
    """Number of the event that issued it."""
    called_cents: int = 0
    """Called with all increases, US cents."""
    due: datetime | None = None
    """First due time, UTC."""
    acknowledged: datetime | None = None
    overdue: datetime | None = None
    ended: datetime | None = None
    status: CallStatus = CallStatus.ISSUED
    out_cents: int = 0
    """Unpaid at the end, US cents."""


@dataclass(frozen=True)
class DayOutcome:
    """The result of a day, read from its ledger."""

    timeline: tuple[TimelinePoint, ...]
    calls: tuple[CallRecord, ...]
    short_since: dict[str, datetime]
    """Accounts in deficit at the end, with the time since which they are."""
    state: HouseState
    head_sequence: int
    """Number of the last entry of the ledger."""
    head_hash: str
    """Hash of the last entry, which covers the whole ledger."""
    findings: tuple[str, ...]
    """Differences of the ledger from what was committed, and violations of conservation."""
    settlements: tuple[str, ...]
    """Ids of the settlement commands."""
    custody: dict[str, str] = field(default_factory=dict[str, str])
    """Assets at the custodian by name."""

    @property
    def is_sound(self) -> bool:
        """Whether the hash chain is intact and nothing was created or lost."""
        return not self.findings


def day_outcome(log: HouseLog, database: Database) -> DayOutcome:
    """Return the outcome of a day, after a verification of its whole ledger."""
    log.refresh()
    state = log.state
    points: list[TimelinePoint] = []
    calls: dict[str, CallRecord] = {}
    short_since: dict[str, datetime] = {}
    for number, at, event in _events(log):
        if isinstance(event, CycleRecorded):
            points.append(_point(number, event, short_since))
        else:
            _note_call(calls, number, at, event)
    verified = verify_ledger(database)
    findings = [f"entry {one.sequence}: {one.what}" for one in verified.findings]
    findings += integrity_findings(state.journal)
    findings += [
        f"positions in {name} sum to {total}"
        for name, total in position_sums(state.journal).items()
        if total
    ]
    settled = [name for name in state.commands if _SETTLEMENT.fullmatch(name)]
    return DayOutcome(
        tuple(points),
        tuple(calls.values()),
        short_since,
        state,
        verified.head.sequence,
        verified.head.hash,
        tuple(findings),
        tuple(sorted(settled)),
        {
            asset.name: f"{units / 10**asset.decimals:,.2f}"
            for asset, units in sorted(held_at_custodians(state.journal).items())
        },
    )


def _events(log: HouseLog) -> Iterator[tuple[int, datetime, CycleRecorded | CallChanged]]:
    token: int | str = 0
    while True:
        page = log.events_after(token, kinds=("cycle", "call"), limit=_PAGE)
        for one in page.events:
            if isinstance(one.event, CycleRecorded | CallChanged):
                yield one.number, one.recorded_at, one.event
        if len(page.events) < _PAGE:
            return
        token = page.token


def _point(number: int, cycle: CycleRecorded, short_since: dict[str, datetime]) -> TimelinePoint:
    excesses = list(map(cycle.excess_cents, range(len(cycle.accounts))))
    for account, excess in zip(cycle.accounts, excesses, strict=True):
        if excess < 0:
            short_since.setdefault(account, cycle.valued_at)
        else:
            short_since.pop(account, None)
    required = sum(cycle.requirement_cents)
    return TimelinePoint(
        cycle.valued_at,
        {name: float(price) for name, price in cycle.prices.items()},
        required,
        required + sum(excesses),
        -sum(excess for excess in excesses if excess < 0),
        sum(excess < 0 for excess in excesses),
        number,
    )


def _note_call(calls: dict[str, CallRecord], number: int, at: datetime, event: CallChanged) -> None:
    after = event.after
    if after.number == 0:
        return
    record = calls.setdefault(after.call_id, CallRecord(event.account, after.call_id, at, number))
    for effect in event.effects:
        if isinstance(effect, TrancheIssued):
            record.called_cents += effect.amount_cents
            record.due = effect.due if record.due is None else min(record.due, effect.due)
        if isinstance(effect, Announcement):
            _note_news(record, effect.news, at)
    record.status, record.out_cents = after.status, after.out_cents


def _note_news(record: CallRecord, news: News, at: datetime) -> None:
    match news:
        case News.ACKNOWLEDGED:
            record.acknowledged = at
        case News.OVERDUE:
            record.overdue = record.overdue or at
        case News.MET | News.CANCELLED | News.DEFAULT_DECLARED:
            record.ended = at
        case _:
            return
