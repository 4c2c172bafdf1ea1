"""Funding of the running session, from the cycles and trades in the log.

Each cycle records the mark of every perpetual and the prices of the coins. The funding of a minute
follows from those of the last cycle before it, so that it can be computed again from the log.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from margin_actors.clearing.house import HouseState
from margin_actors.clearing.house.book_events import CycleRecorded
from margin_actors.clearing.house.valuing import contract_of
from margin_actors.clearing.journal import Group
from margin_actors.clearing.settlement import (
    Contract,
    FundingMinute,
    FundingSession,
    PositionChange,
    SettlementParameters,
    funding_minute,
)
from margin_cluster.operations.machine import HouseLog

MINUTE = timedelta(minutes=1)
_ZERO = Decimal(0)
_PAGE = 200


@dataclass(frozen=True, slots=True)
class FundingPrices:
    """Marks of perpetuals and prices of coins at one time, US dollars per coin."""

    time: datetime
    marks: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]


@dataclass
class SessionRecord:
    """What the log says about the funding of a session."""

    since: datetime
    """UTC, a whole minute."""
    prices: list[FundingPrices] = field(default_factory=list[FundingPrices])
    """Of each cycle, ascending in time."""
    changes: dict[str, list[PositionChange]] = field(
        default_factory=dict[str, list[PositionChange]]
    )
    """Changes of perpetuals since the beginning, by instrument, at the time of their recording."""


@dataclass(frozen=True)
class SessionFunding:
    """The funding of a session."""

    sessions: Mapping[str, FundingSession]
    """By perpetual."""
    missing: Mapping[str, int]
    """Number of minutes without a price, in which nothing accrues, by perpetual; without zeros."""


def read_session(log: HouseLog, since: datetime, first: int, last: int) -> SessionRecord:
    """Return what entries `first` + 1 to `last` of the log say about funding since a time.

    Parameters
    ----------
    log : HouseLog
    since : datetime
        Beginning of the session, UTC.
    first, last : int
        Numbers of the last entries before the session and in it.
    """
    record = SessionRecord(since)
    token: int | str = first
    while True:
        page = log.events_after(token, kinds=("cycle", "group"), limit=_PAGE)
        for one in page.events:
            if one.number > last:
                return record
            if isinstance(one.event, CycleRecorded):
                _add_cycle(record, one.event)
            elif isinstance(one.event, Group):
                _add_group(record, one.event, one.recorded_at)
        if len(page.events) < _PAGE:
            return record
        token = page.token


def _add_cycle(record: SessionRecord, cycle: CycleRecorded) -> None:
    marks = {name: mark for name, mark in cycle.marks.items() if _is_perpetual(name)}
    found = FundingPrices(cycle.valued_at, marks, dict(cycle.prices))
    if not record.prices or found.time > record.prices[-1].time:
        record.prices.append(found)


def _add_group(record: SessionRecord, group: Group, at: datetime) -> None:
    for entry in group.positions:
        if _is_perpetual(entry.instrument):
            change = PositionChange(
                entry.account, entry.instrument, entry.quantity, entry.base_price, at
            )
            record.changes.setdefault(entry.instrument, []).append(change)


def _is_perpetual(name: str) -> bool:
    return name.endswith("-PERPETUAL")


def session_funding(
    record: SessionRecord,
    held: Sequence[str],
    until: datetime,
    rules: SettlementParameters,
    state: HouseState,
    *,
    carry_seconds: float,
) -> SessionFunding:
    """Return the funding of all perpetuals that were held during a session.

    Parameters
    ----------
    record : SessionRecord
    held : sequence of str
        Contracts that are held at the end of the session.
    until : datetime
        End of the session, UTC, a whole minute.
    rules : SettlementParameters
    state : HouseState
        For the multipliers of contracts.
    carry_seconds : float
        Longest time for which the prices of a cycle count.
    """
    names = {name for name in held if _is_perpetual(name)} | set(record.changes)
    sessions: dict[str, FundingSession] = {}
    missing: dict[str, int] = {}
    for name in sorted(names):
        minutes, absent = _minutes(record, contract_of(state, name), until, rules, carry_seconds)
        sessions[name] = FundingSession(record.since, minutes, rules.id)
        if absent:
            missing[name] = absent
    return SessionFunding(sessions, missing)


def _minutes(
    record: SessionRecord,
    contract: Contract,
    until: datetime,
    rules: SettlementParameters,
    carry_seconds: float,
) -> tuple[list[FundingMinute], int]:
    times = [one.time for one in record.prices]
    carry = timedelta(seconds=carry_seconds)
    minutes: list[FundingMinute] = []
    absent = 0
    start = record.since
    while start < until:
        place = bisect_right(times, start) - 1
        known = record.prices[place] if place >= 0 and start - times[place] <= carry else None
        mark = None if known is None else known.marks.get(contract.name)
        index = None if known is None else known.prices.get(contract.underlying)
        if mark is None or index is None:
            minutes.append(FundingMinute(contract.name, start, _ZERO, _ZERO))
            absent += 1
        else:
            minutes.append(funding_minute(contract, start, mark, index, rules.funding))
        start += MINUTE
    return minutes, absent


__all__ = ["FundingPrices", "SessionFunding", "SessionRecord", "read_session", "session_funding"]
