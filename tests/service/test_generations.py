"""What is in use, and what may come to be, on real actors without gateway and ledger."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray
from actor_world import (
    LAYOUT,
    SmallWorld,
    archive_of,
    complete,
    connected,
    make_small_world,
    soon,
)
from folder_archive import FolderArchive
from made import made_scenarios
from ray_session import ray_processes

from margin_actors.actors.inputs import ActiveInputs
from margin_actors.errors import (
    InvalidScenario,
    KeyReused,
    MarginError,
    MissingMarketData,
    NotReady,
    OutdatedSnapshot,
    UnknownScenarioSet,
)

pytestmark = pytest.mark.usefixtures("embedded")


@pytest.fixture(scope="module")
def small() -> SmallWorld:
    return make_small_world()


@pytest.mark.slow
def test_a_key_brings_about_one_generation_however_often_it_comes(
    small: SmallWorld, tmp_path: Path
) -> None:

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
            assert archive.active_inputs().snapshot_id == third.id
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


@pytest.mark.slow
def test_nothing_unusable_is_stored(small: SmallWorld, tmp_path: Path) -> None:

    async def work() -> None:
        archive = archive_of(small, tmp_path)
        before = archive.active_inputs()
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
            **{n: a[:0] for n, a in vars(unfit).items() if isinstance(a, np.ndarray)},
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
            assert archive.active_inputs() == before
            status = await cluster.status(until=soon())
            assert (status.inputs, status.fault) == (before, "")

    asyncio.run(work())


@pytest.mark.parametrize(
    "damaged", ["snapshots", pytest.param("scenarios", marks=pytest.mark.slow)]
)
def test_stored_data_that_are_unusable_stop_neither_status_nor_start_nor_recovery(
    small: SmallWorld, tmp_path: Path, damaged: str
) -> None:
    """The cluster starts and states what cannot be read; a publication or activation repairs it."""

    async def work() -> None:
        archive = archive_of(small, tmp_path)
        in_use = archive.active_inputs()
        name = in_use.snapshot_id if damaged == "snapshots" else in_use.scenarios_id
        path = archive.path(damaged, name)
        content = path.read_bytes()
        path.write_bytes(b"damaged")
        async with connected(archive, small) as cluster:
            with pytest.raises(NotReady, match="snapshot and scenario set in use cannot be priced"):
                await cluster.generation(until=soon())
            status = await cluster.status(until=soon())
            assert status.inputs == in_use
            assert "cannot be priced" in status.fault
            assert status.current == 0
            assert len(status.shards) == 2
            if damaged == "snapshots":
                same = await cluster.publish(small.snapshot, until=soon())
                assert same.number == in_use.number  # it is what is in use, and is made at last
            else:
                path.write_bytes(content)
                await cluster.activate(in_use.scenarios_id, until=soon())
            assert (await cluster.generation(until=soon())).handle.number == in_use.number
            assert (await cluster.status(until=soon())).fault == ""
            path.write_bytes(b"damaged")
            good = replace(small.snapshot, discount_annual=0.01)
            published = await cluster.publish(good, until=soon())
            generation = await cluster.generation(until=soon(), number_min=published.number)
            assert generation.handle.snapshot_id == good.id

    asyncio.run(work())


class FailingArchive(FolderArchive):
    """An archive whose state cannot be read while a marker file exists."""

    def active_inputs(self) -> ActiveInputs:
        if (self.root / "unreadable").exists():
            raise MarginError("the state cannot be read")
        return super().active_inputs()


@pytest.mark.slow
def test_an_unreadable_archive_stops_neither_status_nor_books(
    small: SmallWorld, tmp_path: Path
) -> None:
    async def work() -> None:
        archive_of(small, tmp_path)
        archive = FailingArchive(tmp_path)
        async with connected(archive, small) as cluster:
            await cluster.generation(until=soon())
            (tmp_path / "unreadable").touch()
            end = soon()
            while "cannot be read" not in (await cluster.status(until=soon())).fault:
                assert time.monotonic() < end
                await asyncio.sleep(0.1)
            assert (await complete(cluster, small.book))[-1].digest
            (tmp_path / "unreadable").unlink()
            end = soon()
            while (await cluster.status(until=soon())).fault:
                assert time.monotonic() < end
                await asyncio.sleep(0.1)

    asyncio.run(work())


@pytest.mark.slow
def test_shards_that_do_not_answer_do_not_stop_the_status(
    small: SmallWorld, tmp_path: Path
) -> None:
    async def work() -> None:
        layout = replace(LAYOUT, shards=4)
        others = ray_processes("ScenarioShard")
        async with connected(archive_of(small, tmp_path), small, layout) as cluster:
            await cluster.generation(until=soon())
            stopped = [p for p in ray_processes("ScenarioShard") if p not in others]
            assert len(stopped) == 4
            for process in stopped:
                process.suspend()
            try:
                status = await cluster.status(until=soon(20.0))
                assert [s.node_id for s in status.shards] == [""] * 4
                assert status.current == 2
            finally:
                for process in stopped:
                    process.resume()
            end = soon(30.0)
            while not all(s.node_id for s in (await cluster.status(until=soon())).shards):
                assert time.monotonic() < end
                await asyncio.sleep(0.1)

    asyncio.run(work())
