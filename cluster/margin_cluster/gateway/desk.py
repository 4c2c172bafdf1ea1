"""Resources shared by the use cases of one gateway: the cluster, the archive, positions, threads.

A small calculation runs on the event loop itself, on prices that are memory-mapped from this node's
object store. Work that takes longer than a millisecond runs in threads (kernels release the
interpreter lock). A book is margined by the cluster.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from margin_actors.actors.book_run import run_book
from margin_actors.actors.cluster import Cluster
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.actors.jobs import run_beside
from margin_actors.actors.work import ProgressCallback
from margin_actors.engine.margin import Margins
from margin_actors.market.books import book_of_portfolios
from margin_actors.market.identity import content_id
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.convert.margin_types import generation_to_mapping
from margin_cluster.gateway.recorder import Recorder
from margin_cluster.ledger import CalculationKind, CalculationRecord
from margin_cluster.positions import Holding, Positions

R = TypeVar("R")


class Desk:
    """Resources of one gateway; belongs to one event loop."""

    def __init__(self, cluster: Cluster, archive: StoreArchive, *, threads: int) -> None:
        self.cluster, self.archive = cluster, archive
        self.positions = Positions(archive)
        self.recorder = Recorder(archive.ledger)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="margin")
        # Files and the ledger's slow writes have separate threads, so that calculations do not wait
        # for them.
        self._files = ThreadPoolExecutor(2, thread_name_prefix="files")

    def close(self) -> None:
        """Finish pending writes and release the ledger."""
        self._pool.shutdown()
        self._files.shutdown()
        self.recorder.close()
        self.archive.ledger.close()

    async def compute(self, work: Callable[..., R], *args: Any) -> R:
        """Run a short calculation in one of the computing threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)

    async def store(self, work: Callable[..., R], *args: Any) -> R:
        """Run a function that reads or writes files or the ledger in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._files, work, *args)

    async def warm(self, *, until: float) -> None:
        """Load every kernel in this process and in the cluster's tasks, reducers and jobs.

        A one-position account and a book with one such account per CPU are margined, and a job that
        does nothing is run. `until` is the deadline, a monotonic time in seconds.
        """
        await asyncio.gather(self._warm_margins(until), _warm_jobs(until))

    async def _warm_margins(self, until: float) -> None:
        generation = await self.cluster.generation(until=until)
        contracts = generation.priced.market.contracts
        if len(contracts) == 0:
            return
        held = {contracts.names[0]: float(contracts.lot[0])}
        await self.compute(generation.priced.margins, Holding("", "", held).book)
        cpus = int(self.cluster.cpus)
        book = book_of_portfolios((f"warm{i}", "", held) for i in range(cpus))
        async for _ in run_book(self.cluster, generation, book, until=until):
            pass

    async def held(self, account: str) -> tuple[Holding, int]:
        """Return an account's positions after all changes committed so far, and their version.

        Raises
        ------
        UnknownAccount
            If the account has never held a position.
        MissingMarketData
            If the stored positions cannot be read.
        LedgerUnavailable
            If the ledger cannot be read.
        """
        if not (self.archive.ledger.reads_at_once and self.positions.is_current()):
            await self.store(self.positions.follow)
        return self.positions.held(account)


async def _warm_jobs(until: float) -> None:
    async for _ in run_beside(_nothing, until=until):
        pass


def _nothing(_report: ProgressCallback) -> None:
    """Return at once: a job for warming up."""


def calculation_record(
    generation: ResidentGeneration,
    margins: Margins,
    call: Call,
    *,
    kind: CalculationKind,
    inputs: dict[str, Any],
    digest: str,
    key: str,
    **others: Any,
) -> CalculationRecord:
    """Return the record of a calculation.

    Its id depends on the method, the caller's idempotency key and the inputs, so that a repeated
    call with the same key and inputs gets the same id. Without a key every call gets a new id.
    """
    ids = {name: inputs[name] for name in inputs if name != "surface_ids"}
    named = {"method": call.method, "key": key or uuid4().hex, "inputs": ids}
    return CalculationRecord(
        calculation_id=content_id("calculation", named),
        kind=kind,
        create_time=datetime.now(UTC),
        request_id=call.request_id,
        generation=generation_to_mapping(generation),
        inputs=inputs,
        digest=digest,
        accounts=margins.positions.size,
        positions=int(margins.positions.sum()),
        initial_margin_usd=float(margins.initial_margin_usd.sum()),
        idempotency_key=key,
        **others,
    )
