"""Events of the cluster: requests of gateways, results of input and output, and time.

Every event has the time at which it occurred, `now`, in seconds of the monotonic clock. An answer
to an instruction repeats the number of that instruction (`refresh`, `revision` or `request`), so
that a late or duplicated answer is recognised.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from margin_actors.actors.inputs import ActiveInputs, ChangeKind


@dataclass(frozen=True, slots=True)
class Started:
    """The inputs in use were read and the nodes were listed for the first time."""

    now: float
    inputs: ActiveInputs
    cpus: Mapping[str, float]
    """Number of processors of each live node."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The time is at least `ClusterState.next_time`."""

    now: float


# -- answers to a refresh --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodesListed:
    """The live nodes were listed."""

    now: float
    refresh: int
    cpus: Mapping[str, float]
    """Number of processors of each live node."""


@dataclass(frozen=True, slots=True)
class NodesUnavailable:
    """The nodes could not be listed."""

    now: float
    refresh: int
    reason: str


@dataclass(frozen=True, slots=True)
class InputsRead:
    """The inputs in use were read from the archive."""

    now: float
    refresh: int
    inputs: ActiveInputs


@dataclass(frozen=True, slots=True)
class InputsUnavailable:
    """The inputs in use could not be read."""

    now: float
    refresh: int
    reason: str


# -- answers to a build ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InputsLoaded:
    """The inputs of a build are in the object store."""

    now: float
    revision: int
    n_contracts: int
    """Number of listed contracts."""
    n_scenarios: int
    """Number of scenarios."""
    underlyings: tuple[str, ...]
    """Underlyings of the contracts."""
    moved: tuple[str, ...]
    """Underlyings that the scenarios move."""


@dataclass(frozen=True, slots=True)
class SlicesPriced:
    """All cube slices of a build are in the object store."""

    now: float
    revision: int


@dataclass(frozen=True, slots=True)
class BuildLost:
    """A process, a node or an object was lost before the build was complete."""

    now: float
    revision: int


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """The inputs of a build cannot be loaded or priced."""

    now: float
    revision: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class LossReported:
    """Cube slices of the generation (number, revision) are lost."""

    now: float
    number: int
    revision: int


# -- changes of what is in use ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChangeRequested:
    """A gateway requests a publication or an activation."""

    now: float
    request: int
    kind: ChangeKind
    content_id: str
    """Id of the snapshot or the scenario set."""
    key: str
    """Idempotency key; may be empty."""


@dataclass(frozen=True, slots=True)
class KeyLookedUp:
    """The idempotency key of a change was looked up in the archive."""

    now: float
    request: int
    number: int | None
    """Number of the generation that the key produced; None if the key is new."""


@dataclass(frozen=True, slots=True)
class InputPrepared:
    """The new input of a change can be used, as far as it alone determines that."""

    now: float
    request: int
    underlyings: tuple[str, ...]
    """Underlyings of the contracts of the snapshot, or underlyings that the scenarios move."""
    moved: tuple[str, ...] | None
    """Underlyings that the scenario set named in the instruction moves; None if none was named or
    it cannot be loaded."""


@dataclass(frozen=True, slots=True)
class PreparationLost:
    """A process or a node was lost during the preparation of the new input of a change."""

    now: float
    request: int


@dataclass(frozen=True, slots=True)
class ChangeStored:
    """A change is stored, by this request or by an earlier one with the same key."""

    now: float
    request: int
    inputs: ActiveInputs | None
    """The inputs in use after the change; None if an earlier request produced it."""
    number: int
    """Number of the generation that the request produced."""


@dataclass(frozen=True, slots=True)
class ChangeFailed:
    """A step of a change raised an error; if it was being stored, it may nevertheless be stored."""

    now: float
    request: int
    error: BaseException


# -- other requests of gateways --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GenerationAwaited:
    """A gateway waits for a generation other than the one it holds."""

    now: float
    request: int
    seen: tuple[int, int]
    """Generation that the gateway holds, (number, revision)."""
    until: float
    """Time at which the gateway requires an answer, seconds of the monotonic clock."""


@dataclass(frozen=True, slots=True)
class SlotRequested:
    """A book run requests a slot."""

    now: float
    request: int
    run_id: str


@dataclass(frozen=True, slots=True)
class SlotRenewed:
    """A book run renews the lease of its slot."""

    now: float
    run_id: str


@dataclass(frozen=True, slots=True)
class SlotReturned:
    """A book run has ended."""

    now: float
    run_id: str


RefreshEvent: TypeAlias = NodesListed | NodesUnavailable | InputsRead | InputsUnavailable
BuildEvent: TypeAlias = InputsLoaded | SlicesPriced | BuildLost | BuildFailed | LossReported
ChangeEvent: TypeAlias = (
    ChangeRequested | KeyLookedUp | InputPrepared | PreparationLost | ChangeStored | ChangeFailed
)
RequestEvent: TypeAlias = GenerationAwaited | SlotRequested | SlotRenewed | SlotReturned
Event: TypeAlias = Started | TimePassed | RefreshEvent | BuildEvent | ChangeEvent | RequestEvent
