"""The life of the cluster as a state machine, without Ray, clocks, threads or input and output.

`ClusterState.handle` takes an event and returns instructions, which the coordinator carries out;
their results are events again. The same events in the same order give the same instructions, so
that every failure can be tested synchronously.

The state machine proceeds in refreshes. A refresh lists the nodes and reads the inputs in use; then
the shards are placed on the live nodes, and a build starts if the generation of these inputs is not
offered or its slices are lost. While a build is in progress no refresh begins, so the shards do not
change. After a loss, a refresh and another build follow with increasing delay. A build that failed
for another reason is repeated with the next refresh.
"""

import math
from dataclasses import dataclass, field
from typing import assert_never

from margin_actors.actors.builds import Builds
from margin_actors.actors.changes import ChangeQueue
from margin_actors.actors.events import (
    BuildEvent,
    BuildFailed,
    BuildLost,
    ChangeEvent,
    ChangeFailed,
    ChangeRequested,
    ChangeStored,
    Event,
    GenerationAwaited,
    InputPrepared,
    InputsLoaded,
    InputsRead,
    InputsUnavailable,
    KeyLookedUp,
    LossReported,
    NodesListed,
    NodesUnavailable,
    PreparationLost,
    RefreshEvent,
    RequestEvent,
    SlicesPriced,
    SlotRenewed,
    SlotRequested,
    SlotReturned,
    Started,
    TimePassed,
)
from margin_actors.actors.inputs import ActiveInputs
from margin_actors.actors.instructions import (
    AnswerSlot,
    Instruction,
    OfferGeneration,
    StartReducers,
)
from margin_actors.actors.layout import Layout
from margin_actors.actors.membership import Membership
from margin_actors.actors.plan import RETRY
from margin_actors.actors.refresh import Refresh
from margin_actors.actors.slots import RunSlots
from margin_actors.actors.waiting import Waiting, WaitingRequests
from margin_actors.errors import MarginError


@dataclass
class ClusterState:
    """The state of a cluster."""

    layout: Layout
    inputs: ActiveInputs
    """The inputs in use."""
    membership: Membership
    refresh: Refresh
    builds: Builds
    changes: ChangeQueue
    waiting: WaitingRequests
    slots: RunSlots
    is_started: bool = field(default=False)
    """False before the event `Started`; until then, only slots are renewed and returned."""

    @classmethod
    def new(cls, layout: Layout, *, tile: int, first_revision: int) -> "ClusterState":
        """Return the state of a cluster before `Started`.

        Parameters
        ----------
        layout : Layout
            Configuration of the cluster.
        tile : int
            Number of scenarios of a tile.
        first_revision : int
            Revision of the first build; must exceed the revisions of an earlier coordinator.
        """
        return cls(
            layout,
            inputs=ActiveInputs(),
            membership=Membership(layout.shards),
            refresh=Refresh(layout.refresh_seconds),
            builds=Builds(tile, layout.cube_bytes_max, first_revision),
            changes=ChangeQueue(),
            waiting=WaitingRequests(),
            slots=RunSlots(layout.run_slots),
        )

    @property
    def next_time(self) -> float:
        """Time of the next `TimePassed`, seconds of the monotonic clock; infinite for none."""
        may_refresh = self.is_started and not self._is_busy
        refresh = self.refresh.next_time if may_refresh else math.inf
        return min(refresh, self.waiting.next_time, self.changes.next_time)

    @property
    def fault(self) -> str:
        """Why the inputs in use cannot be priced, or why the last refresh failed; else empty."""
        error = self._fault_in_use
        return self.refresh.fault if error is None else str(error)

    def fault_of(self, snapshot_id: str) -> MarginError | None:
        """Return the error because of which the inputs in use could not be priced.

        Return None if there is no error or the snapshot is not the one in use.
        """
        return self._fault_in_use if self.inputs.snapshot_id == snapshot_id else None

    def handle(self, event: Event) -> tuple[Instruction, ...]:
        """Return the instructions that follow from an event, in the order of their execution."""
        instructions = self._react(event)
        if self.is_started and not self._is_busy and self.refresh.next_time <= event.now:
            instructions = (*instructions, *self.refresh.begin())
        return instructions

    def check_invariants(self) -> None:
        """Assert the properties that hold after every event."""
        self.membership.check_invariants()
        self.builds.check_invariants(self.inputs)
        self.changes.check_invariants(self.inputs)
        self.waiting.check_invariants(self.builds.offered)
        self.slots.check_invariants()
        assert self.builds.build is None or not self.refresh.is_in_progress
        if self.is_started:
            assert self.membership.n_shards > 0
            # The life goes on: something is in progress, or a time is set.
            assert self._is_busy or self.refresh.next_time < math.inf

    @property
    def _is_busy(self) -> bool:
        """True if the next refresh has to wait for an answer."""
        return self.builds.build is not None or self.refresh.is_in_progress

    @property
    def _fault_in_use(self) -> MarginError | None:
        fault = self.builds.fault
        return fault.error if fault is not None and fault.number == self.inputs.number else None

    def _react(self, event: Event) -> tuple[Instruction, ...]:
        match event:
            case Started():
                return self._start(event)
            case TimePassed(now=now):
                late = self.waiting.answer_late(now)
                return (*late, *self.changes.retry(now, self.inputs))
            case NodesListed() | NodesUnavailable() | InputsRead() | InputsUnavailable():
                return self._refreshed(event)
            case InputsLoaded() | SlicesPriced() | BuildLost() | BuildFailed() | LossReported():
                return self._built(event)
            case (
                ChangeRequested()
                | KeyLookedUp()
                | InputPrepared()
                | PreparationLost()
                | ChangeStored()
                | ChangeFailed()
            ):
                return self._changed(event)
            case GenerationAwaited() | SlotRequested() | SlotRenewed() | SlotReturned():
                return self._requested(event)
            case _:
                assert_never(event)

    def _start(self, event: Started) -> tuple[Instruction, ...]:
        assert not self.is_started
        moves = self.membership.update(event.cpus)
        self._adopt(event.inputs)
        self.is_started = True
        self.refresh.due_at = event.now + self.layout.refresh_seconds
        reducers = StartReducers(self.layout.reducers)
        return (*moves, reducers, *self.builds.start_if_required(self.inputs))

    def _adopt(self, inputs: ActiveInputs) -> None:
        """Use inputs read from the archive, unless newer ones are known."""
        if inputs.number < self.inputs.number:
            return
        if inputs != self.inputs:
            self.refresh.not_before = -math.inf  # a back-off concerns other inputs
        self.inputs = inputs
        self.changes.drop_unused(inputs)

    def _refreshed(self, event: RefreshEvent) -> tuple[Instruction, ...]:
        moves: tuple[Instruction, ...] = ()
        match event:
            case NodesListed(refresh=refresh, cpus=cpus):
                if not self.refresh.accept_nodes(refresh, "" if cpus else "there is no live node"):
                    return ()
                if cpus:
                    moves = self.membership.update(cpus)
                    self.builds.are_slices_lost |= bool(moves)
            case NodesUnavailable(refresh=refresh, reason=reason):
                if not self.refresh.accept_nodes(refresh, reason):
                    return ()
            case InputsRead(refresh=refresh, inputs=inputs):
                if not self.refresh.accept_inputs(refresh):
                    return ()
                self._adopt(inputs)
            case InputsUnavailable(refresh=refresh, reason=reason):
                if not self.refresh.accept_inputs(refresh, reason):
                    return ()
        if self.refresh.is_in_progress:
            return moves
        self.refresh.due_at = event.now + self.layout.refresh_seconds
        if self.refresh.nodes_fault:
            return moves
        # Known inputs are built even if the archive cannot be read.
        return (*moves, *self.builds.start_if_required(self.inputs))

    def _built(self, event: BuildEvent) -> tuple[Instruction, ...]:
        if not self.builds.is_answer(event):
            return ()
        instructions = self.builds.handle(event, self.membership.n_shards)
        match event:
            case LossReported():
                self.refresh.is_requested = True
            case InputsLoaded(underlyings=underlyings, moved=moved):
                attempted = self.builds.attempted
                assert attempted is not None
                self.changes.learn(attempted.snapshot_id, underlyings)
                self.changes.learn(attempted.scenarios_id, moved)
                self.changes.drop_unused(self.inputs)
            case BuildLost(now=now):
                self.refresh.due_at = now + RETRY.delay_seconds(self.builds.losses - 1)
                if self.builds.attempted == self.inputs:
                    self.refresh.not_before = self.refresh.due_at
            case BuildFailed(now=now):
                self.refresh.due_at = now + self.layout.refresh_seconds
            case SlicesPriced():
                pass
        return (*instructions, *self._offered(instructions, event.now))

    def _offered(
        self, instructions: tuple[Instruction, ...], now: float
    ) -> tuple[Instruction, ...]:
        """Return the answers to the requests that wait for the generation offered, if one is."""
        if not any(isinstance(instruction, OfferGeneration) for instruction in instructions):
            return ()
        self.refresh.due_at = now + self.layout.refresh_seconds
        return self.waiting.answer_new()

    def _changed(self, event: ChangeEvent) -> tuple[Instruction, ...]:
        if not self.changes.is_answer(event):
            return ()
        match event:
            case ChangeStored(inputs=inputs) if inputs is not None:
                self.builds.fault = None  # the build is tried again after the change
                self.refresh.is_requested = True
                self._adopt(inputs)
            case ChangeFailed(request=request):
                # The change may have been stored in spite of the error.
                storing = self.changes.storing
                self.refresh.is_requested |= storing is not None and storing.request == request
            case PreparationLost():
                self.refresh.is_requested = True  # the node of the shard may be lost
            case _:
                pass
        instructions = self.changes.handle(event, self.inputs)
        self.changes.drop_unused(self.inputs)
        return instructions

    def _requested(self, event: RequestEvent) -> tuple[Instruction, ...]:
        match event:
            case GenerationAwaited(request=request, seen=seen, until=until):
                return self.waiting.add(request, Waiting(seen, until), self.builds.offered)
            case SlotRequested(now=now, request=request, run_id=run_id):
                return (AnswerSlot(request, self.slots.take(run_id, now=now)),)
            case SlotRenewed(now=now, run_id=run_id):
                self.slots.renew(run_id, now=now)
            case SlotReturned(run_id=run_id):
                self.slots.give_back(run_id)
        return ()
