"""Membership: the live nodes of the cluster and the shards that are placed on them."""

from collections.abc import Mapping
from dataclasses import dataclass

from margin_actors.actors.instructions import StartShard, StopShard
from margin_actors.actors.plan import place_shards, shards_wanted


@dataclass
class Membership:
    """The live nodes, and the node of every shard."""

    configured_shards: int
    """Number of shards; 0 for one per processor."""
    nodes: tuple[str, ...] = ()
    """Ids of the live nodes."""
    cpus: float = 1.0
    """Number of processors of all live nodes, at least 1."""
    shard_nodes: tuple[str, ...] = ()
    """Node of each shard, in the order of the shards' numbers."""

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return len(self.shard_nodes)

    def update(self, cpus: Mapping[str, float]) -> tuple[StartShard | StopShard, ...]:
        """Place the shards on the live nodes; return what has to be started and stopped.

        A shard that is replaced is stopped before it is started again.

        Parameters
        ----------
        cpus : mapping of str to float
            Number of processors of each live node; at least one node.
        """
        self.nodes = tuple(cpus)
        self.cpus = max(1.0, sum(cpus.values()))
        wanted = shards_wanted(self.configured_shards, self.cpus)
        before = self.shard_nodes
        after = tuple(place_shards(before[:wanted], cpus, wanted))
        moves: list[StartShard | StopShard] = [
            StopShard(number) for number in range(wanted, len(before))
        ]
        for number, node_id in enumerate(after):
            if number < len(before):
                if node_id == before[number]:
                    continue
                moves.append(StopShard(number))
            moves.append(StartShard(number, node_id))
        self.shard_nodes = after
        return tuple(moves)

    def check_invariants(self) -> None:
        """Assert that every shard is on a live node."""
        assert set(self.shard_nodes) <= set(self.nodes)
        if self.nodes:
            assert self.n_shards == shards_wanted(self.configured_shards, self.cpus)
