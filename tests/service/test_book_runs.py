"""Runs over books on real actors: leaving, losing and renewing, without gateway and ledger."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import ray
from actor_world import SmallWorld, make_small_world, ray_here
from folder_archive import FolderArchive
from made import made_scenarios

from margin_actors.actors.book_run import Batch, Completed, Failures, Progress, run_book
from margin_actors.actors.cluster import Cluster, finished
from margin_actors.actors.generation import Layout
from margin_actors.actors.plan import LEASE_SECONDS, Heads
from margin_actors.actors.shard import reducer_actor
from margin_actors.engine.margin import assess_book, calculate_margin
from margin_actors.errors import (
    DeadlinePassed,
    InvalidScenario,
    KeyReused,
    MarginError,
    MissingMarketData,
    NotReady,
    OutdatedSnapshot,
    Overloaded,
    UnknownScenarioSet,
)
from margin_actors.market.portfolios import Book

LAYOUT = Layout(shards=2, look_seconds=0.5)


@pytest.fixture(scope="module")
def small() -> SmallWorld:
    return make_small_world()


@pytest.fixture(scope="module", autouse=True)
def embedded():
    with ray_here():
        yield


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
    """A cluster of its own for a test; its actors end with the block."""
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


async def until_true(is_true: Callable[[], Any], seconds: float = 30.0) -> None:
    end = soon(seconds)
    while not is_true():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


def large_book(world: SmallWorld, copies: int = 60) -> Book:
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
        await until_true(lambda: cluster._reducers)
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


def test_a_cancelled_book_does_not_delay_the_next(small: SmallWorld, tmp_path: Path) -> None:
    """Operator's review A1: the next book stalled for half a minute."""

    async def work() -> None:
        book = large_book(small)
        async with connected(archive_of(small, tmp_path), small) as cluster:
            digest = (await complete(cluster, book))[-1].digest
            baseline = max([await timed(cluster, book, digest) for _ in range(3)])
            allowed = 2 * baseline + 3.0  # a busy machine; the defect cost 30 s
            for moment in MOMENTS:
                await left_at(cluster, book, moment)
                assert await timed(cluster, book, digest) < allowed, moment
            for number in range(20):
                await left_at(cluster, book, MOMENTS[number % len(MOMENTS)])
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
    """Operator's review A1."""

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
from actor_world import make_small_world, ray_here
from folder_archive import FolderArchive
from margin_actors.actors.cluster import Cluster
from margin_actors.actors.generation import Layout

async def main(folder, namespace):
    world = make_small_world()
    layout = Layout(shards=2, look_seconds=0.5, run_slots=1)
    cluster = await Cluster.connect(FolderArchive(folder), world.model, layout, namespace=namespace)
    async with cluster.run_slot("holder", until=time.monotonic() + 3600):
        print("held", flush=True)
        await asyncio.sleep(3600)

with ray_here(address=sys.argv[1]):
    asyncio.run(main(Path(sys.argv[2]), sys.argv[3]))
"""


def test_the_slot_of_a_killed_gateway_is_free_within_ten_seconds(
    small: SmallWorld, tmp_path: Path
) -> None:
    """Operator's review A7: it stayed taken until the deadline of the book, up to an hour."""

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


# -- partial books -----------------------------------------------------------------------------


def with_faults(world: SmallWorld) -> Book:
    """The book and four accounts more, three of which cannot be margined."""
    book = world.book
    more = {
        "Y-EXPIRED": {"BTC-2JAN26": 10.0},
        "Z-LARGE": {"BTC_USDC": 1e12},
        "Z-LOTS": {"BTC-PERPETUAL": 3.0},
        "Z-UNKNOWN": {"BTC-PERPETUAL": 10.0, "nonsense": 1.0},
    }
    names = sorted({*book.instruments, *(n for held in more.values() for n in held)})
    place = {name: i for i, name in enumerate(names)}
    index = [place[book.instruments[i]] for i in book.instrument_index]
    quantity, start = list(book.quantity), list(book.start)
    for held in more.values():
        index += [place[name] for name in sorted(held)]
        quantity += [held[name] for name in sorted(held)]
        start.append(len(index))
    return Book(
        (*book.accounts, *more),
        (*book.members, *["M"] * len(more)),
        tuple(names),
        np.array(start, np.int64),
        np.array(index, np.int32),
        np.array(quantity),
    )


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("cube_bytes_max", [2**31, 0], ids=["prices kept", "made when needed"])
def test_a_book_with_accounts_that_cannot_be_margined_is_that_of_a_file_run(
    small: SmallWorld, tmp_path: Path, shards: int, cube_bytes_max: int
) -> None:
    """Operator's review A8."""
    book = with_faults(small)
    expected = calculate_margin(small.snapshot, small.scenarios, book, small.model)
    failed = ["Z-LARGE", "Z-LOTS", "Z-UNKNOWN"]
    assert [f.account_id for f in expected.failures] == failed

    async def work() -> None:
        layout = replace(LAYOUT, shards=shards, cube_bytes_max=cube_bytes_max)
        async with connected(archive_of(small, tmp_path), small, layout) as cluster:
            events = await complete(cluster, book)
            done = events[-1]
            assert isinstance(done, Completed)
            assert done.digest == expected.digest
            assert done.assessment.failures == expected.failures
            assert done.assessment.expired == {"Y-EXPIRED": ("BTC-2JAN26",)}
            assert done.assessment.book_id == book.id
            assert np.array_equal(done.margins.initial_margin_usd, expected.initial_margin_usd)
            first_batch = next(i for i, e in enumerate(events) if isinstance(e, Batch))
            told = [f.account_id for e in events[:first_batch] if isinstance(e, Failures)
                    for f in e.failures]  # fmt: skip
            assert sorted(told) == failed
            assert not any(isinstance(e, Failures) for e in events[first_batch:])
            batches = [e for e in events if isinstance(e, Batch)]
            assert [b.first for b in batches] == [0, *[b.last for b in batches[:-1]]]
            assert batches[-1].last == len(done.assessment.book.accounts)

    asyncio.run(work())


def test_a_book_of_which_no_account_can_be_margined_completes_with_failures_alone(
    small: SmallWorld, tmp_path: Path
) -> None:
    """Operator's review A8."""
    book = Book(("A",), ("M",), ("nonsense",), np.array([0, 1]), np.zeros(1, np.int32), np.ones(1))
    empty = Book(("A",), ("M",), (), np.array([0, 0]), np.empty(0, np.int32), np.empty(0))

    async def work() -> None:
        async with connected(archive_of(small, tmp_path), small) as cluster:
            failures, done = await complete(cluster, book)
            assert isinstance(failures, Failures)
            assert isinstance(done, Completed)
            assert done.margins.positions.size == 0
            assert done.margins.parts_usd.shape[0] == 0
            assert done.assessment.failures == failures.failures
            nothing = (await complete(cluster, empty))[-1]
            assert nothing.margins.initial_margin_usd.tolist() == [0.0]
            assert nothing.assessment.failures == ()

    asyncio.run(work())


# -- what is in use ----------------------------------------------------------------------------


def test_a_key_brings_about_one_generation_however_often_it_comes(
    small: SmallWorld, tmp_path: Path
) -> None:
    """Operator's review A6."""

    async def work() -> None:
        archive = archive_of(small, tmp_path)
        other = replace(small.snapshot, discount_annual=0.01)
        third = replace(small.snapshot, discount_annual=0.02)
        async with connected(archive, small) as cluster:
            first = await cluster.publish(other, key="k", request_id="r", caller="c", until=soon())
            assert (first.number, first.was_repeated) == (3, False)
            assert archive.log()[-1] == ["publish", "r", "c"]
            second = await cluster.publish(third, until=soon(), request_id="r")
            assert (second.number, second.was_repeated) == (4, False)
            again = await cluster.publish(other, key="k", until=soon())
            assert (again.number, again.was_repeated) == (3, True)
            assert archive.heads().snapshot_id == third.id
            with pytest.raises(KeyReused):
                await cluster.publish(small.snapshot, key="k", until=soon())
            same = await cluster.publish(third, until=soon())
            assert (same.number, same.was_repeated) == (4, False)
            back = await cluster.publish(other, until=soon())
            assert (back.number, back.was_repeated) == (5, False)
            activated = await cluster.activate(small.scenarios.id, key="k", until=soon())
            assert (activated.number, activated.was_repeated) == (5, False)
            both = [cluster.publish(third, key="twice", until=soon()) for _ in range(6)]
            answers = await asyncio.gather(*both)
            assert {a.number for a in answers} == {6}
            assert sum(not a.was_repeated for a in answers) == 1
            ray.kill(cluster._coordinator, no_restart=False)
            after = await cluster.publish(other, key="k", until=soon())
            assert (after.number, after.was_repeated) == (3, True)

    asyncio.run(work())


def test_nothing_unusable_is_stored(small: SmallWorld, tmp_path: Path) -> None:
    """Operator's review A5."""

    async def work() -> None:
        archive = archive_of(small, tmp_path)
        before = archive.heads()
        unfit = replace(
            small.snapshot.options,
            bid=np.full(len(small.snapshot.options), np.nan),
            mark_vol=np.full(len(small.snapshot.options), np.nan),
        )
        index = small.snapshot.index_usd | {"SOL": 100.0}
        older = replace(small.snapshot, time=small.snapshot.time.replace(year=2025), expiries=())
        no_options = replace(
            unfit,
            names=(),
            **{name: getattr(unfit, name)[:0] for name in vars(unfit) if name != "names"},
        )
        other_scenarios = replace(made_scenarios(100), underlyings=("SOL", "ETH"))
        archive.save_scenarios(other_scenarios)
        async with connected(archive, small) as cluster:
            await cluster.generation(until=soon())
            for snapshot, error in (
                (replace(small.snapshot, options=unfit), MissingMarketData),
                (replace(small.snapshot, index_usd=index), MissingMarketData),
                (replace(older, options=no_options), OutdatedSnapshot),
                (
                    replace(small.snapshot, index_usd={}, expiries=(), options=no_options),
                    MissingMarketData,
                ),
            ):
                with pytest.raises(error):
                    await cluster.publish(snapshot, until=soon())
            with pytest.raises(InvalidScenario, match="do not move BTC"):
                await cluster.activate(other_scenarios.id, until=soon())
            with pytest.raises(UnknownScenarioSet):
                await cluster.activate("scenarios-" + 32 * "0", until=soon())
            assert archive.heads() == before
            status = await cluster.status(until=soon())
            assert (status.heads, status.fault) == (before, "")

    asyncio.run(work())


@pytest.mark.parametrize("damaged", ["snapshots", "scenarios"])
def test_stored_data_that_are_unusable_stop_neither_status_nor_start_nor_recovery(
    small: SmallWorld, tmp_path: Path, damaged: str
) -> None:
    """Operator's review A5: the restart crashed with an IndexError."""

    async def work() -> None:
        archive = archive_of(small, tmp_path)
        heads = archive.heads()
        name = heads.snapshot_id if damaged == "snapshots" else heads.scenarios_id
        path = archive.path(damaged, name)
        content = path.read_bytes()
        path.write_bytes(b"damaged")
        async with connected(archive, small) as cluster:
            with pytest.raises(NotReady, match="what is in use cannot be priced"):
                await cluster.generation(until=soon())
            status = await cluster.status(until=soon())
            assert status.heads == heads
            assert "cannot be priced" in status.fault
            assert status.current == 0
            assert len(status.shards) == 2
            if damaged == "snapshots":
                same = await cluster.publish(small.snapshot, until=soon())
                assert same.number == heads.number  # it is what is in use, and is made at last
            else:
                path.write_bytes(content)
                await cluster.activate(heads.scenarios_id, until=soon())
            assert (await cluster.generation(until=soon())).handle.number == heads.number
            assert (await cluster.status(until=soon())).fault == ""
            path.write_bytes(b"damaged")
            good = replace(small.snapshot, discount_annual=0.01)
            published = await cluster.publish(good, until=soon())
            generation = await cluster.generation(until=soon(), number_min=published.number)
            assert generation.handle.snapshot_id == good.id

    asyncio.run(work())


class FailingArchive(FolderArchive):
    """An archive whose state cannot be read while a marker file exists."""

    def heads(self) -> Heads:
        if (self.root / "unreadable").exists():
            raise MarginError("the state cannot be read")
        return super().heads()


def test_a_shard_that_does_not_answer_and_an_unreadable_archive_do_not_stop_the_status(
    small: SmallWorld, tmp_path: Path
) -> None:
    async def work() -> None:
        archive_of(small, tmp_path)
        archive = FailingArchive(tmp_path)
        async with connected(archive, small) as cluster:
            await cluster.generation(until=soon())
            (tmp_path / "unreadable").touch()
            end = soon(30)
            while "cannot be read" not in (await cluster.status(until=soon())).fault:
                assert time.monotonic() < end
                await asyncio.sleep(0.1)
            assert (await complete(cluster, small.book))[-1].digest
            for actor in ray.util.list_named_actors(all_namespaces=True):
                assert actor["name"] == "coordinator"
            (tmp_path / "unreadable").unlink()
            while (await cluster.status(until=soon())).fault:
                assert time.monotonic() < end
                await asyncio.sleep(0.1)

    asyncio.run(work())


def test_the_assessment_of_a_run_is_that_of_its_generation(
    small: SmallWorld, tmp_path: Path
) -> None:
    async def work() -> None:
        async with connected(archive_of(small, tmp_path), small) as cluster:
            generation = await cluster.generation(until=soon())
            done = (await complete(cluster, small.book))[-1]
            assert done.assessment.book is small.book
            assert assess_book(generation.priced, small.book).book is small.book
            expected = calculate_margin(small.snapshot, small.scenarios, small.book, small.model)
            assert done.digest == expected.digest

    asyncio.run(work())
