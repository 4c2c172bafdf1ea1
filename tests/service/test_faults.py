"""Parts of the cluster die in the middle of a book: it is whole, or a clear error says retry."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from _pytest.mark.structures import ParameterSet
from made import made_scenarios
from margin_client import MarginClient, Progress
from ray_session import ray_processes
from service_world import Running, World, served, wire

from margin_actors.actors.layout import Layout
from margin_actors.engine.margin import calculate_margin
from margin_actors.market.portfolios import book_from_table

COPIES, N_SCENARIOS = 60, 2_000


@pytest.fixture(scope="module")
def large(world: World) -> World:
    """A book that takes some tenths of a second: there is a middle."""
    tables = []
    for copy in range(COPIES):
        column = pc.binary_join_element_wise(world.table["account_id"], f"{copy:03d}", "-")
        place = world.table.schema.get_field_index("account_id")
        tables.append(world.table.set_column(place, "account_id", column))
    table = pa.concat_tables(tables)
    book = book_from_table(table, where="book")
    scenarios = made_scenarios(N_SCENARIOS)
    expected = calculate_margin(world.snapshot, scenarios, book, world.model, threads=2)
    return replace(world, table=table, book=book, scenarios=scenarios, expected=expected)


@pytest.fixture(
    scope="module",
    params=["prices kept", pytest.param("prices made when needed", marks=pytest.mark.slow)],
)
def running(
    request: pytest.FixtureRequest,
    embedded: None,
    large: World,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    cube_bytes_max = 2**31 if request.param == "prices kept" else 0
    layout = Layout(shards=2, refresh_seconds=0.5, cube_bytes_max=cube_bytes_max)
    SPARED[:] = ray_processes("ScenarioShard", "Reducer", "Coordinator")
    with served(large, tmp_path_factory.mktemp("service"), layout=layout) as running:
        yield running


def kill(*names: str) -> int:
    """Kill such processes without a warning; returns how many there were."""
    found = [p for p in ray_processes(*names) if p not in SPARED]
    for process in found:
        process.send_signal(signal.SIGKILL)
    return len(found)


SPARED = list[psutil.Process]()
"""Actors of other services on the same Ray cluster."""
WORKERS = ("sum_slice", "revalue", "IDLE")
VICTIMS: dict[str, Callable[[], int]] = {
    "a shard": lambda: kill("ScenarioShard"),
    "the reducer": lambda: kill("Reducer"),
    "every revaluation worker": lambda: kill(*WORKERS),
    "the coordinator": lambda: kill("Coordinator"),
    "all of them at once": lambda: kill("ScenarioShard", "Reducer", "Coordinator", *WORKERS),
}


def victims(*everyday: str) -> list[ParameterSet]:
    """Return all victims; the tests of those that are not named are slow."""
    slow = pytest.mark.slow
    return [pytest.param(name, marks=() if name in everyday else slow) for name in VICTIMS]


@pytest.mark.parametrize("victim", victims("a shard"))
def test_the_book_is_whole_whatever_dies(running: Running, large: World, victim: str) -> None:
    killed: list[int] = []

    def strike(step: Progress) -> None:
        if step.done >= 1 and not killed:
            killed.append(VICTIMS[victim]())

    with MarginClient(running.target) as client:
        client.wait_until_ready()
        assert client.calculate_book().digest == large.expected.digest
        book = client.calculate_book(on_progress=strike, timeout_seconds=90)
        assert killed
        assert killed[0] >= 1, "the blow fell on someone"
        assert book.digest == large.expected.digest
        assert len(book) == len(large.book.accounts)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["a shard", "the coordinator"])
def test_a_generation_is_made_whatever_dies(running: Running, large: World, victim: str) -> None:
    with MarginClient(running.target) as client:
        changed = replace(large.snapshot, discount_annual=0.01 + 0.001 * len(victim))
        published = client.publish_snapshot(*wire(changed))
        assert VICTIMS[victim]() >= 1
        book = client.calculate_book(snapshot_id=published.snapshot_id, timeout_seconds=90)
        expected = calculate_margin(changed, large.scenarios, large.book, large.model, threads=2)
        assert book.digest == expected.digest
        client.publish_snapshot(*wire(large.snapshot))
        whole = client.calculate_book(snapshot_id=large.snapshot.id)
        assert whole.digest == large.expected.digest


@pytest.mark.slow
def test_ten_calls_run_thirteen_times_and_take_effect_ten_times() -> None:
    script = Path(__file__).with_name("lost_answers.py")
    lost = {"num_failures": 3, "req_failure_prob": 0, "resp_failure_prob": 100}
    failures = json.dumps({"CoreWorkerService.grpc_client.PushTask": lost})
    path = os.pathsep.join([str(script.parents[1]), os.environ.get("PYTHONPATH", "")])
    paths = {"PYTHONPATH": path, "RAY_testing_rpc_failure": failures}
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | paths,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    found = json.loads(line)
    assert found["calls"] == 10
    assert found["executions"] == 13
    assert found["numbers"] == list(range(found["before"] + 1, found["before"] + 11))
    assert found["after"] == found["before"] + 10
    assert found["is_last"]
    assert found["repeated"] <= 3


def test_a_book_in_the_middle_of_a_publication_is_of_one_generation(
    running: Running, large: World
) -> None:
    """A snapshot that arrives meanwhile disturbs nothing that is under way."""
    published: list[float] = []

    def publish(step: Progress) -> None:
        if step.done >= 1 and not published:
            with MarginClient(running.target) as other:
                other.publish_snapshot(*wire(replace(large.snapshot, discount_annual=0.05)))
                other.calculate_margin(large.book.accounts[0])
            published.append(time.monotonic())

    with MarginClient(running.target) as client:
        book = client.calculate_book(on_progress=publish)
        assert published
        assert book.digest == large.expected.digest
        assert book.generation.snapshot_id == large.snapshot.id
        client.publish_snapshot(*wire(large.snapshot))
        client.calculate_margin(large.book.accounts[0], snapshot_id=large.snapshot.id)
