"""Actors that price scenarios and reduce profits to margins; no state is lost if they restart."""

from collections import OrderedDict
from typing import Protocol, cast

import ray
from ray import ObjectRef

from margin_actors.actors.handles import ActorClass, Remote, as_remote
from margin_actors.actors.plan import Span
from margin_actors.actors.slots import remember
from margin_actors.actors.work import MarketSize, reduce_accounts, sized_market
from margin_actors.engine.margin import (
    CubeSlice,
    Margins,
    PreparedBook,
    PreparedMarket,
    SlicePnl,
    price_slice,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import CORE, ScenarioSet
from margin_actors.market.snapshots import MarketSnapshot

_PREPARATION = "preparation"
"""Concurrency group of calls that must not queue behind the pricing of a slice."""
_CONTROL = "control"
"""Concurrency group of calls that must not queue behind reductions."""


class ScenarioShard:
    """Actor that prices all listed contracts over its slice of the scenarios.

    The resulting slice of the cube (`CubeSlice`) is the return value of an actor call, so it is
    stored in the object store of the shard's node, is owned by the coordinator, and outlives the
    shard. Ray restarts a failed shard and repeats the call.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._priced = 0

    @ray.method(num_returns=2)
    def price(
        self, market: PreparedMarket, scenarios: ScenarioSet, span: Span
    ) -> tuple[CubeSlice, int]:
        """Return (slice of the risk cube over `span`, number of slices priced so far)."""
        part = scenarios.rows(span.first, span.first + span.count)
        n_core = scenarios.section(CORE).count
        priced = price_slice(market, part, span.first, n_core=n_core)
        self._priced += 1
        return priced, self._priced

    @ray.method(concurrency_group=_PREPARATION, num_returns=2)
    def prepare(
        self, snapshot: MarketSnapshot, model: ModelParameters
    ) -> tuple[PreparedMarket, MarketSize]:
        """Return the market of a snapshot, prepared for pricing, and its size.

        This is not a task, because Ray terminates the workers of tasks as soon as the gateway that
        started the coordinator has exited; each preparation would then wait for a new worker.
        """
        return sized_market(snapshot, model)

    def state(self) -> tuple[str, int]:
        """Return (node id, number of cube slices priced)."""
        return ray.get_runtime_context().get_node_id(), self._priced


class Reducer:
    """Actor that joins the profits of accounts over all scenario slices and computes margins.

    Calls of `reduce` are queued and run one at a time. An actor call must never be cancelled:
    cancelling leaves a gap in the sequence numbers of the caller, and an actor that runs calls in
    order waits 30 seconds for the missing call. Instead, a run whose caller has disconnected is
    marked as abandoned by a call in a separate concurrency group, and its queued calls return
    immediately.
    """

    def __init__(self) -> None:
        self._abandoned: OrderedDict[str, None] = OrderedDict()

    def reduce(
        self, run_id: str, book: PreparedBook, first: int, last: int, *parts: SlicePnl
    ) -> Margins | None:
        """Return the margins of accounts [first, last), or None if the run was abandoned."""
        if run_id in self._abandoned:
            return None
        return reduce_accounts(book, first, last, parts)

    @ray.method(concurrency_group=_CONTROL)
    def abandon(self, run_id: str) -> None:
        """Make the queued calls of a run return without a result; its caller has disconnected."""
        remember(self._abandoned, run_id)

    @ray.method(concurrency_group=_CONTROL)
    def ready(self) -> bool:
        """Return True as soon as the process is running."""
        return True


class ShardHandle(Protocol):
    """Handle of a `ScenarioShard`."""

    price: Remote[
        [ObjectRef[PreparedMarket], ObjectRef[ScenarioSet], Span],
        tuple[ObjectRef[CubeSlice], ObjectRef[int]],
    ]
    prepare: Remote[
        [MarketSnapshot, ModelParameters],
        tuple[ObjectRef[PreparedMarket], ObjectRef[MarketSize]],
    ]
    state: Remote[[], ObjectRef[tuple[str, int]]]


class ReducerHandle(Protocol):
    """Handle of a `Reducer`."""

    # Any number of references to a `SlicePnl` follow the arguments of `reduce`.
    reduce: Remote[..., ObjectRef[Margins | None]]
    abandon: Remote[[str], ObjectRef[None]]
    ready: Remote[[], ObjectRef[bool]]


shard_actor = cast(
    "ActorClass[[int], ShardHandle]",
    as_remote(
        ScenarioShard,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        concurrency_groups={_PREPARATION: 1},
    ),
)
reducer_actor = cast(
    "ActorClass[[], ReducerHandle]",
    as_remote(
        Reducer,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        concurrency_groups={_CONTROL: 1},
        # With ordered execution, a call that waits for its arguments blocks all later calls of the
        # same caller.
        allow_out_of_order_execution=True,
    ),
)
