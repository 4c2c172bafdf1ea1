"""Creation of a generation: prepare the market, load the scenarios and compute the prices."""

import asyncio
import time
from dataclasses import dataclass

import ray

from margin_actors.actors.faults import cause_of, is_loss, is_ours
from margin_actors.actors.fleet import Fleet
from margin_actors.actors.generation import Archive, GenerationHandle, Layout, Ref
from margin_actors.actors.plan import Heads, backoff_seconds, spans
from margin_actors.actors.work import MarketSize
from margin_actors.engine.margin import require_sections
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.pricing import TILE
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.snapshots import MarketSnapshot


@dataclass(frozen=True)
class MarketInStore:
    """A prepared market in Ray's object store."""

    snapshot_id: str
    ref: Ref
    size: MarketSize


@dataclass(frozen=True)
class ScenariosInStore:
    """A scenario set in Ray's object store."""

    scenarios_id: str
    ref: Ref
    count: int
    """Number of scenarios."""
    underlyings: tuple[str, ...]
    """Underlyings that the scenarios move."""


class GenerationMaker:
    """Creates generations from the archive, and caches the latest market and scenario set."""

    def __init__(
        self, archive: Archive, parameters: ModelParameters, layout: Layout, fleet: Fleet
    ) -> None:
        self._archive, self._parameters = archive, parameters
        self._layout, self._fleet = layout, fleet
        self.market: MarketInStore | None = None
        self.scenarios: ScenariosInStore | None = None

    def forget(self) -> None:
        """Clear the cache, because the objects in the object store may be lost."""
        self.market = self.scenarios = None

    async def prepared(self, snapshot: MarketSnapshot) -> MarketInStore:
        """Return the market of a snapshot, prepared by a shard.

        Raises
        ------
        MissingMarketData, InvalidMarketData
            If no smile can be fitted.
        """
        if self.market is not None and self.market.snapshot_id == snapshot.id:
            return self.market
        attempt = 0
        while True:
            market, size = self._fleet.prepare(snapshot, self._parameters)
            try:
                return MarketInStore(snapshot.id, market, await size)
            except Exception as error:
                if is_ours(error):
                    raise cause_of(error) from None
                if not is_loss(error):
                    raise
            await asyncio.sleep(backoff_seconds(attempt))
            attempt += 1

    async def loaded(self, scenarios_id: str) -> ScenariosInStore:
        """Load a stored scenario set into the object store.

        Raises
        ------
        UnknownScenarioSet
            If no scenario set is stored under the id.
        InvalidScenario
            If it was built for another model.
        """
        if self.scenarios is not None and self.scenarios.scenarios_id == scenarios_id:
            return self.scenarios
        loaded = await asyncio.to_thread(self._archive.load_scenarios, scenarios_id)
        require_sections(loaded, self._parameters)
        ref = await asyncio.to_thread(_put, loaded)
        return ScenariosInStore(scenarios_id, ref, len(loaded), tuple(loaded.underlyings))

    async def made(self, wanted: Heads) -> GenerationHandle:
        """Create the generation of `wanted` and return it.

        Prices are computed unless the risk cube would exceed the configured size.
        """
        if self.market is None or self.market.snapshot_id != wanted.snapshot_id:
            snapshot = await asyncio.to_thread(self._archive.load_snapshot, wanted.snapshot_id)
            self.market = await self.prepared(snapshot)
        self.scenarios = await self.loaded(wanted.scenarios_id)
        market, scenarios = self.market, self.scenarios
        cut = spans(scenarios.count, self._fleet.n_shards, tile=TILE)
        padded = -(-scenarios.count // TILE) * TILE
        slabs: tuple[Ref, ...] | None = None
        if market.size.n_contracts * padded * 8 <= self._layout.cube_bytes_max:
            slabs = await self._fleet.price(market.ref, scenarios.ref, cut)
        return GenerationHandle(
            number=wanted.number,
            revision=time.time_ns(),
            snapshot_id=wanted.snapshot_id,
            scenarios_id=wanted.scenarios_id,
            model_id=self._parameters.id,
            n_contracts=market.size.n_contracts,
            spans=cut,
            market=market.ref,
            scenarios=scenarios.ref,
            slabs=slabs,
        )


def _put(value: ScenarioSet) -> Ref:
    return ray.put(value)
