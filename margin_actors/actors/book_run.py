"""One run over a book: tasks for its parts, a reducer for its accounts, complete or not at all.

The caller's process drives it and owns its tasks, so a run ends with whoever asked for it. A part
whose worker, node or slab is lost is done again until the deadline; because parts are pure, a run
may mix parts of before and after a loss and still give the same bits.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import ray

from margin_actors.actors.cluster import Cluster, finished, seconds_left
from margin_actors.actors.faults import cause_of, is_loss, is_lost_object, is_ours
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.actors.plan import Span, account_ranges, backoff_seconds, spans
from margin_actors.actors.work import BookInput, revalue, sum_slab
from margin_actors.engine.margin import Margins, PreparedMarket, result_digest
from margin_actors.engine.margin.margins import concatenate_margins
from margin_actors.engine.pricing import TILE
from margin_actors.errors import ClusterUnavailable, Overloaded
from margin_actors.market.portfolios import Book

POSITIONS_A_PART = 250_000
"""Positions of a part: some 50 ms over 1,280 scenarios, long beside the 1 ms of a call."""
ACCOUNTS_A_PART = 5_000
PROFIT_BYTES_MAX = 64 * 2**20
"""Profits of a part where all are kept."""
NANOSECONDS_A_PRICE = 5.0
NANOSECONDS_A_SUM = 0.08
SECONDS_A_PART = 0.3
PARTS_MAX = 512


@dataclass(frozen=True)
class Progress:
    """Parts done."""

    done: int
    total: int


@dataclass(frozen=True)
class Batch:
    """Margins of accounts [first, last) of the book."""

    first: int
    last: int
    margins: Margins


@dataclass(frozen=True)
class Completed:
    """The end of a run: every account has been told."""

    margins: Margins
    digest: str
    generation: ResidentGeneration


class _Losses:
    """Generations after losses, shared by the batches of a run: one report for all."""

    def __init__(self, cluster: Cluster, generation: ResidentGeneration, until: float) -> None:
        self.cluster, self.generation, self.until = cluster, generation, until
        self._lock = asyncio.Lock()

    async def make_good(self, seen: ResidentGeneration) -> None:
        async with self._lock:
            if self.generation is seen:
                self.generation = await self.cluster.make_good(seen, until=self.until)


async def run_book(
    cluster: Cluster,
    generation: ResidentGeneration,
    book: Book,
    *,
    until: float,
    where: str = "book",
) -> AsyncGenerator[Progress | Batch | Completed]:
    """Yield progress, the margins of all accounts in the book's order, and the completed run.

    Raises
    ------
    InvalidPortfolio, MissingMarketData
        Naming everything in the book that cannot be margined.
    Overloaded
        If as many books are running as may.
    DeadlinePassed, ClusterUnavailable
        If it cannot be completed; what was yielded before is no result.
    """
    run_id = uuid4().hex
    try:
        wait = await cluster.take_slot(run_id, until=until)
        if wait > 0.0:
            busy = Overloaded("as many books are being margined as may be at once")
            busy.retry_seconds = wait
            raise busy
        async for event in _run(cluster, generation, book, until, where):
            yield event
    finally:
        cluster.give_slot_back(run_id)  # also where the caller left before the lease was told


async def _run(
    cluster: Cluster, generation: ResidentGeneration, book: Book, until: float, where: str
) -> AsyncGenerator[Progress | Batch | Completed]:
    priced = generation.priced
    laid = await asyncio.to_thread(priced.lay_out, book, where=where)
    market, held = laid.market, laid.held
    sample = priced.sample
    shared = BookInput(book.accounts, held, laid.terms, where)
    accounts_max = ACCOUNTS_A_PART
    if sample.needs_all:
        accounts_max = max(1, PROFIT_BYTES_MAX // (8 * sample.n_rows))
    own_market: Any = None
    if market is priced.market and priced.slabs is not None:
        cut = generation.handle.spans
        positions = POSITIONS_A_PART
    else:
        # Prices are made by the parts themselves: few ranges of accounts, many of scenarios.
        own_market = await asyncio.to_thread(_put, market)
        cpus = max(1.0, cluster.cpus)
        cut = _priced_spans(len(market.contracts), book.n_positions, sample.n_rows, cpus)
        positions = 10 * POSITIONS_A_PART
    ranges = account_ranges(
        held.holdings.start.tolist(), positions=positions, accounts=accounts_max
    )
    shared_ref = await asyncio.to_thread(_put, shared)
    losses = _Losses(cluster, generation, until)
    told: asyncio.Queue[int] = asyncio.Queue()
    total = len(ranges) * (len(cut) + 1)
    batches = [
        asyncio.create_task(_batch(losses, own_market, cut, shared_ref, first, last, number, told))
        for number, (first, last) in enumerate(ranges)
    ]
    done = 0
    collected: list[Margins] = []
    try:
        yield Progress(0, total)
        for (first, last), batch in zip(ranges, batches, strict=True):
            while not batch.done():
                waiting = asyncio.create_task(told.get())
                await asyncio.wait({waiting, batch}, return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    done += waiting.result()
                    yield Progress(min(done, total), total)
                else:
                    waiting.cancel()
            margins = await batch
            collected.append(margins)
            yield Batch(first, last, margins)
    finally:
        for batch in batches:
            batch.cancel()
        await asyncio.gather(*batches, return_exceptions=True)
    whole = concatenate_margins(collected)
    handle = generation.handle
    digest = result_digest(
        whole,
        snapshot_id=handle.snapshot_id,
        scenarios_id=handle.scenarios_id,
        model_id=handle.model_id,
        book_id=book.id,
    )
    yield Progress(total, total)
    yield Completed(whole, digest, generation)


async def _batch(
    losses: _Losses,
    own_market: Any,
    cut: tuple[Span, ...],
    shared: Any,
    first: int,
    last: int,
    number: int,
    told: asyncio.Queue[int],
) -> Margins:
    """Return the margins of some accounts, doing again what is lost until the deadline."""
    attempt = 0
    while True:
        generation = losses.generation
        parts = _submit(generation, own_market, cut, shared, first, last)
        joined: Any = None
        try:
            reducers = await losses.cluster.reducers(until=losses.until, anew=attempt > 0)
            joined = reducers[number % len(reducers)].reduce.remote(shared, first, last, *parts)
            for part in asyncio.as_completed([_arrived(p, losses.until) for p in parts]):
                await part
                told.put_nowait(1)
            margins: Margins = await finished(joined, until=losses.until)
            told.put_nowait(1)
        except asyncio.CancelledError:
            _cancel([*parts, joined])
            raise
        except Exception as error:
            _cancel([*parts, joined])
            if is_ours(error):
                raise cause_of(error) from None
            if not is_loss(error):
                raise
            if is_lost_object(error):
                await losses.make_good(generation)
        else:
            return margins
        if seconds_left(losses.until) <= backoff_seconds(attempt):
            raise ClusterUnavailable("parts of the cluster were lost and not replaced in time")
        await asyncio.sleep(backoff_seconds(attempt))
        attempt += 1


def _submit(
    generation: ResidentGeneration,
    own_market: Any,
    cut: tuple[Span, ...],
    shared: Any,
    first: int,
    last: int,
) -> list[Any]:
    handle = generation.handle
    if own_market is not None:
        return [
            revalue.remote(own_market, handle.scenarios, span, shared, first, last) for span in cut
        ]
    assert handle.slabs is not None
    return [sum_slab.remote(slab, shared, first, last) for slab in handle.slabs]


async def _arrived(ref: Any, until: float) -> None:
    """Wait for a part; it is read where it lies and let go."""
    await finished(ref, until=until)


def _cancel(refs: list[Any]) -> None:
    for ref in refs:
        if ref is not None:
            with contextlib.suppress(Exception):  # it may be done, lost, or an actor's
                ray.cancel(ref)


def _priced_spans(
    n_contracts: int, n_positions: int, n_scenarios: int, cpus: float
) -> tuple[Span, ...]:
    """Return slices of some tenths of a second each, at least one a processor."""
    a_scenario = n_contracts * NANOSECONDS_A_PRICE + n_positions * NANOSECONDS_A_SUM
    wanted = round(a_scenario * 1e-9 * n_scenarios / SECONDS_A_PART)
    return spans(n_scenarios, min(max(wanted, int(cpus)), PARTS_MAX), tile=TILE)


def _put(value: BookInput | PreparedMarket) -> Any:
    return ray.put(value)
