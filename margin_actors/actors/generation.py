"""A generation: one market, one scenario set and all its prices, named by a number."""

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from margin_actors.actors.plan import Heads, Span
from margin_actors.engine.margin import LaidOut, PricedMarket
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.snapshots import MarketSnapshot

Ref: TypeAlias = Any
"""A `ray.ObjectRef`, which has no usable type."""


class Archive(Protocol):
    """What a coordinator reads when it starts, and where it notes what is in use.

    Made outside and sent to the coordinator; both outlive it.
    """

    def load_snapshot(self, snapshot_id: str) -> MarketSnapshot:
        """Return a stored snapshot."""
        ...

    def load_scenarios(self, scenarios_id: str) -> ScenarioSet:
        """Return a stored scenario set."""
        ...

    def heads(self) -> Heads:
        """Return what was in use last."""
        ...

    def note_heads(self, heads: Heads) -> None:
        """Keep what is in use now, durably, before anyone is told of it."""
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """How the cluster is cut; none of it changes a bit of a result."""

    shards: int = 0
    """Scenario shards; 0 for one a processor, following nodes as they come and go."""
    reducers: int = 1
    run_slots: int = 2
    """Books that run at once."""
    cube_bytes_max: int = 2 * 2**30
    """Largest risk cube that is kept; prices of a larger one are made when they are needed."""
    look_seconds: float = 5.0
    """How often the coordinator looks at the nodes."""


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
    laid: dict[str, tuple[object, LaidOut]] = field(
        default_factory=dict[str, tuple[object, LaidOut]], compare=False, repr=False
    )
    """Accounts laid out lately, with what they were laid out from; gone with the generation."""

    @property
    def parameters(self) -> ModelParameters:
        """The model."""
        return self.priced.market.parameters


@dataclass(frozen=True)
class ShardState:
    """A shard for people."""

    shard: int
    span: Span
    node_id: str
    slabs_priced: int


@dataclass(frozen=True)
class CoordinatorStatus:
    """The cluster for people."""

    heads: Heads
    current: int
    """Number of the generation in use; 0 before the first."""
    pending: int
    """Number of the generation in the making; 0 for none."""
    fault: str
    """Why the last generation could not be made."""
    nodes: int
    runs: int
    shards: tuple[ShardState, ...] = field(default=())
