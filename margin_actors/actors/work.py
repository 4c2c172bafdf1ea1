"""Revaluation tasks: accounts against slabs, and portfolios repriced slice by slice.

Tasks are pure: the same arguments give the same bits, so a task whose worker or node is lost runs
again, as often as it takes until the caller's deadline. Each runs its kernels on one thread; Ray
starts as many as there are processors.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeAlias

import numpy as np
import ray

from margin_actors.actors.plan import Span
from margin_actors.arrays import FloatArray
from margin_actors.engine.margin import (
    Margins,
    PreparedMarket,
    Sample,
    Slab,
    margins_from_profits,
    position_sums,
    prepare_market,
    revalue_slice,
    slab_profits,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import Holdings, SliceProfits, join_profits
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.snapshots import MarketSnapshot

Tell: TypeAlias = Callable[[str, int, int], None]
"""Told (what is being done, done, of how many)."""


@dataclass(frozen=True)
class BookInput:
    """What the parts of one book run share; put into the object store once."""

    accounts: tuple[str, ...]
    holdings: Holdings
    quantity: FloatArray
    """float64 (n_positions,): as in the book."""
    unit_value_usd: FloatArray
    """float64 (n_contracts,)."""
    sample: Sample
    parameters: ModelParameters
    where: str


def _prepare(snapshot: MarketSnapshot, parameters: ModelParameters) -> tuple[PreparedMarket, int]:
    market = prepare_market(snapshot, parameters)
    return market, len(market.contracts)


def _sum_slab(slab: Slab, book: BookInput, first: int, last: int) -> SliceProfits:
    sample = book.sample
    return slab_profits(
        slab, book.holdings.part(first, last), n_tail=sample.n_tail, keep_pnl=sample.needs_all
    )


def _revalue(
    market: PreparedMarket,
    scenarios: ScenarioSet,
    span: Span,
    book: BookInput,
    first: int,
    last: int,
) -> SliceProfits:
    sample = book.sample
    return revalue_slice(
        market,
        scenarios.rows(span.first, span.first + span.count),
        span.first,
        book.holdings.part(first, last),
        n_tail=sample.n_tail,
        keep_pnl=sample.needs_all,
    )


def reduce_accounts(
    book: BookInput, first: int, last: int, parts: Sequence[SliceProfits]
) -> Margins:
    """Return the margins of accounts [first, last) from all slices of their profits."""
    holdings = book.holdings.part(first, last)
    begin, end = int(book.holdings.start[first]), int(book.holdings.start[last])
    profits = join_profits(
        parts,
        holdings,
        n_tail=book.sample.n_tail,
        accounts=book.accounts[first:last],
        where=book.where,
    )
    return margins_from_profits(
        profits,
        book.sample,
        book.parameters,
        positions=np.diff(holdings.start),
        value_usd=position_sums(
            book.unit_value_usd, holdings.start, holdings.index, book.quantity[begin:end]
        ),
    )


def _run_job(job: Callable[[Tell], Any]) -> Generator[tuple[str, int, int] | Any]:
    """Run a job in a thread and yield what it tells, then its result; both pickled by Ray."""
    told: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def work() -> None:
        try:
            result = job(lambda what, done, total: told.put(("told", (what, done, total))))
        except BaseException as error:
            told.put(("raised", error))
        else:
            told.put(("done", result))

    Thread(target=work, daemon=True).start()
    while True:
        kind, value = told.get()
        if kind == "raised":
            raise value
        yield kind, value
        if kind == "done":
            return


prepare: Any = ray.remote(num_returns=2, max_retries=-1)(_prepare)
"""(snapshot, parameters) -> PreparedMarket, number of contracts."""
sum_slab: Any = ray.remote(max_retries=-1)(_sum_slab)
"""(Slab, BookInput, first account, last) -> SliceProfits."""
revalue: Any = ray.remote(max_retries=-1)(_revalue)
"""(PreparedMarket, ScenarioSet, Span, BookInput, first account, last) -> SliceProfits."""
run_job: Any = ray.remote(num_returns="streaming", max_retries=0)(_run_job)
"""A long job beside the service: yields ("told", (what, done, total)), then ("done", result)."""
