"""The shards and reducers of a cluster, adjusted to its live nodes."""

import asyncio
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from margin_actors.actors.generation import Layout, Ref, ShardState
from margin_actors.actors.plan import Span, place_shards, shards_wanted
from margin_actors.actors.shard import reducer_actor, shard_actor
from margin_actors.engine.parameters import ModelParameters
from margin_actors.market.snapshots import MarketSnapshot

_STATE_SECONDS = 1.0


class Fleet:
    """Owner of all shards and reducers; belongs to the coordinator's event loop."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._shards: list[Any] = []
        self._nodes_of_shards: list[str] = []
        self.reducers: list[Any] = []
        self.nodes, self.cpus = 0, 1.0

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return len(self._shards)

    async def start(self) -> None:
        """Start the shards and reducers."""
        await self.check_nodes()
        if not self.reducers:
            self.reducers = [reducer_actor.remote() for _ in range(self._layout.reducers)]

    async def check_nodes(self) -> bool:
        """Adjust the shards to the live nodes.

        Return True if the shards have changed, so that the risk cube must be priced again.
        """
        nodes = await asyncio.to_thread(ray.nodes)
        living = [n for n in nodes if n["Alive"]]
        self.nodes = len(living)
        self.cpus = max(1.0, sum(n["Resources"].get("CPU", 0.0) for n in living))
        cpus = {n["NodeID"]: float(n["Resources"].get("CPU", 0.0)) for n in living}
        wanted = shards_wanted(self._layout.shards, self.cpus)
        places = place_shards(self._nodes_of_shards[:wanted], cpus, wanted)
        if places == self._nodes_of_shards:
            return False
        for shard in self._shards[wanted:]:
            ray.kill(shard)
        del self._shards[wanted:]
        for number, place in enumerate(places):
            if number < len(self._shards) and place == self._nodes_of_shards[number]:
                continue
            # A hard affinity: Ray treats spreading and soft affinities only as preferences.
            where = NodeAffinitySchedulingStrategy(place, soft=False)
            shard = shard_actor.options(scheduling_strategy=where).remote(number)
            if number < len(self._shards):  # the shard's node is lost
                ray.kill(self._shards[number])
                self._shards[number] = shard
            else:
                self._shards.append(shard)
        self._nodes_of_shards = places
        return True

    def prepare(self, snapshot: MarketSnapshot, parameters: ModelParameters) -> tuple[Ref, Ref]:
        """Return references to the prepared market of a snapshot and to its `MarketSize`."""
        market, size = self._shards[0].prepare.options(num_returns=2).remote(snapshot, parameters)
        return market, size

    async def price(self, market: Ref, scenarios: Ref, cut: tuple[Span, ...]) -> tuple[Ref, ...]:
        """Return references to the `CubeSlice`s of `cut`, once the shards have priced them.

        Slice i of `cut` is priced by shard i.
        """
        asked = [
            shard.price.options(num_returns=2).remote(market, scenarios, span)
            for shard, span in zip(self._shards, cut, strict=False)
        ]
        # The second return value shows that the first is ready, without fetching it to this node.
        await asyncio.gather(*(count for _, count in asked))
        return tuple(slab for slab, _ in asked)

    async def states(self, cut: tuple[Span, ...]) -> tuple[ShardState, ...]:
        """Return the state of every shard; the node is empty for a shard that does not respond."""
        return tuple(await asyncio.gather(*(self._state(n, cut) for n in range(len(self._shards)))))

    async def _state(self, number: int, cut: tuple[Span, ...]) -> ShardState:
        span = cut[number] if number < len(cut) else Span(0, 0)
        try:
            node, priced = await asyncio.wait_for(
                self._shards[number].state.remote(), _STATE_SECONDS
            )
        except Exception:  # busy or being replaced; the rest of the status is still useful
            node, priced = "", 0
        return ShardState(number, span, node, priced)
