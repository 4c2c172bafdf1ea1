"""The actors without gateway and ledger: Ray, an archive in a folder, and a small market."""

import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
from folder_archive import FolderArchive
from made import made_scenarios
from margin_cluster.service import ray_environment

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


@contextmanager
def ray_here(cpus: int = 2, address: str = "local") -> Iterator[None]:
    """Start Ray in this process, or attach to a running Ray; workers can import test modules."""
    here = str(Path(__file__).parent)
    path = os.environ.get("PYTHONPATH", "")
    if here not in path.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join([here, path]) if path else here
    ray_environment(cpus)
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(
        address=address,
        num_cpus=cpus if address == "local" else None,
        include_dashboard=False if address == "local" else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
        namespace=NAMESPACE,
    )
    try:
        yield
    finally:
        ray.shutdown()


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


async def complete(cluster: Cluster, book: Book, seconds: float = 200.0) -> list[Any]:
    generation = await cluster.generation(until=soon())
    events = run_book(cluster, generation, book, until=soon(seconds))
    return [event async for event in events]
