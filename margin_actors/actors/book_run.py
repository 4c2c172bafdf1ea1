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
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import ray

from margin_actors.actors.cluster import Cluster, finished, seconds_left
from margin_actors.actors.faults import cause_of, is_loss, is_lost_object, is_ours
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.actors.plan import Span, account_ranges, backoff_seconds, spans
from margin_actors.actors.work import revalue, sum_slab
from margin_actors.engine.margin import (
    TOO_LARGE,
    AccountFailure,
    BookAssessment,
    Margins,
    PreparedBook,
    PreparedMarket,
    assess_book,
    concatenate_margins,
    result_digest,
)
from margin_actors.engine.pricing import TILE
from margin_actors.errors import ClusterUnavailable, InvalidPortfolio
from margin_actors.market.books import Book

POSITIONS_A_PART = 250_000
"""Maximum positions of a work item: about 50 ms over 1,280 scenarios, compared with 1 ms for a
call. Ten times as many if the work item also prices the contracts."""
ACCOUNTS_A_PART = 5_000
"""Maximum accounts of a work item."""
PROFIT_BYTES_MAX = 64 * 2**20
"""Maximum bytes of profits of a range of accounts if all profits are kept."""
NANOSECONDS_A_PRICE = 5.0
"""Estimated time to price one contract in one scenario."""
NANOSECONDS_A_SUM = 0.08
"""Estimated time to add the profit of one position in one scenario."""
SECONDS_A_PART = 0.3
"""Target duration of a work item that also prices the contracts."""
PARTS_MAX = 512
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
) -> AsyncGenerator[Failures | Progress | Batch | Completed]:
    """Yield the accounts that cannot be margined, the margins of all others, and the completed run.

    All `Failures` come before the first `Batch`; there are none if every account can be margined.
    Batches follow in the order of the assessed book, which `Completed` contains. `until` is the
    deadline, in seconds of the monotonic clock; `where` names the book in error messages.

    Raises
    ------
    Overloaded
        If the maximum number of book runs is in progress.
    DeadlinePassed, ClusterUnavailable
        If the run cannot be completed; what was yielded before is not a result.
    """
    run_id = uuid4().hex
    async with cluster.run_slot(run_id, until=until):
        assessment = await asyncio.to_thread(assess_book, generation.priced, book)
        if assessment.failures:
            yield Failures(assessment.failures)
        run = _Run(cluster, generation, run_id, until, where)
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
class _Layout:
    """Division of a run into work items."""

    own_market: Any
    """Reference to the market that the work items price; None if its prices are in the cube."""
    cut: tuple[Span, ...]
    """Slices of the scenarios."""
    ranges: list[tuple[int, int]]
    """Ranges of accounts."""
    shared: Any
    """Reference to the `PreparedBook`."""

    @property
    def total(self) -> int:
        """Number of work items and reductions."""
        return len(self.ranges) * (len(self.cut) + 1)


class _Run:
    """A run that can be repeated without the accounts that turn out to be too large."""

    def __init__(
        self,
        cluster: Cluster,
        generation: ResidentGeneration,
        run_id: str,
        until: float,
        where: str,
    ) -> None:
        self.cluster, self.run_id, self.until, self.where = cluster, run_id, until, where
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
            layout = await self._lay_out(assessment.book)
            async with contextlib.aclosing(self._batches(layout, assessment)) as events:
                async for event in events:
                    if isinstance(event, Batch):
                        batches.append(event)
                    if isinstance(event, Progress) or layout.own_market is None:
                        yield event
            yield Progress(layout.total, layout.total)
            if layout.own_market is not None:
                for batch in batches:
                    yield batch
            whole = concatenate_margins([batch.margins for batch in batches])
        else:
            priced = self.generation.priced
            whole = await asyncio.to_thread(priced.margins, assessment.book, where=self.where)
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

    async def _lay_out(self, book: Book) -> _Layout:
        priced, sample = self.generation.priced, self.generation.priced.sample
        market, prepared = await asyncio.to_thread(priced.prepare_book, book, where=self.where)
        accounts_max = ACCOUNTS_A_PART
        if sample.needs_all:
            accounts_max = max(1, PROFIT_BYTES_MAX // (8 * sample.n_rows))
        own_market: Any = None
        if market is priced.market and priced.slices is not None:
            cut = self.generation.handle.spans
            positions = POSITIONS_A_PART
        else:
            # The work items compute the prices: use few account ranges and many scenario slices.
            own_market = await asyncio.to_thread(_put, market)
            cpus = max(1.0, self.cluster.cpus)
            n_contracts = len(market.contracts)
            cut = _priced_spans(n_contracts, book.n_positions, sample.n_rows, cpus)
            positions = 10 * POSITIONS_A_PART
        start = prepared.holdings.start.tolist()
        ranges = account_ranges(start, positions=positions, accounts=accounts_max)
        return _Layout(own_market, cut, ranges, await asyncio.to_thread(_put, prepared))

    async def _batches(
        self, layout: _Layout, assessment: BookAssessment
    ) -> AsyncGenerator[Progress | Batch]:
        """Yield progress and the batches in order; cancel all tasks on exit."""
        finished_parts: asyncio.Queue[int] = asyncio.Queue()
        tasks = [
            asyncio.create_task(self._batch(layout, first, last, number, finished_parts))
            for number, (first, last) in enumerate(layout.ranges)
        ]
        done = 0
        waiting: asyncio.Task[int] | None = None
        try:
            yield Progress(0, layout.total)
            for (first, last), task in zip(layout.ranges, tasks, strict=True):
                while not task.done():
                    waiting = waiting or asyncio.create_task(finished_parts.get())
                    await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
                    if waiting.done():
                        done += waiting.result()
                        waiting = None
                        yield Progress(min(done, layout.total), layout.total)
                yield Batch(first, last, await task, assessment)
        finally:
            left: list[asyncio.Task[Any]] = [*tasks]
            if waiting is not None:
                left.append(waiting)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _batch(
        self, layout: _Layout, first: int, last: int, number: int, done: asyncio.Queue[int]
    ) -> Margins:
        """Return the margins of accounts [first, last); repeat lost work until the deadline."""
        attempt = 0
        while True:
            generation = self.losses.generation
            parts = _submit(generation, layout, first, last)
            try:
                reducers = await self.cluster.reducers(until=self.until, refresh=attempt > 0)
                reducer = reducers[number % len(reducers)]
                joined = reducer.reduce.remote(self.run_id, layout.shared, first, last, *parts)
                await self._parts_done(parts, done)
                margins: Margins | None = await finished(joined, until=self.until)
                assert margins is not None  # only runs that have ended are abandoned
                done.put_nowait(1)
            except asyncio.CancelledError:
                _cancel_tasks(parts)
                raise
            except Exception as error:
                _cancel_tasks(parts)
                if is_ours(error):
                    raise cause_of(error) from None
                if not is_loss(error):
                    raise
                if is_lost_object(error):
                    await self.losses.make_good(generation)
            else:
                return margins
            if seconds_left(self.until) <= backoff_seconds(attempt):
                raise ClusterUnavailable(
                    "components of the cluster were lost and not replaced before the deadline"
                )
            await asyncio.sleep(backoff_seconds(attempt))
            attempt += 1

    async def _parts_done(self, parts: list[Any], done: asyncio.Queue[int]) -> None:
        """Wait for all work items without fetching their results, which the reducer reads."""
        waiting = [asyncio.create_task(_arrived(part, self.until)) for part in parts]
        try:
            for part in asyncio.as_completed(waiting):
                await part
                done.put_nowait(1)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def _submit(generation: ResidentGeneration, layout: _Layout, first: int, last: int) -> list[Any]:
    handle = generation.handle
    if layout.own_market is not None:
        return [
            revalue.remote(layout.own_market, handle.scenarios, span, layout.shared, first, last)
            for span in layout.cut
        ]
    assert handle.slabs is not None
    return [sum_slab.remote(slab, layout.shared, first, last) for slab in handle.slabs]


async def _arrived(ref: Any, until: float) -> None:
    await finished(ref, until=until)


def _cancel_tasks(parts: list[Any]) -> None:
    """Cancel revaluation tasks; actor calls must not be cancelled, see the module."""
    for part in parts:
        with contextlib.suppress(Exception):  # the task may be done or lost
            ray.cancel(part)


def _priced_spans(
    n_contracts: int, n_positions: int, n_scenarios: int, cpus: float
) -> tuple[Span, ...]:
    """Return scenario slices that take about SECONDS_A_PART each, at least one per processor."""
    a_scenario = n_contracts * NANOSECONDS_A_PRICE + n_positions * NANOSECONDS_A_SUM
    wanted = round(a_scenario * 1e-9 * n_scenarios / SECONDS_A_PART)
    return spans(n_scenarios, min(max(wanted, int(cpus)), PARTS_MAX), tile=TILE)


def _put(value: PreparedBook | PreparedMarket) -> Any:
    return ray.put(value)
