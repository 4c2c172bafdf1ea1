"""The inputs of a generation in Ray's object store: prepared markets and scenario sets."""

import asyncio
from dataclasses import dataclass

import ray
from ray import ObjectRef

from margin_actors.actors.faults import cause_of, is_ours
from margin_actors.actors.fleet import Fleet
from margin_actors.actors.generation import Archive
from margin_actors.actors.inputs import ActiveInputs
from margin_actors.actors.work import MarketSize
from margin_actors.engine.margin import PreparedMarket, require_sections
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.snapshots import MarketSnapshot


@dataclass(frozen=True)
class StoredMarket:
    """A prepared market in the object store."""

    snapshot_id: str
    ref: ObjectRef[PreparedMarket]
    size: MarketSize

    @property
    def underlyings(self) -> tuple[str, ...]:
        """Underlyings of the contracts."""
        return self.size.underlyings


@dataclass(frozen=True)
class StoredScenarios:
    """A scenario set in the object store."""

    scenarios_id: str
    ref: ObjectRef[ScenarioSet]
    count: int
    """Number of scenarios."""
    underlyings: tuple[str, ...]
    """Underlyings that the scenarios move."""


class InputLoader:
    """Loads inputs from the archive; caches the latest market and scenario set."""

    def __init__(self, archive: Archive, model: ModelParameters, fleet: Fleet) -> None:
        self._archive, self._model, self._fleet = archive, model, fleet
        self._market: StoredMarket | None = None
        self._scenarios: StoredScenarios | None = None

    def keep(self, stored: StoredMarket | StoredScenarios) -> None:
        """Cache an input instead of the one cached before."""
        if isinstance(stored, StoredMarket):
            self._market = stored
        else:
            self._scenarios = stored

    def forget(self) -> None:
        """Clear the cache, because the objects in the object store may be lost."""
        self._market = self._scenarios = None

    async def prepared(self, snapshot: MarketSnapshot) -> StoredMarket:
        """Return the market of a snapshot, prepared by a shard; the cache is not changed.

        Raises
        ------
        MissingMarketData, InvalidMarketData
            If no smile can be fitted.
        """
        if self._market is not None and self._market.snapshot_id == snapshot.id:
            return self._market
        market, size = self._fleet.prepare(snapshot, self._model)
        try:
            return StoredMarket(snapshot.id, market, await size)
        except Exception as error:
            if is_ours(error):
                raise cause_of(error) from None
            raise

    async def scenarios(self, scenarios_id: str) -> StoredScenarios:
        """Return a stored scenario set, loaded into the object store; the cache is not changed.

        Raises
        ------
        UnknownScenarioSet
            If no scenario set is stored under the id.
        InvalidScenario
            If it was built for another model.
        """
        if self._scenarios is not None and self._scenarios.scenarios_id == scenarios_id:
            return self._scenarios
        loaded = await asyncio.to_thread(self._archive.load_scenarios, scenarios_id)
        require_sections(loaded, self._model)
        ref = await asyncio.to_thread(_put, loaded)
        return StoredScenarios(scenarios_id, ref, len(loaded), tuple(loaded.underlyings))

    async def load(self, inputs: ActiveInputs) -> tuple[StoredMarket, StoredScenarios]:
        """Return the market and the scenario set in use, and cache them."""
        market = self._market
        if market is None or market.snapshot_id != inputs.snapshot_id:
            snapshot = await asyncio.to_thread(self._archive.load_snapshot, inputs.snapshot_id)
            market = self._market = await self.prepared(snapshot)
        scenarios = self._scenarios = await self.scenarios(inputs.scenarios_id)
        return market, scenarios


def _put(scenarios: ScenarioSet) -> ObjectRef[ScenarioSet]:
    return ray.put(scenarios)
