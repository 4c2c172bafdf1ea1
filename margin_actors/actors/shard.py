"""The actors that price and join: few, fat, and without any state that could be lost."""

from typing import Any

import ray

from margin_actors.actors.plan import Span
from margin_actors.actors.work import BookInput, reduce_accounts
from margin_actors.engine.margin import (
    Margins,
    PreparedMarket,
    Slab,
    SliceBundle,
    price_slab,
)
from margin_actors.engine.scenarios import CORE, ScenarioSet


class ScenarioShard:
    """Prices all listed contracts over its slice of the scenarios.

    A slab is the return of a call, so it lies in the object store of the shard's node, belongs to
    the coordinator, and outlives the shard. A shard that dies is started again and asked again.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._priced = 0

    def price(self, market: PreparedMarket, scenarios: ScenarioSet, span: Span) -> tuple[Slab, int]:
        """Return the slab of a slice, and the slabs priced so far."""
        part = scenarios.rows(span.first, span.first + span.count)
        n_core = scenarios.section(CORE).count
        slab = price_slab(market, part, span.first, n_core=n_core)
        self._priced += 1
        return slab, self._priced

    def state(self) -> tuple[str, int]:
        """Return (node, slabs priced)."""
        return ray.get_runtime_context().get_node_id(), self._priced


class Reducer:
    """Joins the slices of accounts' profits and computes their margins."""

    def reduce(self, book: BookInput, first: int, last: int, *parts: SliceBundle) -> Margins:
        """Return the margins of accounts [first, last)."""
        return reduce_accounts(book, first, last, parts)

    def ready(self) -> bool:
        """Return True once the process is up."""
        return True


_FOR_EVER: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
shard_actor: Any = ray.remote(**_FOR_EVER)(ScenarioShard)
reducer_actor: Any = ray.remote(**_FOR_EVER)(Reducer)
