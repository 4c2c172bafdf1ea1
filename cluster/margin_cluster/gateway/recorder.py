"""Records calculations, many in one transaction; each is confirmed once it is committed."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, Full, Queue
from threading import Lock, Thread

from margin_actors.errors import LedgerUnavailable, MarginError, Overloaded
from margin_cluster.ledger import CalculationRecord, Ledger

WAITING_MAX = 4_096
"""Largest number of calculations that wait to be recorded."""
TOGETHER_MAX = 256
"""Largest number of calculations in one transaction."""

_Item = tuple[CalculationRecord, Future[None]]


class Recorder:
    """A thread that records calculations in batches, in the order in which they were passed.

    Batches are used because a disk flush takes as long for two hundred rows as for one.

    Parameters
    ----------
    ledger : Ledger
    on_failure : callable, optional
        Called with the error of every transaction that failed, in the recorder's thread.
    """

    def __init__(
        self, ledger: Ledger, *, on_failure: Callable[[Exception], None] | None = None
    ) -> None:
        self._ledger = ledger
        self._on_failure = on_failure
        self._queue: Queue[_Item | None] = Queue(WAITING_MAX)
        self._closing = Lock()
        self._is_closed = False
        self._thread = Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    async def keep(self, record: CalculationRecord) -> None:
        """Return once the record is committed.

        Cancelling the wait does not withdraw the record.

        Raises
        ------
        Overloaded
            If too many calculations wait to be recorded.
        LedgerUnavailable
            If the record could not be committed, or the recorder is closed.
        """
        kept: Future[None] = Future()
        with self._closing:
            if self._is_closed:
                raise LedgerUnavailable(
                    "the service is stopping and no longer records calculations"
                )
            try:
                self._queue.put_nowait((record, kept))
            except Full:
                raise Overloaded("too many calculations wait to be recorded") from None
        # Shielded, because the thread cannot set the result of a cancelled future.
        await asyncio.shield(asyncio.wrap_future(kept))

    def close(self) -> None:
        """Record all waiting calculations and stop the thread."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            together, ends = self._waiting_with(first)
            self._record(together)
            if ends:
                return

    def _waiting_with(self, first: _Item) -> tuple[list[_Item], bool]:
        """Return (waiting items beginning with `first`, whether the recorder is to stop)."""
        together = [first]
        while len(together) < TOGETHER_MAX:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if item is None:
                return together, True
            together.append(item)
        return together, False

    def _record(self, items: list[_Item]) -> None:
        try:
            self._ledger.add_calculations([record for record, _ in items])
        except Exception as error:
            if self._on_failure is not None:
                self._on_failure(error)
            if len(items) > 1 and not isinstance(error, LedgerUnavailable):
                # At least one record is invalid, for example because a value is not finite.
                for item in items:
                    self._record([item])
                return
            for _, kept in items:
                kept.set_exception(_as_unavailable(error))
        else:
            for _, kept in items:
                kept.set_result(None)


def _as_unavailable(error: Exception) -> LedgerUnavailable:
    if isinstance(error, LedgerUnavailable):
        return LedgerUnavailable(error.summary, error.problems)
    problems = error.problems if isinstance(error, MarginError) else ()
    unavailable = LedgerUnavailable("the calculation could not be recorded", problems)
    unavailable.__cause__ = error
    return unavailable
