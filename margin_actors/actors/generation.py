"""A generation: one market, one scenario set and their prices, identified by a number."""

from dataclasses import dataclass, field
from typing import Protocol

from ray import ObjectRef

from margin_actors.actors.inputs import ActiveInputs, ChangeKind
from margin_actors.actors.plan import Span
from margin_actors.engine.margin import CubeSlice, PreparedMarket, PricedMarket
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.snapshots import MarketSnapshot


class Archive(Protocol):
    """Durable storage of a coordinator: snapshots, scenario sets, and which of them are in use.

    An archive is created by the process that connects and is sent to the coordinator; the stored
    data outlive both. Every method may block and may raise a `MarginError`, for example
    `LedgerUnavailable`.
    """

    def load_snapshot(self, snapshot_id: str) -> MarketSnapshot:
        """Return a stored snapshot."""
        ...

    def load_scenarios(self, scenarios_id: str) -> ScenarioSet:
        """Return a stored scenario set; raise UnknownScenarioSet if there is none under the id."""
        ...

    def active_inputs(self) -> ActiveInputs:
        """Return the snapshot and the scenario set in use."""
        ...

    def repeated_generation(self, kind: ChangeKind, key: str, content_id: str) -> int | None:
        """Return the generation number that an earlier request with this key produced.

        Return None if the key is empty or unknown.

        Raises
        ------
        KeyReused
            If the key was used with other content.
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
    ) -> tuple[ActiveInputs, int]:
        """Store a snapshot, put it in use, and return (what is in use, generation number).

        The number is that of the generation which this request produced. If the snapshot is already
        in use, nothing is changed and the current number is returned.

        Raises
        ------
        OutdatedSnapshot
            If the snapshot in use is newer and `allow_older` is False.
        KeyReused
            If the key was used with other content.
        """
        ...

    def activate_scenarios(
        self, scenarios_id: str, *, key: str, request_id: str, caller: str
    ) -> tuple[ActiveInputs, int]:
        """Put a stored scenario set in use; the return value is as for `publish_snapshot`.

        Raises
        ------
        UnknownScenarioSet
            If no scenario set is stored under the id.
        KeyReused
            If the key was used with other content.
        """
        ...


@dataclass(frozen=True)
class GenerationHandle:
    """References to the objects of a generation in Ray's object store."""

    number: int
    revision: int
    """Changes whenever the cube slices of the generation are computed again; the values stay the
    same to the last bit."""
    snapshot_id: str
    scenarios_id: str
    model_id: str
    n_contracts: int
    """Number of listed contracts."""
    spans: tuple[Span, ...]
    """Slices of the scenarios, in order; one per element of `slices`."""
    market: ObjectRef[PreparedMarket]
    scenarios: ObjectRef[ScenarioSet]
    slices: tuple[ObjectRef[CubeSlice], ...] | None
    """References to the slices of the risk cube, in the order of `spans`; None if prices are
    computed on demand."""


@dataclass(frozen=True)
class ResidentGeneration:
    """A generation mapped into this process without a copy; kept while there are references."""

    handle: GenerationHandle
    priced: PricedMarket
    prepared: dict[str, tuple[object, object]] = field(
        default_factory=dict[str, tuple[object, object]], compare=False, repr=False
    )
    """By account: the positions, and the account as prepared from them for margining. The
    gateway caches them here because they are valid only for this generation."""

    @property
    def parameters(self) -> ModelParameters:
        """The model parameters."""
        return self.priced.market.model


@dataclass(frozen=True)
class ShardState:
    """Human-readable state of a shard."""

    shard: int
    """Number of the shard."""
    span: Span
    """Scenarios assigned to the shard; empty (0, 0) if none are."""
    node_id: str
    """Ray node; empty if the shard does not respond."""
    slices_priced: int
    """Number of cube slices priced since the shard was started."""


@dataclass(frozen=True)
class CoordinatorStatus:
    """Human-readable state of the cluster."""

    inputs: ActiveInputs
    """The snapshot and the scenario set in use."""
    current: int
    """Number of the generation in use; 0 before the first."""
    pending: int
    """Number of the generation being prepared; 0 for none."""
    fault: str
    """Why the last generation could not be created, or why nodes or inputs in use could not be
    checked; empty if there is no fault."""
    nodes: int
    """Number of live nodes."""
    run_slots: int
    """Maximum number of concurrent book runs."""
    run_slots_taken: int
    """Number of book runs in progress."""
    shards: tuple[ShardState, ...] = field(default=())
