"""The actors without gateway and ledger: Ray, an archive in a folder, and a small market."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
from folder_archive import FolderArchive
from made import made_scenarios

from margin_actors.actors.book_run import run_book
from margin_actors.actors.cluster import Cluster
from margin_actors.actors.layout import Layout
from margin_actors.engine.parameters import ModelParameters, parameters_from_mapping
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.synthetic import synthetic_market

N_SCENARIOS = 500
NAMESPACE = "actors"
LAYOUT = Layout(shards=2, refresh_seconds=0.5)


@dataclass(frozen=True)
class SmallWorld:
    """A market, its scenarios, a model and a book."""

    snapshot: MarketSnapshot
    scenarios: ScenarioSet
    model: ModelParameters
    book: Book


@cache
def make_small_world() -> SmallWorld:
    market = synthetic_market(seed=5, n_days=900, history_days=2, n_accounts=20)
    return SmallWorld(
        market.snapshot,
        made_scenarios(N_SCENARIOS),
        parameters_from_mapping({"extends": "hs-surface"}, where="test"),
        book_from_table(market.book, where="book"),
    )


def soon(seconds: float = 200.0) -> float:
    return time.monotonic() + seconds


def archive_of(world: SmallWorld, folder: Path) -> FolderArchive:
    archive = FolderArchive(folder)
    archive.save_scenarios(world.scenarios)
    own = {"key": "", "request_id": "", "caller": "test"}
    archive.publish_snapshot(world.snapshot, **own, allow_older=False)
    archive.activate_scenarios(world.scenarios.id, **own)
    return archive


@contextlib.asynccontextmanager
async def connected(
    archive: FolderArchive, world: SmallWorld, layout: Layout = LAYOUT
) -> AsyncIterator[Cluster]:
    """Yield a separate cluster for one test; its actors are stopped at the end of the block."""
    namespace = f"n{uuid4().hex}"
    cluster = await Cluster.connect(archive, world.model, layout, namespace=namespace)
    try:
        yield cluster
    finally:
        await cluster.close()
        ray.kill(ray.get_actor("coordinator", namespace=namespace))


class SharedActors:
    """The actors of tests that only run books: one set per layout, started on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._namespaces: dict[Layout, str] = {}

    @contextlib.asynccontextmanager
    async def connected(self, layout: Layout = LAYOUT) -> AsyncIterator[Cluster]:
        """Yield a connection; the actors run on after the block."""
        world = make_small_world()
        if layout not in self._namespaces:
            self._namespaces[layout] = f"n{uuid4().hex}"
            archive_of(world, self._folder / self._namespaces[layout])
        namespace = self._namespaces[layout]
        archive = FolderArchive(self._folder / namespace)
        cluster = await Cluster.connect(archive, world.model, layout, namespace=namespace)
        try:
            yield cluster
        finally:
            await cluster.close()

    def stop(self) -> None:
        """Stop the actors, unless the cluster has already been stopped with them."""
        for namespace in self._namespaces.values():
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor("coordinator", namespace=namespace))


async def complete(cluster: Cluster, book: Book, seconds: float = 200.0) -> list[Any]:
    generation = await cluster.generation(until=soon())
    events = run_book(cluster, generation, book, until=soon(seconds))
    return [event async for event in events]
