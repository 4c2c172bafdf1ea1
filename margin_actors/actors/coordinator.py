"""The coordinator: it builds the generation in use and replaces lost shards and reducers.

There is one detached actor per cluster; it owns all shards, reducers and slices of the risk cube.
Every decision is made by `margin_actors.actors.state`. The coordinator converts method calls and
the results of input and output into events, and carries out the instructions that follow.

It can be restarted without loss of state: changes of what is in use are stored in the archive
before they become visible, and a restarted coordinator builds the generation from the archive.
Stored data that cannot be used are reported as a fault in the status; they stop neither the
coordinator nor the publication of valid data.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from itertools import count
from typing import Protocol, TypeVar, assert_never, cast

from ray import ObjectRef

from margin_actors.actors.events import (
    ChangeRequested,
    Event,
    GenerationAwaited,
    LossReported,
    SlotRenewed,
    SlotRequested,
    SlotReturned,
    Started,
    TimePassed,
)
from margin_actors.actors.fleet import Fleet, live_nodes
from margin_actors.actors.generation import Archive, CoordinatorStatus, GenerationHandle
from margin_actors.actors.handles import ActorClass, Remote, as_remote
from margin_actors.actors.inputs import ActiveInputs, ChangeKind, Published
from margin_actors.actors.instructions import (
    AnswerChange,
    AnswerSlot,
    AnswerWaiting,
    ForgetInputs,
    Instruction,
    KeepInput,
    ListNodes,
    LoadInputs,
    LookUpKey,
    OfferGeneration,
    PrepareInput,
    PriceSlices,
    ReadInputs,
    RejectChange,
    StartReducers,
    StartShard,
    StopShard,
    StoreChange,
)
from margin_actors.actors.layout import Layout
from margin_actors.actors.loader import StoredMarket, StoredScenarios
from margin_actors.actors.operations import Operations, PendingChange
from margin_actors.actors.shard import ReducerHandle
from margin_actors.actors.state import ClusterState
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.pricing import TILE
from margin_actors.errors import MarginError
from margin_actors.market.snapshots import MarketSnapshot

T = TypeVar("T")


class Coordinator:
    """Ray actor that coordinates a cluster; see the module.

    Ray repeats a method call whose answer is lost, so every method may run more than once.
    """

    def __init__(self, archive: Archive, model: ModelParameters, layout: Layout) -> None:
        self._archive, self._model = archive, model
        # Revisions are times, so that those of a restarted coordinator differ from earlier ones.
        self._state = ClusterState.new(layout, tile=TILE, first_revision=time.time_ns())
        self._fleet = Fleet()
        self._operations = Operations(archive, model, self._fleet)
        self._start_lock = asyncio.Lock()
        self._numbers = count(1)
        self._changes: dict[int, PendingChange] = {}
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._slot_requests: dict[int, asyncio.Future[float]] = {}
        self._current: GenerationHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    # -- requests of gateways ------------------------------------------------------------------

    async def model_id(self) -> str:
        """Return the id of the model used by this cluster."""
        await self._started()
        return self._model.id

    async def publish(
        self, snapshot: MarketSnapshot, key: str, request_id: str, caller: str, allow_older: bool
    ) -> Published:
        """Store a snapshot, put it in use, and return the number of its generation.

        The market is prepared first, so that an unusable snapshot is not stored. Publishing the
        snapshot in use again changes nothing, but builds its generation if that is missing.

        Raises
        ------
        MissingMarketData, InvalidMarketData
            If no smile can be fitted, or the scenarios in use do not move one of its underlyings.
        OutdatedSnapshot
            If the snapshot in use is newer and `allow_older` is False.
        KeyReused, LedgerUnavailable
            From the archive; what is in use does not change.
        """
        prepare = partial(self._operations.loader.prepared, snapshot)
        store = partial(
            self._archive.publish_snapshot,
            snapshot,
            key=key,
            request_id=request_id,
            caller=caller,
            allow_older=allow_older,
        )
        return await self._change("publish", snapshot.id, key, prepare, store)

    async def activate(
        self, scenarios_id: str, key: str, request_id: str, caller: str
    ) -> Published:
        """Put a stored scenario set in use and return the number of its generation.

        Raises
        ------
        UnknownScenarioSet
            If no scenario set is stored under the id.
        InvalidScenario
            If it was built for another model, or does not move an underlying of the market in use.
        KeyReused, LedgerUnavailable
            From the archive; what is in use does not change.
        """
        prepare = partial(self._operations.loader.scenarios, scenarios_id)
        store = partial(
            self._archive.activate_scenarios,
            scenarios_id,
            key=key,
            request_id=request_id,
            caller=caller,
        )
        return await self._change("activate", scenarios_id, key, prepare, store)

    async def generation(
        self, seen: tuple[int, int], wait_seconds: float
    ) -> GenerationHandle | None:
        """Return the generation in use as soon as it differs from `seen`.

        `seen` is a pair (number, revision). Return None if it does not differ within
        `wait_seconds`.
        """
        await self._started()
        request, now = next(self._numbers), time.monotonic()
        answer = self._waiting[request] = asyncio.get_running_loop().create_future()
        self._handle(GenerationAwaited(now, request, seen, now + wait_seconds))
        return self._current if await answer else None

    async def fault_of(self, snapshot_id: str) -> MarginError | None:
        """Return the error because of which the generation in use could not be built.

        Return None if there is no error or the snapshot is not the one in use.
        """
        await self._started()
        return self._state.fault_of(snapshot_id)

    async def report_loss(self, seen: tuple[int, int]) -> None:
        """Record that cube slices of a generation, (number, revision), are lost.

        They are priced again unless the generation is no longer in use.
        """
        await self._started()
        self._handle(LossReported(time.monotonic(), *seen))

    async def take_slot(self, run_id: str) -> float:
        """Lease a slot for a book run; return 0, or the seconds after which to try again."""
        await self._started()
        request = next(self._numbers)
        answer = self._slot_requests[request] = asyncio.get_running_loop().create_future()
        self._handle(SlotRequested(time.monotonic(), request, run_id))
        return await answer

    async def renew_slot(self, run_id: str) -> None:
        """Extend the lease of a run in progress."""
        self._handle(SlotRenewed(time.monotonic(), run_id))

    async def give_slot_back(self, run_id: str) -> None:
        """Release the lease of a run."""
        self._handle(SlotReturned(time.monotonic(), run_id))

    async def reducers(self) -> list[ReducerHandle]:
        """Return handles of the reducer actors."""
        await self._started()
        return self._fleet.reducers

    async def cpus(self) -> float:
        """Return the number of processors of all live nodes."""
        await self._started()
        return self._state.membership.cpus

    async def status(self) -> CoordinatorStatus:
        """Return the human-readable state of the cluster."""
        await self._started()
        state = self._state
        offered = state.builds.current
        return CoordinatorStatus(
            inputs=state.inputs,
            current=offered.inputs.number if offered else 0,
            pending=state.builds.pending,
            fault=state.fault,
            nodes=len(state.membership.nodes),
            run_slots=state.slots.slots,
            run_slots_taken=state.slots.taken(now=time.monotonic()),
            shards=await self._fleet.states(offered.spans if offered else ()),
        )

    async def _started(self) -> None:
        """Start the cluster unless it is started; raise if the archive cannot be read."""
        if self._state.is_started:
            return
        async with self._start_lock:
            if not self._state.is_started:
                inputs = await asyncio.to_thread(self._archive.active_inputs)
                cpus = await live_nodes()
                self._handle(Started(time.monotonic(), inputs, cpus))

    async def _change(
        self,
        kind: ChangeKind,
        content_id: str,
        key: str,
        prepare: Callable[[], Awaitable[StoredMarket | StoredScenarios]],
        store: Callable[[], tuple[ActiveInputs, int]],
    ) -> Published:
        await self._started()
        request = next(self._numbers)
        answer: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        self._changes[request] = PendingChange(kind, content_id, key, prepare, store, answer)
        self._handle(ChangeRequested(time.monotonic(), request, kind, content_id, key))
        return await answer

    # -- events and instructions ---------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        """Pass an event to the state machine and carry out the instructions that follow."""
        for instruction in self._state.handle(event):
            self._execute(instruction)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._state.next_time
        if at < math.inf:
            delay = max(0.0, at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._time_passed)

    def _time_passed(self) -> None:
        self._handle(TimePassed(time.monotonic()))

    def _execute(self, instruction: Instruction) -> None:
        operations = self._operations
        match instruction:
            case StartShard(number=number, node_id=node_id):
                self._fleet.start_shard(number, node_id)
            case StopShard(number=number):
                self._fleet.stop_shard(number)
            case StartReducers(count=n_reducers):
                self._fleet.start_reducers(n_reducers)
            case ListNodes(refresh=refresh):
                self._report(operations.list_nodes(refresh))
            case ReadInputs(refresh=refresh):
                self._report(operations.read_inputs(refresh))
            case LoadInputs():
                self._report(operations.load_inputs(instruction))
            case PriceSlices():
                self._report(operations.price_slices(instruction))
            case ForgetInputs():
                operations.loader.forget()
            case OfferGeneration():
                self._current = operations.take_generation(instruction)
            case LookUpKey(request=request):
                self._report(operations.look_up_key(request, self._changes[request]))
            case PrepareInput(request=request, scenarios_id=scenarios_id):
                change = self._changes[request]
                self._report(operations.prepare_input(request, change, scenarios_id))
            case StoreChange(request=request):
                self._report(operations.store_change(request, self._changes[request]))
            case KeepInput(request=request):
                prepared = self._changes[request].prepared
                assert prepared is not None
                operations.loader.keep(prepared)
            case AnswerChange(request=request, published=published):
                _answer(self._changes.pop(request).answer, published)
            case RejectChange(request=request, error=error):
                _reject(self._changes.pop(request).answer, error)
            case AnswerWaiting(request=request, is_new=is_new):
                _answer(self._waiting.pop(request), is_new)
            case AnswerSlot(request=request, wait_seconds=wait_seconds):
                _answer(self._slot_requests.pop(request), wait_seconds)
            case _:
                assert_never(instruction)

    def _report(self, work: Coroutine[None, None, Event]) -> None:
        """Run an operation in the background and handle its result."""

        async def run() -> None:
            self._handle(await work)

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _answer(future: asyncio.Future[T], value: T) -> None:
    if not future.done():  # the call may have been cancelled
        future.set_result(value)


def _reject(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


class CoordinatorHandle(Protocol):
    """Handle of a `Coordinator`."""

    model_id: Remote[[], ObjectRef[str]]
    publish: Remote[[MarketSnapshot, str, str, str, bool], ObjectRef[Published]]
    activate: Remote[[str, str, str, str], ObjectRef[Published]]
    generation: Remote[[tuple[int, int], float], ObjectRef[GenerationHandle | None]]
    fault_of: Remote[[str], ObjectRef[MarginError | None]]
    report_loss: Remote[[tuple[int, int]], ObjectRef[None]]
    take_slot: Remote[[str], ObjectRef[float]]
    renew_slot: Remote[[str], ObjectRef[None]]
    give_slot_back: Remote[[str], ObjectRef[None]]
    reducers: Remote[[], ObjectRef[list[ReducerHandle]]]
    cpus: Remote[[], ObjectRef[float]]
    status: Remote[[], ObjectRef[CoordinatorStatus]]


coordinator_actor = cast(
    "ActorClass[[Archive, ModelParameters, Layout], CoordinatorHandle]",
    as_remote(Coordinator, num_cpus=0, max_restarts=-1, max_task_retries=-1),
)
