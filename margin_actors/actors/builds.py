"""Builds of generations: which is offered, which is being built, and why a build failed."""

from dataclasses import dataclass, replace

from margin_actors.actors.events import (
    BuildEvent,
    BuildFailed,
    BuildLost,
    InputsLoaded,
    LossReported,
    SlicesPriced,
)
from margin_actors.actors.inputs import ActiveInputs
from margin_actors.actors.instructions import (
    BuildInstruction,
    ForgetInputs,
    LoadInputs,
    OfferGeneration,
    PriceSlices,
)
from margin_actors.actors.plan import Span, spans
from margin_actors.errors import (
    ClusterUnavailable,
    LedgerUnavailable,
    MarginError,
    MissingMarketData,
    NotReady,
    Problem,
)

_PRICE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Build:
    """The build in progress: its inputs are loaded, then its slices are priced."""

    revision: int
    """Number of the build; becomes the revision of the generation."""
    inputs: ActiveInputs
    spans: tuple[Span, ...] = ()
    """Slices of the scenarios; empty until the inputs are loaded."""


@dataclass(frozen=True, slots=True)
class BuildFault:
    """The error because of which a generation could not be built."""

    number: int
    """Number of the generation."""
    error: MarginError


@dataclass
class Builds:
    """The generation offered to the gateways and the build of the next one.

    At most one build is in progress. A build of inputs that have been superseded meanwhile is not
    cancelled: its generation is newer than the one offered, and the next build follows.
    """

    tile: int
    """Number of scenarios of a tile."""
    cube_bytes_max: int
    """Size in bytes up to which the risk cube is kept."""
    next_revision: int
    """Revision of the next build."""
    current: OfferGeneration | None = None
    """The generation offered; None before the first."""
    build: Build | None = None
    """The build in progress."""
    fault: BuildFault | None = None
    """The fault of the last build, until another build succeeds or the inputs are changed."""
    are_slices_lost: bool = False
    """True if the slices of the generation offered have to be priced again."""
    attempted: ActiveInputs | None = None
    """Inputs of the last build."""
    losses: int = 0
    """Number of builds of `attempted` in succession that ended with a loss."""

    @property
    def offered(self) -> tuple[int, int] | None:
        """The generation offered, (number, revision); None before the first."""
        return (self.current.inputs.number, self.current.revision) if self.current else None

    @property
    def pending(self) -> int:
        """Number of the generation that is being built or waits for a retry; 0 for none."""
        is_pending = self.attempted is not None and (self.build is not None or self.losses > 0)
        return self.attempted.number if self.attempted is not None and is_pending else 0

    def start_if_required(self, wanted: ActiveInputs) -> tuple[BuildInstruction, ...]:
        """Start the build of `wanted` unless its generation is offered and complete."""
        assert self.build is None
        is_offered = self.current is not None and self.current.inputs.number == wanted.number
        if not wanted.is_complete or (is_offered and not self.are_slices_lost):
            return ()
        if wanted != self.attempted:
            self.attempted, self.losses = wanted, 0
        self.build = Build(self.next_revision, wanted)
        self.next_revision += 1
        return (LoadInputs(self.build.revision, wanted),)

    def is_answer(self, event: BuildEvent) -> bool:
        """Return False if an event is a late or a duplicated answer."""
        if isinstance(event, LossReported):
            return (event.number, event.revision) == self.offered
        if self.build is None or event.revision != self.build.revision:
            return False
        if isinstance(event, InputsLoaded):
            return not self.build.spans
        if isinstance(event, SlicesPriced):
            return bool(self.build.spans)
        return True

    def handle(self, event: BuildEvent, n_shards: int) -> tuple[BuildInstruction, ...]:
        """Handle an event for which `is_answer` is True."""
        assert self.is_answer(event)
        if isinstance(event, LossReported):
            self.are_slices_lost = True
            return ()
        assert self.build is not None
        if isinstance(event, InputsLoaded):
            return self._loaded(self.build, event, n_shards)
        if isinstance(event, SlicesPriced):
            return self._offer(self.build, are_prices_kept=True)
        if isinstance(event, BuildLost):
            self.build = None
            self.losses += 1
            return (ForgetInputs(),)
        self._fail(self.build, event)
        return ()

    def _loaded(
        self, build: Build, event: InputsLoaded, n_shards: int
    ) -> tuple[BuildInstruction, ...]:
        divided = spans(event.n_scenarios, n_shards, tile=self.tile)
        padded = -(-event.n_scenarios // self.tile) * self.tile
        self.build = replace(build, spans=divided)
        if event.n_contracts * padded * _PRICE_BYTES > self.cube_bytes_max:
            return self._offer(self.build, are_prices_kept=False)
        return (PriceSlices(build.revision, divided),)

    def _offer(self, build: Build, *, are_prices_kept: bool) -> tuple[BuildInstruction, ...]:
        self.current = OfferGeneration(build.revision, build.inputs, build.spans, are_prices_kept)
        self.build, self.fault, self.losses = None, None, 0
        self.are_slices_lost = False
        return (self.current,)

    def _fail(self, build: Build, event: BuildFailed) -> None:
        self.build, self.losses = None, 0
        error = build_error(build.inputs, event.error)
        self.fault = BuildFault(build.inputs.number, error)

    def check_invariants(self, inputs: ActiveInputs) -> None:
        """Assert that no generation is newer than the inputs in use, and none goes backwards."""
        if self.build is not None:
            assert self.build.inputs == self.attempted
            assert self.build.revision < self.next_revision
            assert self.build.inputs.is_complete
            assert self.build.inputs.number <= inputs.number
        if self.current is not None:
            assert self.current.inputs.number <= inputs.number
            assert self.build is None or self.current.inputs.number <= self.build.inputs.number
            assert self.build is None or self.current.revision < self.build.revision
        if self.fault is not None:
            assert self.fault.number <= inputs.number


def build_error(inputs: ActiveInputs, error: BaseException) -> MarginError:
    """Return the error to report for a generation that cannot be built."""
    if isinstance(error, (MissingMarketData, NotReady, LedgerUnavailable, ClusterUnavailable)):
        return error
    summary = error.summary if isinstance(error, MarginError) else repr(error)
    problems = error.problems if isinstance(error, MarginError) else ()
    where = f"snapshot {inputs.snapshot_id}, scenario set {inputs.scenarios_id}"
    remedy = "publish another snapshot or activate another scenario set"
    return NotReady(
        f"the snapshot and scenario set in use cannot be priced: {summary}",
        [*problems, Problem(where, f"generation {inputs.number} cannot be created", remedy)],
    )
