"""Input and output of the coordinator: every operation returns the event that answers it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ray import ObjectRef

from margin_actors.actors.events import (
    BuildFailed,
    BuildLost,
    ChangeFailed,
    ChangeStored,
    Event,
    InputPrepared,
    InputsLoaded,
    InputsRead,
    InputsUnavailable,
    KeyLookedUp,
    NodesListed,
    NodesUnavailable,
    PreparationLost,
    SlicesPriced,
)
from margin_actors.actors.faults import cause_of, is_loss, is_ours
from margin_actors.actors.fleet import Fleet, live_nodes
from margin_actors.actors.generation import Archive, GenerationHandle
from margin_actors.actors.inputs import ActiveInputs, ChangeKind, Published
from margin_actors.actors.instructions import LoadInputs, OfferGeneration, PriceSlices
from margin_actors.actors.loader import InputLoader, StoredMarket, StoredScenarios
from margin_actors.engine.margin import CubeSlice
from margin_actors.engine.parameters import ModelParameters


@dataclass
class PendingChange:
    """A change of what is in use that was requested and is not answered yet."""

    kind: ChangeKind
    content_id: str
    key: str
    prepare: Callable[[], Awaitable[StoredMarket | StoredScenarios]]
    store: Callable[[], tuple[ActiveInputs, int]]
    answer: asyncio.Future[Published]
    prepared: StoredMarket | StoredScenarios | None = None


@dataclass
class _Build:
    """The objects of the build in progress."""

    market: StoredMarket
    scenarios: StoredScenarios
    slices: tuple[ObjectRef[CubeSlice], ...] | None = None


class Operations:
    """Operations on the archive, the nodes and the shards; no operation raises an exception."""

    def __init__(self, archive: Archive, model: ModelParameters, fleet: Fleet) -> None:
        self._archive, self._model, self._fleet = archive, model, fleet
        self.loader = InputLoader(archive, model, fleet)
        self._build: _Build | None = None

    async def list_nodes(self, refresh: int) -> Event:
        """List the live nodes."""
        try:
            cpus = await live_nodes()
        except Exception as error:
            return NodesUnavailable(time.monotonic(), refresh, str(error))
        return NodesListed(time.monotonic(), refresh, cpus)

    async def read_inputs(self, refresh: int) -> Event:
        """Read the inputs in use."""
        try:
            inputs = await asyncio.to_thread(self._archive.active_inputs)
        except Exception as error:
            return InputsUnavailable(time.monotonic(), refresh, str(error))
        return InputsRead(time.monotonic(), refresh, inputs)

    async def load_inputs(self, instruction: LoadInputs) -> Event:
        """Load the inputs of a build."""
        try:
            market, scenarios = await self.loader.load(instruction.inputs)
        except Exception as error:
            return self._build_fault(instruction.revision, error)
        self._build = _Build(market, scenarios)
        return InputsLoaded(
            time.monotonic(),
            instruction.revision,
            market.size.n_contracts,
            scenarios.count,
            market.underlyings,
            scenarios.underlyings,
        )

    async def price_slices(self, instruction: PriceSlices) -> Event:
        """Price the slices of a build."""
        build = self._build
        assert build is not None
        market, scenarios = build.market.ref, build.scenarios.ref
        try:
            build.slices = await self._fleet.price(market, scenarios, instruction.spans)
        except Exception as error:
            return self._build_fault(instruction.revision, error)
        return SlicesPriced(time.monotonic(), instruction.revision)

    def _build_fault(self, revision: int, error: Exception) -> Event:
        self._build = None
        if is_ours(error) or not is_loss(error):
            return BuildFailed(time.monotonic(), revision, cause_of(error))
        return BuildLost(time.monotonic(), revision)

    def take_generation(self, offered: OfferGeneration) -> GenerationHandle:
        """Return the generation of the completed build, and release its objects."""
        build, self._build = self._build, None
        assert build is not None
        return GenerationHandle(
            number=offered.inputs.number,
            revision=offered.revision,
            snapshot_id=offered.inputs.snapshot_id,
            scenarios_id=offered.inputs.scenarios_id,
            model_id=self._model.id,
            n_contracts=build.market.size.n_contracts,
            spans=offered.spans,
            market=build.market.ref,
            scenarios=build.scenarios.ref,
            slices=build.slices,
        )

    async def look_up_key(self, request: int, change: PendingChange) -> Event:
        """Look up the idempotency key of a change."""
        try:
            number = await asyncio.to_thread(self._number_of_key, change)
        except Exception as error:
            return ChangeFailed(time.monotonic(), request, error)
        return KeyLookedUp(time.monotonic(), request, number)

    async def prepare_input(self, request: int, change: PendingChange, scenarios_id: str) -> Event:
        """Prepare the input of a change, and load a scenario set if that is possible."""
        try:
            prepared = change.prepared = await change.prepare()
        except Exception as error:
            if is_ours(error) or not is_loss(error):
                return ChangeFailed(time.monotonic(), request, error)
            return PreparationLost(time.monotonic(), request)
        moved: tuple[str, ...] | None = None
        if scenarios_id:
            try:
                moved = (await self.loader.scenarios(scenarios_id)).underlyings
            except Exception:  # a fault of the stored set, which the status reports
                moved = None
        return InputPrepared(time.monotonic(), request, prepared.underlyings, moved)

    async def store_change(self, request: int, change: PendingChange) -> Event:
        """Store a change, unless an earlier attempt of the request did."""
        try:
            repeated = await asyncio.to_thread(self._number_of_key, change)
            if repeated is not None:
                return ChangeStored(time.monotonic(), request, None, repeated)
            inputs, number = await asyncio.to_thread(change.store)
        except Exception as error:
            return ChangeFailed(time.monotonic(), request, error)
        return ChangeStored(time.monotonic(), request, inputs, number)

    def _number_of_key(self, change: PendingChange) -> int | None:
        """Return the generation number that an earlier attempt of a change produced, or None."""
        if not change.key:
            return None
        return self._archive.repeated_generation(change.kind, change.key, change.content_id)
