"""A book run: the margins of all accounts of a book, computed by tasks and reducers.

The accounts are split into ranges and the scenarios into slices. One task per range and slice, a
work item, computes profits; a reducer joins them to margins. A run is complete or has no result.
The process of the caller drives the run and owns its tasks, so the run ends with that process. A
work item whose worker, node or cube slice is lost is repeated until the deadline. Work items are
pure, so the result has the same bits even if some were computed before a loss and some after it.

Only tasks are cancelled. Cancelling an actor call stalls the actor for all its callers; instead,
the reducers receive the id of an abandoned run and skip its queued calls.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import uuid4

import ray
from ray import ObjectRef

from margin_actors.actors.cluster import Cluster, finished
from margin_actors.actors.faults import is_lost_object
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.actors.plan import Span, account_ranges, spans
from margin_actors.actors.retries import repeat_losses
from margin_actors.actors.work import revalue, sum_slice
from margin_actors.engine.margin import (
    TOO_LARGE,
    AccountFailure,
    BookAssessment,
    Margins,
    PreparedBook,
    PreparedMarket,
    SlicePnl,
    assess_book,
    concatenate_margins,
    result_digest,
)
from margin_actors.engine.pricing import TILE
from margin_actors.errors import InvalidPortfolio
from margin_actors.market.books import Book

T = TypeVar("T")
POSITIONS_PER_ITEM = 250_000
"""Maximum positions of a work item: about 50 ms over 1,280 scenarios, compared with 1 ms for a
call. Ten times as many if the work item also prices the contracts."""
ACCOUNTS_PER_ITEM = 5_000
"""Maximum accounts of a work item."""
PROFIT_BYTES_MAX = 64 * 2**20
"""Maximum bytes of profits of a range of accounts if all profits are kept."""
NANOSECONDS_PER_PRICE = 5.0
"""Estimated time to price one contract in one scenario."""
NANOSECONDS_PER_SUM = 0.08
"""Estimated time to add the profit of one position in one scenario."""
SECONDS_PER_ITEM = 0.3
"""Target duration of a work item that also prices the contracts."""
SLICES_MAX = 512
"""Maximum number of scenario slices."""


@dataclass(frozen=True)
class Failures:
    """Accounts that cannot be margined."""

    failures: tuple[AccountFailure, ...]


@dataclass(frozen=True)
class Progress:
    """Progress of a run."""

    done: int
    """Work items and reductions done."""
    total: int
    """Number of all work items and reductions."""


@dataclass(frozen=True)
class Batch:
    """Margins of accounts [first, last) of the assessed book."""

    first: int
    last: int
    margins: Margins
    assessment: BookAssessment


@dataclass(frozen=True)
class Completed:
    """The result of a run; every account was yielded before, with its margin or as a failure."""

    margins: Margins
    digest: str
    generation: ResidentGeneration
    assessment: BookAssessment


class _Losses:
    """The generation of a run, restored after losses; all batches share it and one report."""

    def __init__(self, cluster: Cluster, generation: ResidentGeneration, until: float) -> None:
        self.cluster, self.generation, self.until = cluster, generation, until
        self._lock = asyncio.Lock()

    async def restore(self, seen: ResidentGeneration) -> None:
        async with self._lock:
            if self.generation is seen:
                self.generation = await self.cluster.restore(seen, until=self.until)


async def run_book(
    cluster: Cluster,
    generation: ResidentGeneration,
    book: Book,
    *,
    until: float,
    others: Book | None = None,
) -> AsyncGenerator[Failures | Progress | Batch | Completed]:
    """Yield the accounts that cannot be margined, the margins of all others, and the completed run.

    All `Failures` come before the first `Batch`; there are none if every account can be margined.
    Batches follow in the order of the assessed book, which `Completed` contains. `until` is the
    deadline, in seconds of the monotonic clock. `others` are further accounts of the members, see
    `assess_book`.

    Raises
    ------
    Overloaded
        If the maximum number of book runs is in progress.
    DeadlinePassed, ClusterUnavailable
        If the run cannot be completed; what was yielded before is not a result.
    """
    run_id = uuid4().hex
    async with cluster.run_slot(run_id, until=until):
        assessment = await asyncio.to_thread(assess_book, generation.priced, book, others)
        if assessment.failures:
            yield Failures(assessment.failures)
        run = _Run(cluster, generation, run_id, until)
        try:
            while True:
                try:
                    async with contextlib.aclosing(run.events(assessment)) as events:
                        async for event in events:
                            yield event
                    return
                except InvalidPortfolio as error:
                    if not error.too_large:
                        raise
                    before = {failure.account_id for failure in assessment.failures}
                    assessment = assessment.excluding(error.too_large, TOO_LARGE)
                    more = (f for f in assessment.failures if f.account_id not in before)
                    yield Failures(tuple(more))
        finally:
            if not run.is_complete:
                cluster.abandon(run_id)


@dataclass(frozen=True)
class _Division:
    """Division of a run into work items."""

    own_market: ObjectRef[PreparedMarket] | None
    """Reference to the market that the work items price; None if its prices are in the cube."""
    spans: tuple[Span, ...]
    """Slices of the scenarios."""
    ranges: list[tuple[int, int]]
    """Ranges of accounts."""
    shared: ObjectRef[PreparedBook]
    """Reference to the `PreparedBook`."""

    @property
    def total(self) -> int:
        """Number of work items and reductions."""
        return len(self.ranges) * (len(self.spans) + 1)


class _Run:
    """A run that can be repeated without the accounts that turn out to be too large."""

    def __init__(
        self,
        cluster: Cluster,
        generation: ResidentGeneration,
        run_id: str,
        until: float,
    ) -> None:
        self.cluster, self.run_id, self.until = cluster, run_id, until
        self.losses = _Losses(cluster, generation, until)
        self.generation = generation
        self.is_complete = False

    async def events(
        self, assessment: BookAssessment
    ) -> AsyncGenerator[Progress | Batch | Completed]:
        """Yield progress, batches, and the completed run.

        If the work items compute the prices, an account that is too large to be summed exactly is
        only detected by its reduction. All batches are then held back until the last is complete.
        """
        batches: list[Batch] = []
        if assessment.book.accounts:
            division = await self._divide(assessment)
            async with contextlib.aclosing(self._batches(division, assessment)) as events:
                async for event in events:
                    if isinstance(event, Batch):
                        batches.append(event)
                    if isinstance(event, Progress) or division.own_market is None:
                        yield event
            yield Progress(division.total, division.total)
            if division.own_market is not None:
                for batch in batches:
                    yield batch
            whole = concatenate_margins([batch.margins for batch in batches])
        else:
            priced = self.generation.priced
            whole = await asyncio.to_thread(priced.margins, assessment.book)
        self.is_complete = True
        yield Completed(whole, self._digest(whole, assessment), self.generation, assessment)

    def _digest(self, margins: Margins, assessment: BookAssessment) -> str:
        handle = self.generation.handle
        return result_digest(
            margins,
            snapshot_id=handle.snapshot_id,
            scenarios_id=handle.scenarios_id,
            model_id=handle.model_id,
            book_id=assessment.book_id,
            failures=assessment.failures,
        )

    async def _divide(self, assessment: BookAssessment) -> _Division:
        priced, sample = self.generation.priced, self.generation.priced.sample
        book, others = assessment.book, assessment.others
        market, prepared = await asyncio.to_thread(priced.prepare_book, book, others)
        accounts_max = ACCOUNTS_PER_ITEM
        if sample.needs_all:
            accounts_max = max(1, PROFIT_BYTES_MAX // (8 * sample.n_rows))
        own_market: ObjectRef[PreparedMarket] | None = None
        if market is priced.market and priced.slices is not None:
            scenario_spans = self.generation.handle.spans
            positions = POSITIONS_PER_ITEM
        else:
            # The work items compute the prices: use few account ranges and many scenario slices.
            own_market = await asyncio.to_thread(_put, market)
            cpus = max(1.0, self.cluster.cpus)
            n_contracts = len(market.contracts)
            scenario_spans = _priced_spans(n_contracts, book.n_positions, sample.n_rows, cpus)
            positions = 10 * POSITIONS_PER_ITEM
        start = prepared.holdings.start.tolist()
        ranges = account_ranges(start, positions=positions, accounts=accounts_max)
        return _Division(
            own_market, scenario_spans, ranges, await asyncio.to_thread(_put, prepared)
        )

    async def _batches(
        self, division: _Division, assessment: BookAssessment
    ) -> AsyncGenerator[Progress | Batch]:
        """Yield progress and the batches in order; cancel all tasks on exit."""
        finished_items: asyncio.Queue[int] = asyncio.Queue()
        tasks = [
            asyncio.create_task(self._batch(division, first, last, number, finished_items))
            for number, (first, last) in enumerate(division.ranges)
        ]
        done = 0
        waiting: asyncio.Task[int] | None = None
        try:
            yield Progress(0, division.total)
            for (first, last), task in zip(division.ranges, tasks, strict=True):
                while not task.done():
                    waiting = waiting or asyncio.create_task(finished_items.get())
                    await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
                    if waiting.done():
                        done += waiting.result()
                        waiting = None
                        yield Progress(min(done, division.total), division.total)
                yield Batch(first, last, await task, assessment)
        finally:
            for task in tasks:
                task.cancel()
            if waiting is not None:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _batch(
        self, division: _Division, first: int, last: int, number: int, done: asyncio.Queue[int]
    ) -> Margins:
        """Return the margins of accounts [first, last); repeat lost work until the deadline."""
        work = partial(self._attempt, division, first, last, number, done)
        exhausted = "components of the cluster were lost and not replaced before the deadline"
        return await repeat_losses(work, until=self.until, exhausted=exhausted)

    async def _attempt(
        self,
        division: _Division,
        first: int,
        last: int,
        number: int,
        done: asyncio.Queue[int],
        attempt: int,
    ) -> Margins:
        """Return the margins of accounts [first, last); restore lost cube slices before raising."""
        generation = self.losses.generation
        items = _submit(generation, division, first, last)
        try:
            reducers = await self.cluster.reducers(until=self.until, refresh=attempt > 0)
            reducer = reducers[number % len(reducers)]
            joined = reducer.reduce.remote(self.run_id, division.shared, first, last, *items)
            await self._items_done(items, done)
            margins = await finished(joined, until=self.until)
        except BaseException as error:
            _cancel_tasks(items)
            if is_lost_object(error):
                await self.losses.restore(generation)
            raise
        assert margins is not None  # only runs that have ended are abandoned
        done.put_nowait(1)
        return margins

    async def _items_done(
        self, items: Sequence[ObjectRef[SlicePnl]], done: asyncio.Queue[int]
    ) -> None:
        """Wait for all work items without fetching their results, which the reducer reads."""
        waiting = [asyncio.create_task(_arrived(item, self.until)) for item in items]
        try:
            for item in asyncio.as_completed(waiting):
                await item
                done.put_nowait(1)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def _submit(
    generation: ResidentGeneration, division: _Division, first: int, last: int
) -> list[ObjectRef[SlicePnl]]:
    handle = generation.handle
    if division.own_market is not None:
        return [
            revalue.remote(
                division.own_market, handle.scenarios, span, division.shared, first, last
            )
            for span in division.spans
        ]
    assert handle.slices is not None
    return [sum_slice.remote(part, division.shared, first, last) for part in handle.slices]


async def _arrived(ref: ObjectRef[T], until: float) -> None:
    await finished(ref, until=until)


def _cancel_tasks(items: Sequence[ObjectRef[T]]) -> None:
    """Cancel revaluation tasks; actor calls must not be cancelled, see the module."""
    for item in items:
        with contextlib.suppress(Exception):  # the task may be done or lost
            ray.cancel(item)


def _priced_spans(
    n_contracts: int, n_positions: int, n_scenarios: int, cpus: float
) -> tuple[Span, ...]:
    """Return scenario slices that take about SECONDS_PER_ITEM each, at least one per processor."""
    per_scenario = n_contracts * NANOSECONDS_PER_PRICE + n_positions * NANOSECONDS_PER_SUM
    wanted = round(per_scenario * 1e-9 * n_scenarios / SECONDS_PER_ITEM)
    return spans(n_scenarios, min(max(wanted, int(cpus)), SLICES_MAX), tile=TILE)


def _put(value: T) -> ObjectRef[T]:
    return ray.put(value)
