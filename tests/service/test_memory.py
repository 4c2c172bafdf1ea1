"""Prices lie in memory once, however many read them, and no longer than someone reads them."""

import gc
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil
import pytest
import ray
from made import made_scenarios
from margin_client import MarginClient
from ray._private.internal_api import memory_summary
from service_world import Running, World, served, wire
from waiting import wait_until

from margin_actors.actors.cluster import _read
from margin_actors.actors.generation import GenerationHandle
from margin_actors.engine.pricing import TILE

CUBE_MIB = 160
READERS = 4


@pytest.fixture(scope="module")
def wide(world: World) -> World:
    """So many scenarios that the prices of all contracts take `CUBE_MIB`."""
    contracts = len(world.snapshot.options) + 2
    tiles = CUBE_MIB * 2**20 // (contracts * TILE * 8) + 1
    return replace(world, scenarios=made_scenarios(tiles * TILE))


@pytest.fixture(scope="module")
def running(
    embedded: None, wide: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with served(wide, tmp_path_factory.mktemp("service"), shards=2) as running:
        yield running


@ray.remote(num_cpus=0)
class Reader:
    """A process that reads all prices, as a gateway does."""

    def memory(self) -> tuple[float, float]:
        found = psutil.Process().memory_full_info()
        return found.uss / 2**20, found.rss / 2**20

    def read(self, handle: GenerationHandle) -> float:
        self.generation = _read(handle)
        slices = self.generation.priced.slices
        assert slices is not None
        for item in slices:
            assert not item.cube.values.flags.owndata
            assert not item.cube.values.flags.writeable
        # A number of every page, so that all of it is in this process's memory.
        return float(sum(item.cube.values.reshape(-1)[::512].sum() for item in slices))


def current(running: Running) -> Any:
    return running.do(running.gateway.cluster.generation(until=time.monotonic() + 60))


def stored_mib() -> float:
    address = ray.get_runtime_context().gcs_address
    found = re.search(r"Plasma memory usage (\d+) MiB", memory_summary(address, stats_only=True))
    assert found
    return float(found[1])


def no_more_than_one_cube() -> None:
    """Wait until the prices of one generation alone are stored."""

    def is_freed() -> bool:
        gc.collect()
        return stored_mib() < 1.5 * CUBE_MIB

    wait_until(is_freed, 60)


@pytest.mark.slow
def test_several_readers_share_one_cube(running: Running) -> None:
    handle = current(running).handle
    readers = [Reader.remote() for _ in range(READERS)]
    before = ray.get([r.memory.remote() for r in readers])
    sums = ray.get([r.read.remote(handle) for r in readers])
    after = ray.get([r.memory.remote() for r in readers])
    own = [b[0] - a[0] for a, b in zip(before, after, strict=True)]
    seen = [b[1] - a[1] for a, b in zip(before, after, strict=True)]
    assert len(set(sums)) == 1
    assert min(seen) > 0.9 * CUBE_MIB, "every reader has all of it before its eyes"
    assert sum(own) < 0.5 * CUBE_MIB, f"and together they hold little of their own: {own} MiB"
    for reader in readers:
        ray.kill(reader)


@pytest.mark.slow
def test_an_old_generation_goes_with_its_last_reader(running: Running, wide: World) -> None:
    no_more_than_one_cube()
    held = current(running)
    assert held.priced.slices is not None
    first = float(held.priced.slices[0].cube.values[0, 0, 0])
    with MarginClient(running.target) as client:
        changed = replace(wide.snapshot, discount_annual=0.02)
        published = client.publish_snapshot(*wire(changed))
        client.calculate_margin(wide.book.accounts[0], snapshot_id=published.snapshot_id)
        assert current(running).handle.number == held.handle.number + 1
        assert stored_mib() > 1.9 * CUBE_MIB, "the old one is there while it is read"
        assert float(held.priced.slices[0].cube.values[0, 0, 0]) == first
        del held
        no_more_than_one_cube()
        for turn in range(4):
            again = replace(wide.snapshot, discount_annual=0.03 + 0.001 * turn)
            published = client.publish_snapshot(*wire(again))
            client.calculate_margin(wide.book.accounts[0], snapshot_id=published.snapshot_id)
        no_more_than_one_cube()
