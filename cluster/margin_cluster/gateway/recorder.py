"""Calculations on their way into the ledger: many in one transaction, each answered when kept."""

import asyncio
from concurrent.futures import Future
from queue import Empty, Full, Queue
from threading import Thread

from margin_actors.errors import Overloaded
from margin_cluster.ledger import CalculationRecord, Ledger

WAITING_MAX = 4_096
TOGETHER_MAX = 256


class Recorder:
    """A thread that writes; a disk's flush takes as long for one row as for two hundred."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._queue: Queue[tuple[CalculationRecord, Future[None]] | None] = Queue(WAITING_MAX)
        self._thread = Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    async def keep(self, record: CalculationRecord) -> None:
        """Return once the record is committed.

        Raises
        ------
        Overloaded
            If the ledger is too far behind.
        """
        kept: Future[None] = Future()
        try:
            self._queue.put_nowait((record, kept))
        except Full:
            raise Overloaded("the ledger is behind with its records") from None
        await asyncio.wrap_future(kept)

    def close(self) -> None:
        """Write what is waiting and stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            together, ends = [first], False
            while len(together) < TOGETHER_MAX:
                try:
                    item = self._queue.get_nowait()
                except Empty:
                    break
                if item is None:
                    ends = True
                    break
                together.append(item)
            try:
                self._ledger.add_calculations([record for record, _ in together])
            except Exception as error:
                for _, kept in together:
                    if not kept.cancelled():
                        kept.set_exception(error)
            else:
                for _, kept in together:
                    if not kept.cancelled():
                        kept.set_result(None)
            if ends:
                return
