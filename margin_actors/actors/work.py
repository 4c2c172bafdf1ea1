"""Work of tasks and actors: market preparation, profits over a scenario slice, margins, long jobs.

The revaluation tasks are pure: the same arguments give the same bits, so Ray repeats a task whose
worker or node is lost, without a limit on the number of attempts. Each task runs its kernels on one
thread; Ray runs as many tasks in parallel as there are processors. A long job is not repeated.
"""

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Literal, Protocol, TypeAlias, TypeVar, cast

from ray import ObjectRef

from margin_actors.actors.handles import Remote, ResultStream, as_remote
from margin_actors.actors.plan import Span
from margin_actors.engine.margin import (
    CubeSlice,
    Margins,
    PreparedBook,
    PreparedMarket,
    SlicePnl,
    book_pnl,
    prepare_market,
    requirements,
    revalue_slice,
    slice_pnl,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.progress import ProgressCallback

T = TypeVar("T")
JobProgress: TypeAlias = tuple[str, int, int]
"""Progress of a job: (current activity, items done, number of items)."""
JobReport: TypeAlias = tuple[Literal["progress"], JobProgress] | tuple[Literal["done"], T]
"""What a job reports: its progress any number of times, then its result."""
_STOP_POLL_SECONDS = 0.1
_STOP_SECONDS_MAX = 5.0
"""Longest time from the stop of a job to its next progress report."""


@dataclass(frozen=True)
class MarketSize:
    """Properties of a prepared market, available to the coordinator without fetching the market."""

    n_contracts: int
    underlyings: tuple[str, ...]
    """Underlyings of the contracts, sorted by name."""


def sized_market(
    snapshot: MarketSnapshot, model: ModelParameters
) -> tuple[PreparedMarket, MarketSize]:
    """Return the market of a snapshot, prepared for pricing, and its size.

    Raises
    ------
    MissingMarketData, InvalidMarketData
        If no smile can be fitted.
    """
    market = prepare_market(snapshot, model)
    underlyings = tuple(sorted({curve.underlying for curve in market.contracts.curves}))
    return market, MarketSize(len(market.contracts), underlyings)


def _sum_slice(priced: CubeSlice, book: PreparedBook, first: int, last: int) -> SlicePnl:
    return slice_pnl(priced, book.select(first, last))


def _revalue(
    market: PreparedMarket,
    scenarios: ScenarioSet,
    span: Span,
    book: PreparedBook,
    first: int,
    last: int,
) -> SlicePnl:
    rows = scenarios.rows(span.first, span.first + span.count)
    return revalue_slice(market, rows, span.first, book.select(first, last))


def reduce_accounts(
    book: PreparedBook, first: int, last: int, parts: Sequence[SlicePnl]
) -> Margins:
    """Return the margins of accounts [first, last) from their profits over all scenario slices.

    Raises
    ------
    InvalidPortfolio
        If the profits of an account are too large to be summed exactly.
    """
    own = book.select(first, last)
    return requirements(book_pnl(parts, own), own)


class _JobStopped(Exception):  # noqa: N818
    """Ends a job whose caller has left."""


def _run_job(job: Callable[[ProgressCallback], T], stop_file: str) -> Generator[JobReport[T]]:
    """Run a job in a thread; yield its progress, then its result, until `stop_file` exists.

    A job that is stopped ends at its next report of progress, and the worker serves other tasks. If
    that takes too long, the worker exits.
    """
    reports: SimpleQueue[JobReport[T] | BaseException] = SimpleQueue()
    is_stopped = Event()

    def report(what: str, done: int, total: int) -> None:
        if is_stopped.is_set():
            raise _JobStopped
        reports.put(("progress", (what, done, total)))

    def work() -> None:
        try:
            result = job(report)
        except BaseException as error:
            reports.put(error)
        else:
            reports.put(("done", result))

    thread = Thread(target=work, daemon=True)
    thread.start()
    stop = Path(stop_file)
    while not stop.exists():
        try:
            found = reports.get(timeout=_STOP_POLL_SECONDS)
        except Empty:
            continue
        if isinstance(found, BaseException):
            raise found
        yield found
        if found[0] == "done":
            return
    is_stopped.set()
    thread.join(_STOP_SECONDS_MAX)
    if thread.is_alive():
        os._exit(1)


class JobTask(Protocol):
    """Task that runs a long job and streams its reports."""

    def options(self, **options: object) -> "JobTask":
        """Return the task with other options of Ray."""
        ...

    def remote(
        self, job: Callable[[ProgressCallback], T], stop_file: str
    ) -> ResultStream[JobReport[T]]:
        """Start the job; see `_run_job`."""
        ...


sum_slice = cast(
    "Remote[[ObjectRef[CubeSlice], ObjectRef[PreparedBook], int, int], ObjectRef[SlicePnl]]",
    as_remote(_sum_slice, max_retries=-1),
)
"""Task (CubeSlice, PreparedBook, first, last) -> SlicePnl of accounts [first, last)."""
_Revalue: TypeAlias = Remote[
    [ObjectRef[PreparedMarket], ObjectRef[ScenarioSet], Span, ObjectRef[PreparedBook], int, int],
    ObjectRef[SlicePnl],
]
revalue = cast("_Revalue", as_remote(_revalue, max_retries=-1))
"""Task (PreparedMarket, ScenarioSet, Span, PreparedBook, first, last) -> SlicePnl of accounts
[first, last); prices the scenarios of the span itself."""
run_job = cast(
    "JobTask",
    as_remote(
        _run_job,
        num_returns="streaming",
        max_retries=0,
        # A job reserves no processor: otherwise books would wait until a build has ended. Its
        # workers have an environment variable of their own: otherwise it would take the worker of
        # a book, and the book would wait for a second until Ray has started another.
        num_cpus=0,
        runtime_env={"env_vars": {"MARGIN_WORKER": "jobs"}},
    ),
)
