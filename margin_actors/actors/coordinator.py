"""The coordinator: which generation is in use, who prices it, and what is replaced.

One detached actor a cluster, owner of all shards, reducers, and slabs. It holds no state that could
be lost: what is in use is noted in the archive before anyone is told, and a coordinator that is
started again makes the generation anew from there.
"""

import asyncio
import contextlib
import time
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from margin_actors.actors.faults import cause_of, is_loss, is_ours
from margin_actors.actors.generation import (
    Archive,
    CoordinatorStatus,
    GenerationHandle,
    Layout,
    Ref,
    ShardState,
)
from margin_actors.actors.plan import (
    Heads,
    RunSlots,
    Span,
    Succession,
    backoff_seconds,
    place_shards,
    shards_wanted,
    spans,
)
from margin_actors.actors.shard import reducer_actor, shard_actor
from margin_actors.actors.work import prepare
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.pricing import TILE
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import MarginError
from margin_actors.market.snapshots import MarketSnapshot

_STATE_SECONDS = 1.0


class Coordinator:
    """See the module; methods may be called again after a lost answer."""

    def __init__(self, archive: Archive, parameters: ModelParameters, layout: Layout) -> None:
        self._archive, self._parameters, self._layout = archive, parameters, layout
        self._lock = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._succession: Succession | None = None
        self._slots = RunSlots(layout.run_slots)
        self._current: GenerationHandle | None = None
        self._broken = False
        self._making = 0
        self._fault, self._fault_number = "", 0
        self._fault_error: MarginError | None = None
        self._shards: list[Any] = []
        self._places: list[str] = []  # the node of each shard
        self._reducers: list[Any] = []
        self._market: tuple[str, Ref, int] = ("", None, 0)
        self._scenarios: tuple[str, Ref, int] = ("", None, 0)
        self._nodes, self._cpus = 0, 1.0
        self._wake = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None

    # -- what gateways ask ---------------------------------------------------------------------

    async def model_id(self) -> str:
        """Return the id of the model that this cluster runs."""
        await self._start()
        return self._parameters.id

    async def publish(self, snapshot: MarketSnapshot, key: str) -> int:
        """Make a stored snapshot current and return the number of its generation.

        Raises
        ------
        MissingMarketData, InvalidMarketData
            If no smile can be fitted; what was current stays.
        """
        succession = await self._start()
        seen = succession.number_of(key)
        if seen is not None:
            return seen
        if succession.heads.snapshot_id != snapshot.id:
            market, count = await self._prepare(snapshot)
        else:
            market, count = self._market[1:]
        async with self._lock:
            heads, changed = succession.publish(snapshot.id, key=key)
            if changed:
                self._market = (snapshot.id, market, count)
                await asyncio.to_thread(self._archive.note_heads, heads)
                self._wake.set()
        return succession.number_of(key) or heads.number

    async def activate(self, scenarios_id: str, key: str) -> int:
        """Make a stored scenario set the one in use and return the number of its generation.

        Raises
        ------
        InvalidScenario, InvalidMarketData
            If it is not stored.
        """
        succession = await self._start()
        async with self._lock:
            if succession.number_of(key) is None:
                await self._load_scenarios(scenarios_id)
                heads, changed = succession.activate(scenarios_id, key=key)
                if changed:
                    await asyncio.to_thread(self._archive.note_heads, heads)
                    self._wake.set()
        return succession.number_of(key) or succession.heads.number

    async def generation(
        self, seen: tuple[int, int], wait_seconds: float
    ) -> GenerationHandle | None:
        """Return the generation in use as soon as it is not the one seen, or None after a while."""
        await self._start()

        def is_new() -> bool:
            now = self._current
            return now is not None and (now.number, now.revision) != seen

        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(is_new), wait_seconds)
        return self._current if is_new() else None

    async def fault_of(self, snapshot_id: str) -> MarginError | None:
        """Return why the generation of a snapshot could not be made, if it is the one wanted."""
        succession = await self._start()
        wanted = succession.heads
        if wanted.snapshot_id == snapshot_id and wanted.number == self._fault_number:
            return self._fault_error
        return None

    async def report_loss(self, seen: tuple[int, int]) -> None:
        """Take note that slabs of a generation are lost; they are made again."""
        await self._start()
        now = self._current
        if now is not None and (now.number, now.revision) == seen:
            self._broken = True
            self._wake.set()

    async def take_slot(self, run_id: str, seconds: float) -> float:
        """Lease a slot for a book run: 0, or the seconds after which to ask again."""
        await self._start()
        now = time.monotonic()
        return self._slots.take(run_id, now=now, until=now + seconds)

    async def give_slot_back(self, run_id: str) -> None:
        """End a lease."""
        self._slots.give_back(run_id)

    async def reducers(self) -> list[Any]:
        """Return the reducers."""
        await self._start()
        return self._reducers

    async def cpus(self) -> float:
        """Return the processors of the living nodes."""
        await self._start()
        return self._cpus

    async def status(self) -> CoordinatorStatus:
        """Return the cluster for people."""
        succession = await self._start()
        now = self._current
        return CoordinatorStatus(
            heads=succession.heads,
            current=now.number if now else 0,
            pending=self._making,
            fault=self._fault,
            nodes=self._nodes,
            runs=self._slots.taken(now=time.monotonic()),
            shards=tuple([await self._state(i) for i in range(len(self._shards))]),
        )

    # -- how it is done ------------------------------------------------------------------------

    async def _start(self) -> Succession:
        if self._succession is None:
            async with self._lock:
                if self._succession is None:
                    heads = await asyncio.to_thread(self._archive.heads)
                    await self._look()
                    self._reducers = [reducer_actor.remote() for _ in range(self._layout.reducers)]
                    self._succession = Succession(heads)
                    self._wake.set()
                    self._loop_task = asyncio.create_task(self._serve())
        return self._succession

    async def _look(self) -> bool:
        """Look at the nodes; return whether shards must be cut anew."""
        nodes = await asyncio.to_thread(ray.nodes)
        living = [n for n in nodes if n["Alive"]]
        self._nodes = len(living)
        self._cpus = max(1.0, sum(n["Resources"].get("CPU", 0.0) for n in living))
        cpus = {n["NodeID"]: float(n["Resources"].get("CPU", 0.0)) for n in living}
        wanted = shards_wanted(self._layout.shards, self._cpus)
        places = place_shards(self._places[:wanted], cpus, wanted)
        if places == self._places:
            return False
        for shard in self._shards[wanted:]:
            ray.kill(shard)
        del self._shards[wanted:]
        for number, place in enumerate(places):
            if number < len(self._shards) and place == self._places[number]:
                continue
            # Bound to its node: Ray takes spreading, and a soft affinity, for wishes.
            where = NodeAffinitySchedulingStrategy(place, soft=False)
            shard = shard_actor.options(scheduling_strategy=where).remote(number)
            if number < len(self._shards):  # its node is gone
                ray.kill(self._shards[number])
                self._shards[number] = shard
            else:
                self._shards.append(shard)
        self._places = places
        return True

    async def _serve(self) -> None:
        """Make generations as they are wanted, for ever."""
        assert self._succession is not None
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._layout.look_seconds)
            self._wake.clear()
            cut_anew = await self._look()
            wanted, now = self._succession.heads, self._current
            is_made = now is not None and now.number == wanted.number
            if wanted.is_complete and (not is_made or cut_anew or self._broken):
                await self._make_until_done(wanted)

    async def _make_until_done(self, wanted: Heads) -> None:
        assert self._succession is not None
        attempt = 0
        self._making = wanted.number
        while self._succession.heads == wanted:  # a newer one is made instead
            try:
                handle = await self._make(wanted)
            except asyncio.CancelledError:
                raise
            except MarginError as error:
                await self._note_fault(wanted, error)
                break
            except Exception as error:
                if not is_loss(error):
                    ours = cause_of(error)
                    if not isinstance(ours, MarginError):
                        ours = MarginError(f"the generation cannot be made: {ours!r}")
                    await self._note_fault(wanted, ours)
                    break
                self._market, self._scenarios = ("", None, 0), ("", None, 0)
                await asyncio.sleep(backoff_seconds(attempt))
                attempt += 1
                await self._look()  # a shard whose node is gone is made on another
                continue
            self._broken = False
            self._fault, self._fault_number, self._fault_error = "", 0, None
            async with self._changed:
                self._current = handle
                self._changed.notify_all()
            break
        self._making = 0

    async def _note_fault(self, wanted: Heads, error: MarginError) -> None:
        self._fault, self._fault_number, self._fault_error = str(error), wanted.number, error
        async with self._changed:
            self._changed.notify_all()

    async def _prepare(self, snapshot: MarketSnapshot) -> tuple[Ref, int]:
        attempt = 0
        while True:
            market, count = prepare.remote(snapshot, self._parameters)
            try:
                return market, await count
            except Exception as error:
                if is_ours(error):
                    raise cause_of(error) from None
                if not is_loss(error):
                    raise
            await asyncio.sleep(backoff_seconds(attempt))
            attempt += 1

    async def _load_scenarios(self, scenarios_id: str) -> tuple[Ref, int]:
        if self._scenarios[0] != scenarios_id:
            loaded = await asyncio.to_thread(self._archive.load_scenarios, scenarios_id)
            self._scenarios = (scenarios_id, await asyncio.to_thread(_put, loaded), len(loaded))
        return self._scenarios[1], self._scenarios[2]

    async def _make(self, wanted: Heads) -> GenerationHandle:
        if self._market[0] != wanted.snapshot_id:
            snapshot = await asyncio.to_thread(self._archive.load_snapshot, wanted.snapshot_id)
            self._market = (wanted.snapshot_id, *await self._prepare(snapshot))
        _, market, n_contracts = self._market
        scenarios, n_scenarios = await self._load_scenarios(wanted.scenarios_id)
        cut = spans(n_scenarios, len(self._shards), tile=TILE)
        padded = -(-n_scenarios // TILE) * TILE
        slabs: tuple[Ref, ...] | None = None
        if n_contracts * padded * 8 <= self._layout.cube_bytes_max:
            asked = [
                shard.price.options(num_returns=2).remote(market, scenarios, span)
                for shard, span in zip(self._shards, cut, strict=False)
            ]
            # The second return tells that the first is there, without fetching it to this node.
            await asyncio.gather(*(count for _, count in asked))
            slabs = tuple(slab for slab, _ in asked)
        return GenerationHandle(
            number=wanted.number,
            revision=time.time_ns(),
            snapshot_id=wanted.snapshot_id,
            scenarios_id=wanted.scenarios_id,
            model_id=self._parameters.id,
            n_contracts=n_contracts,
            spans=cut,
            market=market,
            scenarios=scenarios,
            slabs=slabs,
        )

    async def _state(self, number: int) -> ShardState:
        cut = self._current.spans if self._current else ()
        span = cut[number] if number < len(cut) else Span(0, 0)
        try:
            node, priced = await asyncio.wait_for(
                self._shards[number].state.remote(), _STATE_SECONDS
            )
        except Exception:  # busy or being replaced: people want the rest all the same
            node, priced = "", 0
        return ShardState(number, span, node, priced)


def _put(value: ScenarioSet) -> Ref:
    return ray.put(value)


coordinator_actor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Coordinator)
