"""The log of the clearing house: what was decided, stored in the ledger's hash-chained log.

Every process holds the state in memory as the fold of the log. A commit locks the ledger's head,
reads what other processes have committed, decides on the state that results, and appends the
events. Hence SQLite and PostgreSQL behave alike, and two processes cannot contradict each other.
The state in memory is always that of committed entries: if a commit fails, or the connection is
lost before its result is known, the next commit or `refresh` reads what was committed.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Generic, TypeVar

from margin_actors.errors import InvalidRequest, LedgerDamaged, LedgerUnavailable, Problem
from margin_cluster.ledger.clearing_batch import Batch
from margin_cluster.ledger.clearing_history import StateHistory
from margin_cluster.ledger.clearing_machine import C, D, E, Machine
from margin_cluster.ledger.clearing_queue import GroupCommit
from margin_cluster.ledger.clearing_reading import EventPage, LogReader
from margin_cluster.ledger.clearing_rows import (
    Committed,
    folded,
    repeated_id,
    rows_after,
    time_of,
)
from margin_cluster.ledger.database import Database
from margin_cluster.ledger.failures import DRIVER_ERRORS
from margin_cluster.ledger.writer import Writer

S = TypeVar("S")
Projection = Callable[[Writer, S, Sequence[E], datetime], None]
"""Writes what follows from new events to other tables, in the transaction that records them; takes
the writer, the state after the events, the events (at least one) and the time of their recording,
UTC."""
Clock = Callable[[], datetime]
"""Returns the wall clock, UTC."""

_READ_TOGETHER = 250
_POLL_SECONDS = 0.05
_TRIES = 5


def wall_clock() -> datetime:
    """Return the time of this machine, UTC."""
    return datetime.now(UTC)


class _FarBehind(Exception):  # noqa: N818
    """More was committed by others than should be read while the head is locked."""


class ClearingLog(Generic[S, E, C, D]):
    """The log of one state machine in a ledger. Safe to use from many threads; methods block.

    Parameters
    ----------
    database : Database
        An open ledger; the log does not close it.
    machine : Machine
    clock : callable
        Returns the wall clock, UTC.
    pending_max, together_max : int
        Limits of the queue of `submit`, see `GroupCommit`.
    projection : callable, optional
        See `Projection`. Every process that opens the log must use the same one.
    poll_seconds : float
        Time between two looks for commits of other processes while a caller waits for one.

    Raises
    ------
    LedgerDamaged
        If an event cannot be read or applied.
    LedgerUnavailable
        If the database does not answer.
    """

    def __init__(
        self,
        database: Database,
        machine: Machine[S, E, C, D],
        *,
        clock: Clock = wall_clock,
        projection: Projection[S, E] | None = None,
        pending_max: int = 2_000,
        together_max: int = 200,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        self._database, self._machine, self._clock = database, machine, clock
        self._projection = projection
        self._where = database.address.shown
        self._reader = LogReader(database, machine)
        self._committed = Committed(machine.empty)
        self._history = StateHistory(self._committed)
        self._advanced = threading.Condition()
        self._refreshing = threading.Lock()
        self._poll_seconds, self._polled = poll_seconds, 0.0
        self._queue: GroupCommit[C, D] = GroupCommit(
            self._commit_each, pending_max=pending_max, together_max=together_max
        )
        self.refresh()

    def close(self) -> None:
        """Commit what is queued and refuse further commands."""
        self._queue.close()

    # -- the state -----------------------------------------------------------------------------

    @property
    def committed(self) -> Committed[S]:
        """The state in memory together with its position in the log."""
        return self._committed

    @property
    def state(self) -> S:
        """The state in memory: that of all entries which this process has read or committed."""
        return self._committed.state

    def refresh(self) -> Committed[S]:
        """Read what other processes have committed, and return the state that results."""
        with self._refreshing:
            return self._read_new()

    def _read_new(self) -> Committed[S]:
        base = self._committed
        while True:
            rows = self._reader.rows(base.at.number, _READ_TOGETHER)
            base = self._expose(folded(self._machine, base, rows, self._where))
            if len(rows) < _READ_TOGETHER:
                self._polled = time.monotonic()
                return base

    def state_at(self, position: int | datetime) -> S:
        """Return a past state.

        Parameters
        ----------
        position : int or datetime
            The number of an event, 0 for the state before the first one; or a time, UTC, for the
            state after the last event recorded at or before it. The state at a time before the last
            event never changes. Later events can have the time of the last event, or a time that
            has not passed yet.

        Raises
        ------
        InvalidRequest
            If the log has no such event, or the time is not in UTC.
        """
        number = self._reader.number_at(position) if isinstance(position, datetime) else position
        base = self._history.before(max(number, 0))
        while base.at.number < number:
            some = min(_READ_TOGETHER, number - base.at.number)
            rows = self._reader.rows(base.at.number, some)
            if not rows:
                break
            base = folded(self._machine, base, rows, self._where)
        if base.at.number != number:
            what = f"the log has no event {number}; the last one is {base.at.number}"
            raise InvalidRequest("the state is not known", [Problem("position", what)])
        return base.state

    def _expose(self, found: Committed[S]) -> Committed[S]:
        """Make a committed state visible unless a later one is, and return the visible one."""
        with self._advanced:
            if found.at.number > self._committed.at.number:
                self._committed = found
                self._history.note(found)
                self._advanced.notify_all()
            return self._committed

    # -- committing ----------------------------------------------------------------------------

    def commit(
        self,
        commands: Sequence[C],
        clock: Clock | None = None,
        *,
        check: Callable[[S], None] | None = None,
    ) -> list[D]:
        """Decide commands in order and commit their events in one transaction.

        Parameters
        ----------
        commands : sequence of Command
            Each is decided on the state that the preceding ones leave.
        clock : callable, optional
            Returns the wall clock instead of the log's own.
        check : callable, optional
            Called with the state of everything that is committed, before the first decision. The
            head of the ledger is locked; it may read the ledger and must not write to it. An
            exception that it raises refuses all commands.

        Returns
        -------
        list
            One decision for each command; all of them are committed.

        Raises
        ------
        LedgerUnavailable
            If the transaction failed, or its result is not known. It was committed as a whole or
            not at all; commands can be repeated, because `decide` recognises those that it knows.
        KeyReused
            If an event has the id of a recorded one. Nothing was committed.
        InvalidRequest
            If an event cannot be recorded. Nothing was committed.
        Exception
            Any that `decide` raises. Nothing was committed.
        """
        decided, _ = self._transact(commands, clock or self._clock, check=check)
        return decided

    def submit(self, command: C, *, wait_seconds: float = 0.0) -> "Future[D]":
        """Queue a command, which is committed together with others; see `GroupCommit.submit`.

        The future returns the decision when it is committed, or raises what `commit` would raise
        for this command alone; a command that is refused does not affect the others. In an event
        loop: ``await asyncio.wrap_future(log.submit(command))``.
        """
        return self._queue.submit(command, wait_seconds=wait_seconds)

    def _commit_each(self, commands: Sequence[C]) -> list[D | Exception]:
        """Commit commands in one transaction, each with its own result.

        If the database refuses the transaction because of its content, the commands are committed
        one by one to find the one to refuse.
        """
        try:
            decided, refused = self._transact(commands, self._clock, skips_refused=True)
        except (LedgerUnavailable, LedgerDamaged):
            raise
        except Exception as error:
            if len(commands) == 1:
                return [error]
        else:
            replies = iter(decided)
            return [refused[i] if i in refused else next(replies) for i in range(len(commands))]
        results: list[D | Exception] = []
        for number, command in enumerate(commands):
            try:
                results += self._commit_each([command])
            except (LedgerUnavailable, LedgerDamaged) as error:
                # Those before have been committed and keep their results.
                return [*results, *[error] * (len(commands) - number)]
        return results

    def _transact(
        self,
        commands: Sequence[C],
        clock: Clock,
        *,
        check: Callable[[S], None] | None = None,
        skips_refused: bool = False,
    ) -> tuple[list[D], dict[int, Exception]]:
        """Return (decisions, what refused the other commands by their index)."""
        for tries_left in reversed(range(_TRIES)):
            try:
                with self._database.writing() as writer:
                    base = self._caught_up(writer, is_last_try=tries_left == 0)
                    if check is not None:
                        check(base.state)
                    batch = Batch(self._machine, base, clock(), skips_refused=skips_refused)
                    batch.decide(commands)
                    at_ms = batch.now_us // 1000
                    writer.append("clearing_event", batch.rows, create_ms=at_ms)
                    appended = writer.hash
                    if self._projection is not None and batch.events:
                        self._projection(writer, batch.state, batch.events, time_of(batch.now_us))
                    after = batch.committed(appended)
            except _FarBehind:
                self.refresh()
                continue
            except DRIVER_ERRORS as error:
                repeated = repeated_id(error)
                if repeated is None:
                    raise
                raise repeated from error
            self._expose(after)
            return batch.decided, batch.refused
        raise AssertionError("the last try reads everything")

    def _caught_up(self, writer: Writer, *, is_last_try: bool) -> Committed[S]:
        """Return the state of everything that is committed; the head is locked."""
        base = self._committed
        while True:
            rows = rows_after(writer.all, base.at.number, _READ_TOGETHER)
            if len(rows) == _READ_TOGETHER and not is_last_try:
                raise _FarBehind
            base = self._expose(folded(self._machine, base, rows, self._where))
            if len(rows) < _READ_TOGETHER:
                return base

    # -- reading -------------------------------------------------------------------------------

    def events_after(
        self,
        after: int | str = 0,
        kinds: Sequence[str] = (),
        account: str = "",
        limit: int = 1_000,
        *,
        with_shared: bool = False,
    ) -> EventPage[E]:
        """Return committed events after a position; see `LogReader.events_after`."""
        return self._reader.events_after(after, kinds, account, limit, with_shared=with_shared)

    def wait_for(self, number: int, timeout_seconds: float) -> bool:
        """Wait until event `number` is committed, by any process; return whether it is.

        Commits of this process are noticed at once, those of other processes by polling; however
        many callers wait, one of them polls.
        """
        until = time.monotonic() + timeout_seconds
        while self._committed.at.number < number:
            left = until - time.monotonic()
            if left <= 0:
                return False
            with self._advanced:
                self._advanced.wait_for(
                    lambda: self._committed.at.number >= number, min(left, self._poll_seconds)
                )
            self._poll()
        return True

    def _poll(self) -> None:
        if self._refreshing.acquire(blocking=False):
            try:
                if time.monotonic() >= self._polled + self._poll_seconds:
                    self._read_new()
            finally:
                self._refreshing.release()


__all__ = ["ClearingLog", "Clock", "EventPage", "wall_clock"]
