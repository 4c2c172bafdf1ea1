"""Instructions of the cluster's state machine, which the coordinator carries out.

An instruction that requires input or output is answered by an event, as its docstring states.
"""

from dataclasses import dataclass
from typing import TypeAlias

from margin_actors.actors.inputs import ActiveInputs, Published
from margin_actors.actors.plan import Span

# -- membership ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListNodes:
    """List the live nodes; answered by `NodesListed` or `NodesUnavailable`."""

    refresh: int


@dataclass(frozen=True, slots=True)
class ReadInputs:
    """Read the inputs in use; answered by `InputsRead` or `InputsUnavailable`."""

    refresh: int


@dataclass(frozen=True, slots=True)
class StartShard:
    """Start shard `number` on a node."""

    number: int
    node_id: str


@dataclass(frozen=True, slots=True)
class StopShard:
    """Stop shard `number`; its node may be lost."""

    number: int


@dataclass(frozen=True, slots=True)
class StartReducers:
    """Start the reducers."""

    count: int


# -- generations -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoadInputs:
    """Prepare the market and load the scenarios of a build.

    Answered by `InputsLoaded`, `BuildLost` or `BuildFailed`.
    """

    revision: int
    inputs: ActiveInputs


@dataclass(frozen=True, slots=True)
class PriceSlices:
    """Price the slices of the risk cube, slice i by shard i.

    Answered by `SlicesPriced`, `BuildLost` or `BuildFailed`.
    """

    revision: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class ForgetInputs:
    """Clear the cached market and scenario set, because their objects may be lost."""


@dataclass(frozen=True, slots=True)
class OfferGeneration:
    """Offer the generation of a completed build to the gateways."""

    revision: int
    inputs: ActiveInputs
    spans: tuple[Span, ...]
    """Slices of the scenarios."""
    are_prices_kept: bool
    """False if the risk cube would be too large, so that prices are computed on demand."""


# -- changes of what is in use ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LookUpKey:
    """Look up the idempotency key of a change; answered by `KeyLookedUp` or `ChangeFailed`."""

    request: int


@dataclass(frozen=True, slots=True)
class PrepareInput:
    """Prepare the market of a snapshot, or load a scenario set, without putting it in use.

    Answered by `InputPrepared`, `PreparationLost` or `ChangeFailed`.
    """

    request: int
    scenarios_id: str
    """Scenario set to load as well, if that is possible; empty for none."""


@dataclass(frozen=True, slots=True)
class StoreChange:
    """Store a change, unless an earlier attempt of the request did.

    Answered by `ChangeStored` or `ChangeFailed`.
    """

    request: int


@dataclass(frozen=True, slots=True)
class KeepInput:
    """Keep the prepared input of a change for the next build, because it is in use."""

    request: int


@dataclass(frozen=True, slots=True)
class AnswerChange:
    """Answer a change."""

    request: int
    published: Published


@dataclass(frozen=True, slots=True)
class RejectChange:
    """Answer a change with an error."""

    request: int
    error: BaseException


# -- other requests of gateways --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnswerWaiting:
    """Answer a request that waits for a new generation."""

    request: int
    is_new: bool
    """False if its time has passed without a new generation."""


@dataclass(frozen=True, slots=True)
class AnswerSlot:
    """Answer the request of a run slot."""

    request: int
    wait_seconds: float
    """0 if the run holds a slot, otherwise the seconds after which to try again."""


MembershipInstruction: TypeAlias = ListNodes | ReadInputs | StartShard | StopShard | StartReducers
BuildInstruction: TypeAlias = LoadInputs | PriceSlices | ForgetInputs | OfferGeneration
ChangeInstruction: TypeAlias = (
    LookUpKey | PrepareInput | StoreChange | KeepInput | AnswerChange | RejectChange
)
Instruction: TypeAlias = (
    MembershipInstruction | BuildInstruction | ChangeInstruction | AnswerWaiting | AnswerSlot
)
