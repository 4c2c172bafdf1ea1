"""`margin serve` and what first-time users do with it, in separate processes."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import ray
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from json_documents import validated
from margin_client import BookResult, MarginClient, Progress, RetryPolicy, UnavailableError
from ray_session import ray_processes, shared_cluster
from service_command import MARGIN, Command, command
from service_world import World, fill, moved_by, wire
from waiting import wait_until

from margin_actors.actors.cluster import NAME, NAMESPACE

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served_command(store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """`margin serve` without data: the embedded synthetic set."""
    folder = tmp_path_factory.mktemp("serve")
    with command(folder, "--state", str(folder / "state"), store=store_root) as running:
        yield running


def test_without_data_it_serves_the_synthetic_set_and_says_so(served_command: Command) -> None:
    told = "\n".join(served_command.told)
    assert "SYNTHETIC DATA" in told
    assert "100 accounts" in told
    with MarginClient(served_command.target) as client:
        status = client.get_status()
        assert status.generation is not None
        assert status.generation.is_synthetic


def test_health_on_both_ports_and_reflection(served_command: Command) -> None:
    for target in (served_command.target, served_command.health):
        with grpc.insecure_channel(target) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for service in ("", "margin_protos.v1.MarginService"):
                asked = health_pb2.HealthCheckRequest(service=service)
                assert stub.Check(asked, timeout=5).status == health_pb2.HealthCheckResponse.SERVING
    with grpc.insecure_channel(served_command.target) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([asked]), timeout=5)
    names = {service.name for service in answer.list_services_response.service}
    ours = ("Margin", "MarketData", "Portfolio", "Scenario", "Operations")
    assert {f"margin_protos.v1.{name}Service" for name in ours} <= names


def test_status_speaks_to_people_and_machines(served_command: Command) -> None:
    def status(*options: str) -> str:
        return subprocess.run(
            [MARGIN, "status", "--address", served_command.target, *options],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert validated(status("--json"))["accounts"] == 100
    assert "Scenario shards" in status()
    nobody = subprocess.run(
        [MARGIN, "status", "--address", "127.0.0.1:1"], capture_output=True, text=True, check=False
    )
    assert nobody.returncode != 0
    assert "no service answers at 127.0.0.1:1" in nobody.stderr


def test_the_readme_s_ten_lines_and_the_venue(served_command: Command) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (lines,) = (b for b in blocks if "MarginClient" in b)
    assert len(lines.strip().splitlines()) <= 10
    lines = lines.replace("127.0.0.1:50051", served_command.target)
    subprocess.run([sys.executable, "-c", lines], check=True, timeout=60)
    venue = ROOT / "examples" / "venue_pre_trade.py"
    done = subprocess.run(
        [sys.executable, venue, "--address", served_command.target, "--orders", "40"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert re.search(r"\d+ quotes accepted, \d+ rejected", done.stdout)


def test_a_scenario_set_is_built_again_under_its_name(served_command: Command) -> None:
    steps: list[Progress] = []
    with MarginClient(served_command.target) as client:
        before = client.get_status().generation
        assert before is not None
        built = client.build_scenario_set(on_progress=steps.append)
        assert steps
        # The same data at the same time make the same scenarios, and so the same name.
        assert built.scenarios_id == before.scenarios_id
        # It is in use already, so putting it to use makes no other generation.
        assert client.activate_scenario_set(built.scenarios_id).generation == before.number
        (listed,) = (s for s in client.list_scenario_sets() if s.is_active)
        assert listed.scenarios_id == built.scenarios_id


@ray.remote(num_cpus=2)
class Holder:
    """Takes all processors, so that no revaluation can start."""

    def here(self) -> None:
        """Return once it has them."""


def struck_book(target: str, gateways: list[Command], strike: int) -> tuple[BookResult, Command]:
    """Return a book, and the gateway that got a signal while it waited for the book's run."""
    holder = Holder.remote()
    ray.get(holder.here.remote())
    struck: list[Command] = []

    def told(_: Progress) -> None:
        if struck:
            return
        struck.extend(g for g in gateways if calls_at_work(g) == 2)  # the book, and the question
        assert len(struck) == 1
        struck[0].process.send_signal(strike)
        if strike == signal.SIGKILL:
            struck[0].process.wait()
        ray.kill(holder)

    with MarginClient(target) as client:
        return client.calculate_book(on_progress=told, timeout_seconds=120), struck[0]


def calls_at_work(gateway: Command) -> int:
    with MarginClient(gateway.target) as client:
        return client.get_status().requests_active


def workers(*names: str) -> set[int]:
    """Return the processes of Ray's workers whose titles contain one of `names`; or all."""
    return {process.pid for process in ray_processes(*names)}


def workers_of_tasks() -> set[int]:
    """Return the processes that run tasks, or wait for one."""
    return workers("ray::IDLE", "ray::_sum_slice", "ray::_revalue")


@pytest.fixture
def gateways(
    embedded: None, world: World, store_root: Path, tmp_path: Path
) -> Iterator[tuple[Command, Command]]:
    """Two processes of `margin serve` with one ledger and the same actors."""
    model = tmp_path / "model.toml"
    model.write_text('extends = "hs-surface"\n')
    book = fill(tmp_path / "state", world)
    options = ("--ray-address", shared_cluster().address, "--model", str(model))
    options += ("--book", str(book), "--state", str(tmp_path / "state"))
    with (
        command(tmp_path / "a", *options, store=store_root) as first,
        command(tmp_path / "b", *options, store=store_root) as second,
    ):
        yield first, second
    ray.kill(ray.get_actor(NAME, namespace=NAMESPACE))


def test_two_gateways_of_one_node_keep_their_workers(
    gateways: tuple[Command, Command], world: World
) -> None:
    """A node keeps idle workers for all its gateways, so that books do not wait for new ones."""
    first, second = gateways
    with MarginClient(first.target) as one, MarginClient(second.target) as other:

        def alternate() -> set[int]:
            for client in (one, other):
                client.calculate_book()
                time.sleep(2.0)  # longer than a worker must be idle before Ray may end it
            return workers_of_tasks()

        before = alternate()
        assert len(before) >= 2
        assert before <= alternate()

        # The first one started the coordinator. Ray ends the workers of tasks of a driver that
        # has exited, so that each publication waited for a new one for 2 s.
        first.process.terminate()
        assert first.process.wait(30) == 0
        time.sleep(2.0)
        running = workers()
        header, quotes = wire(moved_by(world.snapshot, timedelta(hours=1)))
        number = other.publish_snapshot(header, quotes).generation

        def is_current() -> bool:
            generation = other.get_status().generation
            return generation is not None and generation.number == number

        wait_until(is_current)
        assert workers() <= running


def test_a_gateway_is_killed_in_the_middle_and_another_drains(
    gateways: tuple[Command, Command], world: World
) -> None:
    first, second = gateways
    both = f"ipv4:{first.target},{second.target}"
    result, killed = struck_book(both, [first, second], signal.SIGKILL)
    assert killed.process.poll() == -signal.SIGKILL
    assert result.digest == world.expected.digest

    other = second if killed is first else first
    result, drained = struck_book(other.target, [other], signal.SIGTERM)
    assert result.digest == world.expected.digest
    assert drained.process.wait(30) == 0
    policy = RetryPolicy(attempts_max=1)
    with MarginClient(drained.target, retries=policy) as client:
        with pytest.raises(UnavailableError):
            client.get_status()
