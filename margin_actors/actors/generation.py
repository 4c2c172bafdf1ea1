"""A generation: one market, one scenario set and all its prices, named by a number."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from margin_actors.actors.plan import Heads, Span
from margin_actors.engine.margin import PricedMarket
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.snapshots import MarketSnapshot

Ref: TypeAlias = Any
"""A `ray.ObjectRef`, which has no usable type."""
GenerationKind: TypeAlias = Literal["publish", "activate"]
"""What brought a generation about."""


@dataclass(frozen=True, slots=True)
class Published:
    """The answer to a publication or an activation."""

    number: int
    """Of the generation that the request brought about."""
    was_repeated: bool
    """True if an earlier request with the same key had done so: nothing was changed."""


class Archive(Protocol):
    """Durable storage of a coordinator: snapshots, scenario sets, and what is in use.

    Made outside and sent to the coordinator; both outlive it. Every method may block and may raise
    a `MarginError`, for example `LedgerUnavailable`.
    """

    def load_snapshot(self, snapshot_id: str) -> MarketSnapshot:
        """Return a stored snapshot."""
        ...

    def load_scenarios(self, scenarios_id: str) -> ScenarioSet:
        """Return a stored scenario set, or raise UnknownScenarioSet."""
        ...

    def heads(self) -> Heads:
        """Return what is in use."""
        ...

    def repeated_generation(self, kind: GenerationKind, key: str, content_id: str) -> int | None:
        """Return the number that an earlier request with this key brought about.

        None if the key is empty or unknown; raises KeyReused if it came with other content.
        """
        ...

    def publish_snapshot(
        self,
        snapshot: MarketSnapshot,
        *,
        key: str,
        request_id: str,
        caller: str,
        allow_older: bool,
    ) -> tuple[Heads, int]:
        """Store a snapshot and make it current, in one decision.

        Returns what is in use now, and the number that belongs to this request. A snapshot that is
        current already changes nothing and returns the current number. Raises OutdatedSnapshot if
        the current one is newer and `allow_older` is not set.
        """
        ...

    def activate_scenarios(
        self, scenarios_id: str, *, key: str, request_id: str, caller: str
    ) -> tuple[Heads, int]:
        """Make a stored scenario set the one in use; returns as `publish_snapshot`."""
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """How the work is divided over the cluster; nothing here changes a bit of a result."""

    shards: int = 0
    """Scenario shards; 0 for one per processor, following nodes as they come and go."""
    reducers: int = 1
    run_slots: int = 2
    """Books that run at the same time at most, on all gateways together."""
    cube_bytes_max: int = 2 * 2**30
    """Largest risk cube that is kept; prices of a larger one are made when they are needed."""
    look_seconds: float = 5.0
    """How often the coordinator checks the nodes and what is in use."""


@dataclass(frozen=True)
class GenerationHandle:
    """Where the parts of a generation lie in the object store."""

    number: int
    revision: int
    """Another one whenever slabs are made anew for the same generation; bits do not change."""
    snapshot_id: str
    scenarios_id: str
    model_id: str
    n_contracts: int
    spans: tuple[Span, ...]
    market: Ref
    """A `PreparedMarket`."""
    scenarios: Ref
    """A `ScenarioSet`."""
    slabs: tuple[Ref, ...] | None
    """A `Slab` each, or None where prices are made when they are needed."""


@dataclass(frozen=True)
class ResidentGeneration:
    """A generation read into this process without a copy; alive as long as someone holds it."""

    handle: GenerationHandle
    priced: PricedMarket
    prepared: dict[str, tuple[object, Any]] = field(
        default_factory=dict[str, tuple[object, Any]], compare=False, repr=False
    )
    """Accounts prepared for margining, with the positions that they were prepared from; kept here
    by the gateway because they are only valid for this generation."""

    @property
    def parameters(self) -> ModelParameters:
        """The model."""
        return self.priced.market.parameters


@dataclass(frozen=True)
class ShardState:
    """Human-readable state of a shard."""

    shard: int
    span: Span
    node_id: str
    slabs_priced: int


@dataclass(frozen=True)
class CoordinatorStatus:
    """Human-readable state of the cluster."""

    heads: Heads
    current: int
    """Number of the generation in use; 0 before the first."""
    pending: int
    """Number of the generation being prepared; 0 for none."""
    fault: str
    """Why the last generation could not be made, or what is in use not be read; empty if nothing
    is wrong."""
    nodes: int
    run_slots: int
    """Books that may run at the same time."""
    run_slots_taken: int
    """Books that are running."""
    shards: tuple[ShardState, ...] = field(default=())
