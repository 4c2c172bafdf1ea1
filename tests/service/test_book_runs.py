"""Runs over books on real actors: leaving, losing and renewing, without gateway and ledger."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import ray
from actor_world import (
    LAYOUT,
    SharedActors,
    SmallWorld,
    archive_of,
    complete,
    connected,
    make_small_world,
    soon,
)
from waiting import wait_until_async

from margin_actors.actors.book_run import Batch, Completed, Progress, run_book
from margin_actors.actors.cluster import Cluster, finished
from margin_actors.actors.shard import reducer_actor
from margin_actors.actors.slots import LEASE_SECONDS
from margin_actors.errors import (
    DeadlinePassed,
    Overloaded,
)
from margin_actors.market.books import Book

pytestmark = pytest.mark.usefixtures("embedded")


@pytest.fixture(scope="module")
def small() -> SmallWorld:
    return make_small_world()


def large_book(world: SmallWorld, copies: int = 12) -> Book:
    """A book of many parts, so that there is a middle."""
    book = world.book
    steps = np.tile(np.diff(book.start), copies)
    return Book(
        tuple(f"{c:03d}-{a}" for c in range(copies) for a in book.accounts),
        book.members * copies,
        book.instruments,
        np.concatenate([[0], np.cumsum(steps)]).astype(np.int64),
        np.tile(book.instrument_index, copies),
        np.tile(book.quantity, copies),
    )


# -- runs that are left ------------------------------------------------------------------------


async def left_at(cluster: Cluster, book: Book, moment: str) -> None:
    """Begin a book and leave it at a moment, as a caller does who cancels or is out of time."""
    generation = await cluster.generation(until=soon())
    if moment.startswith("deadline"):
        seconds = float(moment.split()[1])
        with contextlib.suppress(DeadlinePassed):
            async for _ in run_book(cluster, generation, book, until=soon(seconds)):
                pass
        return
    run = run_book(cluster, generation, book, until=soon())

    async def follow() -> None:
        async with contextlib.aclosing(run):
            async for event in run:
                if moment == "at the first part" and isinstance(event, Progress) and event.done:
                    return
                if moment == "at the first batch" and isinstance(event, Batch):
                    return
                if moment == "at the start":
                    return

    task = asyncio.create_task(follow())
    if moment == "before the first part":
        await asyncio.sleep(0)
        await wait_until_async(lambda: cluster._reducers)
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


MOMENTS = (
    "before the first part",
    "at the start",
    "at the first part",
    "at the first batch",
    "deadline 0.02",
    "deadline 0.1",
)


def test_a_cancelled_book_does_not_delay_the_next(small: SmallWorld, actors: SharedActors) -> None:
    """Wherever a run is left, its queued work ends and stalls no reducer, which once took 30 s."""

    async def work() -> None:
        book = large_book(small)
        async with actors.connected() as cluster:
            digest = (await complete(cluster, book))[-1].digest
            baseline = max([await timed(cluster, book, digest) for _ in range(3)])
            allowed = 2 * baseline + 3.0  # a busy machine; the defect cost 30 s
            for moment in MOMENTS:
                await left_at(cluster, book, moment)
                assert await timed(cluster, book, digest) < allowed, moment
            for moment in MOMENTS:
                await left_at(cluster, book, moment)
            assert await timed(cluster, book, digest) < allowed
            leaving = [left_at(cluster, book, moment) for moment in MOMENTS[:2]]
            await asyncio.gather(*leaving, return_exceptions=True)
            assert await timed(cluster, book, digest) < allowed
            await no_slot_taken(cluster)
            assert (await cluster.status(until=soon())).run_slots == LAYOUT.run_slots

    async def timed(cluster: Cluster, book: Book, digest: str) -> float:
        began = time.monotonic()
        last = (await complete(cluster, book))[-1]
        assert isinstance(last, Completed)
        assert last.digest == digest
        return time.monotonic() - began

    asyncio.run(work())


async def no_slot_taken(cluster: Cluster) -> None:
    """Wait until all slots are free; well before their leases would end."""
    end = soon(0.5 * LEASE_SECONDS)
    while (await cluster.status(until=soon())).run_slots_taken:
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


@ray.remote(num_cpus=0)
class Gate:
    """Holds a part back until it is opened."""

    def __init__(self) -> None:
        self._open = asyncio.Event()

    async def part(self) -> str:
        await self._open.wait()
        return "not a part"

    async def open(self) -> None:
        self._open.set()


def test_a_reducer_skips_what_nobody_waits_for_and_is_not_held_up_by_it() -> None:

    async def work() -> None:
        reducer, gate = reducer_actor.remote(), Gate.remote()
        held_back = reducer.reduce.remote("abandoned", None, 0, 0, gate.part.remote())
        await finished(reducer.abandon.remote("abandoned"), until=soon())
        assert await finished(reducer.reduce.remote("abandoned", None, 0, 0), until=soon()) is None
        with pytest.raises(ray.exceptions.RayTaskError):  # a run that is not abandoned is reduced
            await finished(reducer.reduce.remote("other", None, 0, 0), until=soon())
        await finished(gate.open.remote(), until=soon())
        assert await finished(held_back, until=soon()) is None
        for actor in (reducer, gate):
            ray.kill(actor)

    asyncio.run(work())


# -- slots -------------------------------------------------------------------------------------

HOLDER = """
import asyncio, sys, time
from pathlib import Path
from actor_world import make_small_world
from folder_archive import FolderArchive
from ray_session import attach
from margin_actors.actors.cluster import Cluster
from margin_actors.actors.layout import Layout

async def main(folder, namespace):
    world = make_small_world()
    layout = Layout(shards=2, refresh_seconds=0.5, run_slots=1)
    cluster = await Cluster.connect(FolderArchive(folder), world.model, layout, namespace=namespace)
    async with cluster.run_slot("holder", until=time.monotonic() + 3600):
        print("held", flush=True)
        await asyncio.sleep(3600)

attach(sys.argv[1])
asyncio.run(main(Path(sys.argv[2]), sys.argv[3]))
"""


@pytest.mark.slow
def test_the_slot_of_a_killed_gateway_is_free_within_ten_seconds(
    small: SmallWorld, tmp_path: Path
) -> None:
    """A slot is leased: without renewal it is free again, whatever the deadline of the book."""

    async def work() -> None:
        layout = replace(LAYOUT, run_slots=1)
        namespace = f"n{uuid4().hex}"
        archive = archive_of(small, tmp_path)
        cluster = await Cluster.connect(archive, small.model, layout, namespace=namespace)
        holder = start_holder(tmp_path, namespace)
        try:
            assert await asyncio.to_thread(holder.stdout.readline) == "held\n"
            await asyncio.sleep(1.5 * LEASE_SECONDS)  # longer than a lease: it is renewed
            status = await cluster.status(until=soon())
            assert (status.run_slots, status.run_slots_taken) == (1, 1)
            with pytest.raises(Overloaded):
                async with cluster.run_slot("refused", until=soon()):
                    pass
            holder.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            assert await slot_taken(cluster) - killed < 10.0
        finally:
            holder.kill()
            holder.communicate()
            await cluster.close()
            ray.kill(ray.get_actor("coordinator", namespace=namespace))

    asyncio.run(work())


def start_holder(folder: Path, namespace: str) -> "subprocess.Popen[str]":
    tests = str(Path(__file__).parents[1])
    path = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    address = ray.get_runtime_context().gcs_address
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, address, str(folder), namespace],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )


async def slot_taken(cluster: Cluster) -> float:
    """Return when a slot could be taken."""
    end = soon(30.0)
    while time.monotonic() < end:
        with contextlib.suppress(Overloaded):
            async with cluster.run_slot(uuid4().hex, until=soon()):
                return time.monotonic()
        await asyncio.sleep(0.1)
    raise AssertionError("no slot was free in time")


@pytest.mark.slow
def test_a_running_book_keeps_its_slot_when_the_coordinator_is_started_again(
    small: SmallWorld, tmp_path: Path
) -> None:
    async def work() -> None:
        layout = replace(LAYOUT, run_slots=1)
        async with connected(archive_of(small, tmp_path), small, layout) as cluster:
            async with cluster.run_slot("running", until=soon(120)):
                ray.kill(cluster._coordinator, no_restart=False)
                end = soon(60)
                while (await cluster.status(until=soon(60))).run_slots_taken == 0:
                    assert time.monotonic() < end
                    await asyncio.sleep(0.1)
                with pytest.raises(Overloaded):
                    async with cluster.run_slot("refused", until=soon()):
                        pass
            await no_slot_taken(cluster)

    asyncio.run(work())
