"""The same digest for every number of shards and nodes, and when a node is lost in the middle."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from margin_client import MarginClient, Progress, Trade
from service_world import Running, World, digest_of_book, nodes, served

from margin_actors.actors.generation import Layout

QUICK_CHECKS = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 2,
}


@pytest.mark.parametrize("count", [1, 2])
def test_shards_and_nodes_change_no_bit(count: int, world: World, tmp_path: Path) -> None:
    with nodes(count):
        for shards in (1, 2, 3, 7):
            with served(world, tmp_path / f"{shards}", shards=shards) as running:
                with MarginClient(running.target) as client:
                    status = client.wait_until_ready()
                    assert len(status.shards) == shards
                    assert status.nodes == count
                    assert len({s.node_id for s in status.shards}) == min(count, shards)
                    book = client.calculate_book()
                    assert book.digest == world.expected.digest
                    one = client.calculate_margin(world.book.accounts[0]).margin
                    assert one.initial_margin_usd == world.expected.margins.initial_margin_usd[0]


def test_shards_follow_the_processors(world: World, tmp_path: Path) -> None:
    layout = Layout(shards=0, look_seconds=0.5)
    with nodes(1, QUICK_CHECKS) as cluster, served(world, tmp_path, layout=layout) as running:
        with MarginClient(running.target) as client:
            assert len(client.wait_until_ready().shards) == 2
            added = cluster.add_node(num_cpus=1)
            _until(lambda: len(client.get_status().shards) == 3)
            _until(lambda: sum(s.scenarios > 0 for s in client.get_status().shards) == 3)
            assert client.calculate_book().digest == world.expected.digest
            cluster.remove_node(added, allow_graceful=False)
            _until(lambda: len(client.get_status().shards) == 2)
            assert client.calculate_book(timeout_seconds=60).digest == world.expected.digest


@pytest.mark.parametrize(
    "checks",
    [
        pytest.param(QUICK_CHECKS, id="quick health checks"),
        pytest.param(None, id="default health checks", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("cube_bytes_max", [2**31, 0], ids=["prices kept", "made when needed"])
def test_a_node_is_lost_in_the_middle(
    checks: dict[str, int] | None, cube_bytes_max: int, world: World, tmp_path: Path
) -> None:
    layout = Layout(shards=4, look_seconds=0.5, cube_bytes_max=cube_bytes_max)
    with nodes(2, checks) as cluster, served(world, tmp_path, layout=layout) as running:
        (worker,) = (n for n in cluster.list_all_nodes() if n is not cluster.head_node)
        lost = threading.Event()

        def strike(step: Progress) -> None:
            if not lost.is_set():
                cluster.remove_node(worker, allow_graceful=False)
                lost.set()

        with MarginClient(running.target) as client:
            client.wait_until_ready()
            book = client.calculate_book(on_progress=strike, timeout_seconds=150)
            assert lost.is_set()
            assert book.digest == world.expected.digest
        again(running, world)


def again(running: Running, world: World) -> None:
    """What was lost is made good: the next caller need not know."""
    with MarginClient(running.target) as client:
        assert client.calculate_book(timeout_seconds=150).digest == world.expected.digest
        one = client.calculate_margin(world.book.accounts[1]).margin
        assert one.initial_margin_usd == world.expected.margins.initial_margin_usd[1]


def test_several_gateways_serve_one_cluster(world: World, tmp_path: Path) -> None:
    with nodes(1), served(world, tmp_path, namespace="shared", keep_actors=True) as first:
        with served(world, tmp_path, namespace="shared") as second:
            assert digest_of_book(first.target) == world.expected.digest
            assert digest_of_book(second.target) == world.expected.digest
            with MarginClient(first.target) as one, MarginClient(second.target) as other:
                calculation = one.calculate_margin(world.book.accounts[0])
                kept = other.get_calculation(calculation.calculation_id)
                assert kept.margins == (calculation.margin,)
                account = world.book.accounts[0]
                before = other.get_portfolio(account)
                one.apply_trades([_trade(account)], idempotency_key="k")
                after = other.get_portfolio(account)
                assert after.version == before.version + 1
                assert other.apply_trades([_trade(account)], idempotency_key="k").was_repeated


def _trade(account: str) -> Trade:
    return Trade(account, "BTC-PERPETUAL", 100.0)


def _until(is_true: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.1)
