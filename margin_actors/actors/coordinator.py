"""The coordinator: it creates the generation in use and replaces lost shards and reducers.

There is one detached actor per cluster; it owns all shards, reducers and slices of the risk cube.
It can be restarted without loss of state: changes of what is in use are stored in the archive
before they become visible, and a restarted coordinator creates the generation from the archive.
Stored data that cannot be used are reported as a fault in the status; they stop neither the
coordinator nor the publication of valid data.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import ray

from margin_actors.actors.faults import cause_of, is_loss, is_ours
from margin_actors.actors.fleet import Fleet
from margin_actors.actors.generation import (
    Archive,
    CoordinatorStatus,
    GenerationHandle,
    GenerationKind,
    Layout,
    Published,
)
from margin_actors.actors.maker import GenerationMaker, MarketInStore
from margin_actors.actors.plan import Heads, RunSlots, backoff_seconds
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import (
    ClusterUnavailable,
    InvalidScenario,
    LedgerUnavailable,
    MarginError,
    MissingMarketData,
    NotReady,
    Problem,
)
from margin_actors.market.snapshots import MarketSnapshot


class Coordinator:
    """Ray actor that coordinates a cluster; see the module.

    Ray repeats a method call whose answer is lost, so every method may run more than once.
    """

    def __init__(self, archive: Archive, parameters: ModelParameters, layout: Layout) -> None:
        self._archive, self._parameters, self._layout = archive, parameters, layout
        self._lock = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._heads: Heads | None = None
        self._fleet = Fleet(layout)
        self._maker = GenerationMaker(archive, parameters, layout, self._fleet)
        self._slots = RunSlots(layout.run_slots)
        self._current: GenerationHandle | None = None
        self._slabs_lost = False
        self._pending = 0
        self._fault: MarginError | None = None
        self._fault_number = 0  # number of the generation that could not be created
        self._check_fault = ""  # why the last check of nodes and of what is in use failed
        self._wake = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None

    # -- requests of gateways ------------------------------------------------------------------

    async def model_id(self) -> str:
        """Return the id of the model used by this cluster."""
        await self._started()
        return self._parameters.id

    async def publish(
        self, snapshot: MarketSnapshot, key: str, request_id: str, caller: str, allow_older: bool
    ) -> Published:
        """Store a snapshot, put it in use, and return the number of its generation.

        The market is prepared first, so that an unusable snapshot is not stored. Publishing the
        snapshot in use again changes nothing, but creates its generation if that is missing.

        Raises
        ------
        MissingMarketData, InvalidMarketData
            If no smile can be fitted, or the scenarios in use do not move one of its underlyings.
        OutdatedSnapshot
            If the snapshot in use is newer and `allow_older` is False.
        KeyReused, LedgerUnavailable
            From the archive; what is in use does not change.
        """
        await self._started()
        repeated = await self._repeated("publish", key, snapshot.id)
        if repeated is not None:
            return repeated
        market = await self._maker.prepared(snapshot)
        await self._require_moved(market)
        store = partial(
            self._archive.publish_snapshot,
            snapshot,
            key=key,
            request_id=request_id,
            caller=caller,
            allow_older=allow_older,
        )
        published = await self._store("publish", key, snapshot.id, store)
        if (await self._started()).snapshot_id == snapshot.id:
            self._maker.market = market
        return published

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
        await self._started()
        repeated = await self._repeated("activate", key, scenarios_id)
        if repeated is not None:
            return repeated
        scenarios = await self._maker.loaded(scenarios_id)
        if self._maker.market is not None:
            missing = _unmoved(self._maker.market.size.underlyings, scenarios.underlyings)
            if missing:
                remedy = f"build a set that includes {missing}"
                problems = [
                    Problem(
                        f"scenario set {scenarios_id}",
                        f"it moves only {', '.join(scenarios.underlyings)}",
                        remedy,
                    )
                ]
                raise InvalidScenario(f"the scenarios do not move {missing}", problems)
        store = partial(
            self._archive.activate_scenarios,
            scenarios_id,
            key=key,
            request_id=request_id,
            caller=caller,
        )
        published = await self._store("activate", key, scenarios_id, store)
        if (await self._started()).scenarios_id == scenarios_id:
            self._maker.scenarios = scenarios
        return published

    async def generation(
        self, seen: tuple[int, int], wait_seconds: float
    ) -> GenerationHandle | None:
        """Return the generation in use as soon as it differs from `seen`.

        `seen` is a pair (number, revision). Return None if it does not differ within
        `wait_seconds`.
        """
        await self._started()

        def is_new() -> bool:
            now = self._current
            return now is not None and (now.number, now.revision) != seen

        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(is_new), wait_seconds)
        return self._current if is_new() else None

    async def fault_of(self, snapshot_id: str) -> MarginError | None:
        """Return the error because of which the generation in use could not be created.

        Return None if there is no error or the snapshot is not the one in use.
        """
        heads = await self._started()
        if heads.snapshot_id == snapshot_id and heads.number == self._fault_number:
            return self._fault
        return None

    async def report_loss(self, seen: tuple[int, int]) -> None:
        """Record that cube slices of a generation, (number, revision), are lost.

        They are priced again unless the generation is no longer in use.
        """
        await self._started()
        now = self._current
        if now is not None and (now.number, now.revision) == seen:
            self._slabs_lost = True
            self._wake.set()

    async def take_slot(self, run_id: str) -> float:
        """Lease a slot for a book run; return 0, or the seconds after which to try again."""
        await self._started()
        return self._slots.take(run_id, now=time.monotonic())

    async def renew_slot(self, run_id: str) -> None:
        """Extend the lease of a run in progress."""
        self._slots.renew(run_id, now=time.monotonic())

    async def give_slot_back(self, run_id: str) -> None:
        """Release the lease of a run."""
        self._slots.give_back(run_id)

    async def reducers(self) -> list[Any]:
        """Return handles of the reducer actors."""
        await self._started()
        return self._fleet.reducers

    async def cpus(self) -> float:
        """Return the number of processors of all live nodes."""
        await self._started()
        return self._fleet.cpus

    async def status(self) -> CoordinatorStatus:
        """Return the human-readable state of the cluster."""
        heads = await self._started()
        now = self._current
        fault = str(self._fault) if self._fault and self._fault_number == heads.number else ""
        return CoordinatorStatus(
            heads=heads,
            current=now.number if now else 0,
            pending=self._pending,
            fault=fault or self._check_fault,
            nodes=self._fleet.nodes,
            run_slots=self._slots.slots,
            run_slots_taken=self._slots.taken(now=time.monotonic()),
            shards=await self._fleet.states(now.spans if now else ()),
        )

    # -- what is in use ------------------------------------------------------------------------

    async def _started(self) -> Heads:
        if self._heads is None:
            async with self._lock:
                if self._heads is None:
                    heads = await asyncio.to_thread(self._archive.heads)
                    await self._fleet.start()
                    self._heads = heads
                    self._wake.set()
                    self._loop_task = asyncio.create_task(self._serve())
        return self._heads

    def _adopt(self, heads: Heads) -> None:
        assert self._heads is not None
        if heads.number >= self._heads.number:
            self._heads = heads

    async def _repeated(self, kind: GenerationKind, key: str, content_id: str) -> Published | None:
        if not key:
            return None
        number = await asyncio.to_thread(self._archive.repeated_generation, kind, key, content_id)
        return None if number is None else Published(number, was_repeated=True)

    async def _store(
        self,
        kind: GenerationKind,
        key: str,
        content_id: str,
        store: Callable[[], tuple[Heads, int]],
    ) -> Published:
        """Store a change of what is in use, unless an earlier attempt of the request did."""
        async with self._lock:
            repeated = await self._repeated(kind, key, content_id)
            if repeated is not None:
                return repeated
            try:
                heads, number = await asyncio.to_thread(store)
            finally:
                self._wake.set()  # also after an error: the change may have been stored
            self._adopt(heads)
            self._fault, self._fault_number = None, 0  # creation is tried again after the change
        return Published(number, was_repeated=False)

    async def _require_moved(self, market: MarketInStore) -> None:
        """Raise if the scenarios in use do not move every underlying of a market."""
        heads = await self._started()
        if not heads.scenarios_id:
            return
        try:
            scenarios = await self._maker.loaded(heads.scenarios_id)
        except Exception:  # a fault of the stored set, which the status reports
            return
        missing = _unmoved(market.size.underlyings, scenarios.underlyings)
        if missing:
            remedy = "activate a scenario set that includes them, or omit them from the snapshot"
            problems = [Problem("underlyings", f"no scenarios for {missing}", remedy)]
            raise MissingMarketData(f"the scenarios in use do not move {missing}", problems)

    # -- creation of generations ---------------------------------------------------------------

    async def _serve(self) -> None:
        """Create generations as required, until cancelled or the actor exits."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._layout.look_seconds)
            self._wake.clear()
            try:
                await self._make_if_wanted()
                self._check_fault = ""
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the next check may succeed
                self._check_fault = (
                    f"the nodes or the inputs in use could not be checked: {cause_of(error)}"
                )

    async def _make_if_wanted(self) -> None:
        are_moved = await self._fleet.check_nodes()
        self._slabs_lost |= are_moved
        try:
            self._adopt(await asyncio.to_thread(self._archive.heads))
        finally:  # create what is known to be in use even if the archive cannot be read
            wanted, now = await self._started(), self._current
            is_made = now is not None and now.number == wanted.number
            if wanted.is_complete and (not is_made or self._slabs_lost):
                await self._make_until_done(wanted)

    async def _make_until_done(self, wanted: Heads) -> None:
        attempt = 0
        self._pending = wanted.number
        while self._heads == wanted:  # otherwise a newer generation is required
            try:
                handle = await self._maker.made(wanted)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if is_ours(error) or not is_loss(error):
                    await self._note_fault(wanted, cause_of(error))
                    break
                self._maker.forget()
                await asyncio.sleep(backoff_seconds(attempt))
                attempt += 1
                await self._fleet.check_nodes()  # replaces shards whose node is lost
                continue
            self._slabs_lost = False
            self._fault, self._fault_number = None, 0
            async with self._changed:
                self._current = handle
                self._changed.notify_all()
            break
        self._pending = 0

    async def _note_fault(self, wanted: Heads, error: BaseException) -> None:
        self._fault, self._fault_number = _fault_from(wanted, error), wanted.number
        async with self._changed:
            self._changed.notify_all()


def _unmoved(underlyings: Iterable[str], moved: Iterable[str]) -> str:
    return ", ".join(sorted(set(underlyings) - set(moved)))


def _fault_from(wanted: Heads, error: BaseException) -> MarginError:
    """Return the error to report for a generation that cannot be created."""
    if isinstance(error, (MissingMarketData, NotReady, LedgerUnavailable, ClusterUnavailable)):
        return error
    summary = error.summary if isinstance(error, MarginError) else repr(error)
    problems = error.problems if isinstance(error, MarginError) else ()
    where = f"snapshot {wanted.snapshot_id}, scenario set {wanted.scenarios_id}"
    remedy = "publish another snapshot or activate another scenario set"
    return NotReady(
        f"the snapshot and scenario set in use cannot be priced: {summary}",
        [*problems, Problem(where, f"generation {wanted.number} cannot be created", remedy)],
    )


coordinator_actor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Coordinator)
