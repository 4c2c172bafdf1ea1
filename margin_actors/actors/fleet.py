"""The shard and reducer actors of a cluster, and the live nodes."""

import asyncio

import ray
from ray import ObjectRef
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from margin_actors.actors.generation import ShardState
from margin_actors.actors.handles import stop_actor
from margin_actors.actors.plan import Span
from margin_actors.actors.shard import ReducerHandle, ShardHandle, reducer_actor, shard_actor
from margin_actors.actors.work import MarketSize
from margin_actors.engine.margin import CubeSlice, PreparedMarket
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.snapshots import MarketSnapshot

_STATE_SECONDS = 1.0


class Fleet:
    """Owner of all shards and reducers; belongs to the coordinator's event loop."""

    def __init__(self) -> None:
        self._shards: dict[int, ShardHandle] = {}
        self.reducers: list[ReducerHandle] = []

    def start_shard(self, number: int, node_id: str) -> None:
        """Start shard `number` on a node."""
        # A hard affinity: Ray treats spreading and soft affinities only as preferences.
        on_node = NodeAffinitySchedulingStrategy(node_id, soft=False)
        self._shards[number] = shard_actor.options(scheduling_strategy=on_node).remote(number)

    def stop_shard(self, number: int) -> None:
        """Stop shard `number`."""
        stop_actor(self._shards.pop(number))

    def start_reducers(self, count: int) -> None:
        """Start the reducers."""
        self.reducers = [reducer_actor.remote() for _ in range(count)]

    def prepare(
        self, snapshot: MarketSnapshot, model: ModelParameters
    ) -> tuple[ObjectRef[PreparedMarket], ObjectRef[MarketSize]]:
        """Return references to the prepared market of a snapshot and to its size."""
        market, size = self._shards[0].prepare.remote(snapshot, model)
        return market, size

    async def price(
        self,
        market: ObjectRef[PreparedMarket],
        scenarios: ObjectRef[ScenarioSet],
        spans: tuple[Span, ...],
    ) -> tuple[ObjectRef[CubeSlice], ...]:
        """Return references to the cube slices of `spans`, once the shards have priced them.

        Slice i of `spans` is priced by shard i.
        """
        calls = [
            self._shards[number].price.remote(market, scenarios, span)
            for number, span in enumerate(spans)
        ]
        # The second return value shows that the first is ready, without fetching it to this node.
        await asyncio.gather(*(count for _, count in calls))
        return tuple(priced for priced, _ in calls)

    async def states(self, spans: tuple[Span, ...]) -> tuple[ShardState, ...]:
        """Return the state of every shard; the node is empty for a shard that does not respond."""
        shards = sorted(self._shards.items())
        return tuple(await asyncio.gather(*(_state(n, shard, spans) for n, shard in shards)))


async def _state(number: int, shard: ShardHandle, spans: tuple[Span, ...]) -> ShardState:
    span = spans[number] if number < len(spans) else Span(0, 0)
    try:
        node, priced = await asyncio.wait_for(_answer(shard), _STATE_SECONDS)
    except Exception:  # busy or being replaced; the rest of the status is still useful
        node, priced = "", 0
    return ShardState(number, span, node, priced)


async def _answer(shard: ShardHandle) -> tuple[str, int]:
    return await shard.state.remote()


async def live_nodes() -> dict[str, float]:
    """Return the number of processors of each live node, by node id."""
    nodes = await asyncio.to_thread(ray.nodes)
    live = [node for node in nodes if node["Alive"]]
    return {str(node["NodeID"]): float(node["Resources"].get("CPU", 0.0)) for node in live}
