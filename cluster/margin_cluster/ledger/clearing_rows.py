"""Rows of the log of the clearing house: queries, and the conversion of events to and from rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar

from margin_actors.errors import InvalidRequest, KeyReused, Problem, raise_if_any
from margin_actors.hash_chain import FIRST_HASH
from margin_cluster.ledger.clearing_machine import E, LoggedEvent, Machine
from margin_cluster.ledger.columns import Columns, DriverRow, Value
from margin_cluster.ledger.failures import damaged
from margin_cluster.ledger.packing import text_of

S = TypeVar("S")
All: TypeAlias = Callable[[str, Sequence[Value]], Sequence[DriverRow]]
"""Returns all rows of a query with ``?`` for each value."""

_COLUMNS = (
    "c.number, c.sequence, c.event_id, c.kind, c.account, c.actor, c.payload, c.packed,"
    " c.payload_hash, c.recorded_us, c.clock_us, e.hash"
)
_FROM = "FROM clearing_events c JOIN entries e ON e.sequence = c.sequence"
_LAST = f"SELECT c.number, e.hash, c.recorded_us {_FROM} ORDER BY c.number DESC LIMIT 1"
_ONE = f"SELECT c.number, e.hash, c.recorded_us {_FROM} WHERE c.number = ?"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_REMEDY = "restore a backup, or install the version that wrote it"
_LIMITS = {"event_id": 500, "kind": 32, "account": 128, "actor": 256, "payload_hash": 128}


@dataclass(frozen=True, slots=True)
class LogPosition:
    """An entry of the log; the position before the first entry has number 0."""

    number: int = 0
    """Number of the event, from 1, without gaps."""
    hash: str = FIRST_HASH
    """Hash of its entry, which covers all entries of the ledger before it."""
    recorded_at: datetime | None = None
    """Time at which it was recorded, UTC; None before the first entry."""

    @property
    def token(self) -> str:
        """Text from which a reader continues after this entry."""
        return f"{self.number}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Committed(Generic[S]):
    """The state of the log up to an entry."""

    state: S
    at: LogPosition = LogPosition()


@dataclass(frozen=True, slots=True)
class RecordedEvent(Generic[E]):
    """One committed event of the log."""

    number: int
    """From 1, without gaps, in the order of commits."""
    sequence: int
    """Number of its entry in the ledger, which holds other kinds of entries as well."""
    event: E
    account: str
    """The account that it concerns; empty for several accounts or none."""
    actor: str
    recorded_at: datetime
    """Time of the ledger clock, UTC; never before that of the preceding event."""
    clock_at: datetime
    """The wall clock of the process that recorded it, UTC."""
    hash: str
    """Hash of its entry."""

    @property
    def position(self) -> LogPosition:
        """The position of the event in the log."""
        return LogPosition(self.number, self.hash, self.recorded_at)


def microseconds(moment: datetime) -> int:
    """Return a time as whole microseconds since 1970-01-01 UTC.

    Raises
    ------
    InvalidRequest
        If the time is not in UTC.
    """
    if moment.utcoffset() != timedelta(0):
        problem = Problem("time", f"{moment} is not a timezone-aware time in UTC")
        raise InvalidRequest("the time is not valid", [problem])
    return (moment - _EPOCH) // _MICROSECOND


def time_of(value: int) -> datetime:
    """Return the time of whole microseconds since 1970-01-01 UTC."""
    return _EPOCH + timedelta(microseconds=value)


def row_of(
    machine: Machine[Any, E, Any, Any], event: E, number: int, actor: str, now: int, wall: int
) -> Columns:
    """Return the row of an event, except its sequence; times in microseconds since 1970 UTC.

    Raises
    ------
    InvalidRequest
        If the event cannot be stored, or does not read back as the same event.
    """
    text = machine.payload_of(event)
    row: Columns = {
        "number": number,
        "event_id": event.id,
        "kind": event.log_kind,
        "account": machine.account_of(event),
        "actor": actor,
        "payload": text,
        "payload_hash": event.payload_hash,
        "recorded_us": now,
        "clock_us": wall,
    }
    found = [
        Problem(f"{name} of event {event.id[:80]!r}", f"is empty or exceeds {most} characters")
        for name, most in _LIMITS.items()
        if not (name == "account" or row[name]) or len(str(row[name])) > most
    ]
    found += [
        Problem(f"{name} of event {event.id[:80]!r}", "contains a NUL character")
        for name, value in row.items()
        if isinstance(value, str) and "\x00" in value
    ]
    # What cannot be read again would stop every process at its next start.
    back = machine.event_of(event.log_kind, text)
    if _identity(back) != _identity(event):
        found.append(Problem(f"payload of event {event.id[:80]!r}", "reads as another event"))
    raise_if_any(found, InvalidRequest, "the event cannot be recorded")
    return row


def _identity(event: LoggedEvent) -> tuple[str, str, str]:
    return event.id, event.log_kind, event.payload_hash


def recorded_events(
    machine: Machine[Any, E, Any, Any], rows: Sequence[DriverRow], where: str
) -> Iterator[RecordedEvent[E]]:
    """Yield the events of rows, one at a time, so that few payloads are held as text.

    Raises
    ------
    LedgerDamaged
        If a payload cannot be read, or is not that of the recorded event; `where` is the address.
    """
    for row in rows:
        number, sequence, event_id, kind, account, actor, plain, compressed = row[:8]
        payload_hash, recorded_us, clock_us, entry = row[8:]
        try:
            event = machine.event_of(kind, text_of(compressed) if plain is None else plain)
        except Exception as error:
            what = f"clearing event {number} cannot be read: {error}"
            raise damaged(where, what, _REMEDY) from error
        if _identity(event) != (event_id, kind, payload_hash):
            raise damaged(where, f"clearing event {number} differs from its payload", _REMEDY)
        yield RecordedEvent(
            number,
            sequence,
            event,
            account,
            actor,
            time_of(recorded_us),
            time_of(clock_us),
            entry,
        )


def folded(
    machine: Machine[S, E, Any, Any], base: Committed[S], rows: Sequence[DriverRow], where: str
) -> Committed[S]:
    """Return the state after further rows of the log.

    Raises
    ------
    LedgerDamaged
        If a row is missing, or cannot be read or applied.
    """
    state, number, last = base.state, base.at.number, None
    for last in recorded_events(machine, rows, where):
        if last.number != number + 1:
            raise damaged(where, f"clearing event {last.number} follows number {number}")
        try:
            state = machine.fold(state, last.event, last.recorded_at)
        except Exception as error:
            what = f"clearing event {last.number} cannot be applied: {error}"
            raise damaged(where, what, _REMEDY) from error
        number = last.number
    return base if last is None else Committed(state, last.position)


def rows_after(
    query: All,
    number: int,
    limit: int,
    *,
    until: int | None = None,
    kinds: Sequence[str] = (),
    accounts: Sequence[str] = (),
) -> Sequence[DriverRow]:
    """Return at most `limit` rows after a number, in the order of the log.

    Parameters
    ----------
    query : callable
    number, limit : int
    until : int, optional
        The last number to return.
    kinds, accounts : sequence of str
        Empty for all.
    """
    conditions, values = ["c.number > ?"], list[Value]([number])
    if until is not None:
        conditions.append("c.number <= ?")
        values.append(until)
    for name, allowed in (("kind", kinds), ("account", accounts)):
        if allowed:
            conditions.append(f"c.{name} IN ({', '.join('?' * len(allowed))})")
            values.extend(allowed)
    where = " AND ".join(conditions)
    # Conditions hold names of columns only; all values are parameters.
    sql = f"SELECT {_COLUMNS} {_FROM} WHERE {where} ORDER BY c.number LIMIT ?"
    return query(sql, [*values, limit])


def last_position(query: All) -> LogPosition:
    """Return the position of the last committed event."""
    rows = query(_LAST, [])
    return _position(rows[0]) if rows else LogPosition()


def position_at(query: All, number: int) -> LogPosition | None:
    """Return the position of event `number`; None if the log has no such event."""
    if number == 0:
        return LogPosition()
    rows = query(_ONE, [number])
    return _position(rows[0]) if rows else None


def _position(row: DriverRow) -> LogPosition:
    return LogPosition(row[0], row[1], time_of(row[2]))


def number_at(query: All, moment: datetime) -> int:
    """Return the number of the last event recorded at or before a time; 0 if there is none.

    Times never decrease along the log, so the number is found by bisection.
    """
    below, above = 0, last_position(query).number + 1
    while above - below > 1:
        middle = (below + above) // 2
        found = position_at(query, middle)
        assert found is not None
        assert found.recorded_at is not None
        if found.recorded_at <= moment:
            below = middle
        else:
            above = middle
    return below


def repeated_id(error: BaseException) -> KeyReused | None:
    """Return the error for an event id that the log holds already; None for other errors."""
    if "event_id" not in str(error):
        return None
    what = "an event with this id is recorded; `decide` must recognise repeated commands"
    return KeyReused("the id of an event was used before", [Problem("event id", what)])


__all__ = [
    "All",
    "Committed",
    "LogPosition",
    "RecordedEvent",
    "folded",
    "last_position",
    "microseconds",
    "number_at",
    "position_at",
    "recorded_events",
    "repeated_id",
    "row_of",
    "rows_after",
    "time_of",
]
