"""The log: numbered entries, each covering all entries before it through their hashes.

The conventions are those of the ledger (`margin_actors.hash_chain`): the first entry has number 1
and the previous hash `FIRST_HASH`; an entry's hash is sha256 of its columns, one per line. All
kinds of events share one log. The journal is the fold of those that are groups.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from margin_actors.clearing.journal.applying import apply
from margin_actors.clearing.journal.canonical import id_fault, microseconds, time_fault
from margin_actors.clearing.journal.outcomes import Applied, Refused
from margin_actors.clearing.journal.state import EMPTY, JournalState
from margin_actors.clearing.journal.transfers import Group
from margin_actors.errors import InvalidRequest, LedgerDamaged, Problem, raise_if_any
from margin_actors.hash_chain import FIRST_HASH, lines_hash


class Event(Protocol):
    """What an entry records: a group, or an event of another part of the clearing day."""

    @property
    def id(self) -> str:
        """Printable text without line ends, used at most once in the log."""
        ...

    @property
    def log_kind(self) -> str:
        """The kind of event, for example ``group``."""
        ...

    @property
    def payload_hash(self) -> str:
        """Hash of the whole content, see `content_hash`."""
        ...


@dataclass(frozen=True, slots=True)
class LogHead:
    """Number and hash of the last entry of a log."""

    number: int = 0
    hash: str = FIRST_HASH
    recorded_at: datetime | None = None
    """Time of the last entry, UTC; None if there is none."""


@dataclass(frozen=True)
class Entry:
    """One entry of the log."""

    number: int
    """From 1, without gaps."""
    event: Event
    payload_hash: str
    """Hash of the event as recorded."""
    previous_hash: str
    """Hash of the preceding entry."""
    recorded_at: datetime
    """Time at which the entry was recorded, UTC, never before that of the preceding entry."""
    actor: str
    """Who caused the entry: a user or a process."""
    hash: str
    """Hash of this entry as recorded."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return self.event.id

    @property
    def expected_hash(self) -> str:
        """The hash that the other columns give; it differs from `hash` if one was modified."""
        return entry_hash(self)

    @property
    def head(self) -> LogHead:
        """The head of a log that ends with this entry."""
        return LogHead(self.number, self.hash, self.recorded_at)


def entry_hash(entry: Entry) -> str:
    """Return the hash of an entry's columns; the time enters as microseconds since 1970 UTC."""
    return lines_hash(
        (
            entry.number,
            entry.event.log_kind,
            entry.id,
            entry.payload_hash,
            entry.previous_hash,
            microseconds(entry.recorded_at),
            entry.actor,
        )
    )


def following_entry(head: LogHead, event: Event, now: datetime, *, actor: str) -> Entry:
    """Return the entry that records an event after the last one.

    Raises
    ------
    InvalidRequest
        If the id or the actor is not valid, or `now` is not in UTC or before the last entry.
    """
    faults = [id_fault(event.id), id_fault(actor), time_fault(now)]
    if not faults[2] and head.recorded_at is not None and now < head.recorded_at:
        faults.append(f"{now} is before the last entry, {head.recorded_at}")
    problems = [Problem(f"entry {head.number + 1}", fault) for fault in faults if fault]
    raise_if_any(problems, InvalidRequest, "the event cannot be recorded")
    entry = Entry(head.number + 1, event, event.payload_hash, head.hash, now, actor, "")
    return replace(entry, hash=entry_hash(entry))


@dataclass(frozen=True)
class BrokenLink:
    """The first entry of a log that is not as it was recorded."""

    number: int
    """The number that the entry should have."""
    what: str


def verify(entries: Iterable[Entry], after: LogHead | None = None) -> BrokenLink | None:
    """Return the first entry that breaks the chain; None if the chain is whole.

    Parameters
    ----------
    entries : iterable of Entry
        In the order of the log.
    after : LogHead, optional
        The last entry before them; by default they begin with the first.

    Notes
    -----
    The loss of the last entries is not visible from the entries; compare the last one with a head
    that was noted elsewhere.
    """
    head = LogHead() if after is None else after
    seen: set[str] = set()
    for entry in entries:
        what = _fault(entry, head)
        if not what and entry.id in seen:
            what = f"id {entry.id!r} is repeated"
        if what:
            return BrokenLink(head.number + 1, what)
        seen.add(entry.id)
        head = entry.head
    return None


def _fault(entry: Entry, head: LogHead) -> str:
    """Return why an entry cannot follow a head, or an empty text."""
    if entry.number != head.number + 1:
        return f"number {entry.number} follows number {head.number}"
    if entry.previous_hash != head.hash:
        return f"previous hash {entry.previous_hash} differs from {head.hash}"
    if entry.payload_hash != entry.event.payload_hash:
        return f"{entry.id!r} has hash {entry.event.payload_hash}, recorded is {entry.payload_hash}"
    if entry.hash != entry.expected_hash:
        return f"hash {entry.hash} differs from that of the columns, {entry.expected_hash}"
    if head.recorded_at is not None and entry.recorded_at < head.recorded_at:
        return f"time {entry.recorded_at} is before {head.recorded_at}"
    return ""


@dataclass(frozen=True)
class Journal:
    """The state of the journal together with the head of its log."""

    state: JournalState = EMPTY
    head: LogHead = LogHead()


@dataclass(frozen=True)
class Recorded:
    """A group that was applied and recorded."""

    journal: Journal
    """The journal afterwards."""
    entry: Entry | None
    """The new entry; None for a repeat, which changes nothing."""
    applied: Applied


def record(journal: Journal, group: Group, now: datetime, *, actor: str) -> Recorded | Refused:
    """Apply a group and append it to the log; a refused group is not recorded.

    Raises
    ------
    KeyReused
        If another group was applied under the same id.
    InvalidRequest
        If `now` is not in UTC or before the last entry, or the actor is not valid.
    """
    outcome = apply(journal.state, group, now)
    if isinstance(outcome, Refused):
        return outcome
    if outcome.is_repeat:
        return Recorded(journal, None, outcome)
    entry = following_entry(journal.head, group, now, actor=actor)
    return Recorded(Journal(outcome.state, entry.head), entry, outcome)


def replay(entries: Iterable[Entry], state: JournalState = EMPTY) -> Iterator[JournalState]:
    """Yield the state after each entry.

    Parameters
    ----------
    entries : iterable of Entry
        In the order of the log; entries that are not groups leave the state unchanged.
    state : JournalState
        The state before them.

    Raises
    ------
    LedgerDamaged
        If a recorded group is refused or repeated, so that the entries are not those of a journal.
    """
    for entry in entries:
        if isinstance(entry.event, Group):
            outcome = apply(state, entry.event, entry.recorded_at)
            if isinstance(outcome, Refused):
                raise _damaged(entry, f"{outcome.rule}: {outcome.what}")
            if outcome.is_repeat:
                raise _damaged(entry, f"group {entry.id!r} is recorded twice")
            state = outcome.state
        yield state


def _damaged(entry: Entry, what: str) -> LedgerDamaged:
    problem = Problem(f"entry {entry.number}", what, "restore a backup")
    return LedgerDamaged("the journal cannot be rebuilt from its log", [problem])


def state_at(entries: Iterable[Entry], number: int, state: JournalState = EMPTY) -> JournalState:
    """Return the state after entry `number`.

    Parameters
    ----------
    entries : iterable of Entry
        In the order of the log; read up to entry `number`.
    number : int
        0 gives the state before the first entry.
    state : JournalState
        The state before `entries`.

    Raises
    ------
    InvalidRequest
        If the entries end before `number`, or begin after it.
    LedgerDamaged
        As `replay`.
    """
    last = 0

    def until() -> Iterator[Entry]:
        nonlocal last
        for entry in entries if number > 0 else ():
            if entry.number <= number:
                last = entry.number
                yield entry
            if entry.number >= number:
                return

    for after in replay(until(), state):
        state = after
    if last != number:
        what = f"the log has no entry {number}; the last one read is {last}"
        raise_if_any([Problem("number", what)], InvalidRequest, "the state is not known")
    return state
