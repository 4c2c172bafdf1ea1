"""The same digest for every number of shards and nodes, and when a node is lost in the middle."""

import threading
from pathlib import Path

import pytest
from margin_client import MarginClient, Progress, Trade
from ray.cluster_utils import Cluster
from ray_session import nodes, nodes_with_default_health_checks
from service_world import Running, World, beside, digest_of_book, served
from waiting import wait_until

from margin_actors.actors.layout import Layout

SLOW = pytest.mark.slow


@SLOW
@pytest.mark.parametrize(
    ("count", "shards"),
    [(count, shards) for count in (1, 2) for shards in (1, 2, 3, 7)],
)
def test_shards_and_nodes_change_no_bit(
    embedded: None, count: int, shards: int, world: World, tmp_path: Path
) -> None:
    with nodes(count), served(world, tmp_path, shards=shards) as running:
        with MarginClient(running.target) as client:
            status = client.wait_until_ready()
            assert len(status.shards) == shards
            assert status.nodes == count
            assert len({s.node_id for s in status.shards}) == min(count, shards)
            book = client.calculate_book()
            assert book.digest == world.expected.digest
            one = client.calculate_margin(world.book.accounts[0]).margin
            assert one.initial_margin_usd == world.expected.margins.initial_margin_usd[0]


@SLOW
def test_shards_follow_the_processors(embedded: None, world: World, tmp_path: Path) -> None:
    layout = Layout(shards=0, refresh_seconds=0.5)
    with nodes(1) as cluster, served(world, tmp_path, layout=layout) as running:
        with MarginClient(running.target) as client:
            assert len(client.wait_until_ready().shards) == 2
            added = cluster.add_node(num_cpus=1)
            wait_until(lambda: len(client.get_status().shards) == 3, 60)
            wait_until(lambda: sum(s.scenarios > 0 for s in client.get_status().shards) == 3, 60)
            assert client.calculate_book().digest == world.expected.digest
            cluster.remove_node(added, allow_graceful=False)
            wait_until(lambda: len(client.get_status().shards) == 2, 60)
            assert client.calculate_book(timeout_seconds=60).digest == world.expected.digest


CUBES = pytest.mark.parametrize(
    "cube_bytes_max", [2**31, 0], ids=["prices kept", "made when needed"]
)


@SLOW
@CUBES
def test_a_node_is_lost_in_the_middle(
    embedded: None, cube_bytes_max: int, world: World, tmp_path: Path
) -> None:
    with nodes(2) as cluster:
        loses_a_node(cluster, cube_bytes_max, world, tmp_path)


@pytest.mark.slow
@CUBES
def test_a_node_is_lost_in_the_middle_with_default_health_checks(
    without_shared_cluster: None, cube_bytes_max: int, world: World, tmp_path: Path
) -> None:
    with nodes_with_default_health_checks(2) as cluster:
        loses_a_node(cluster, cube_bytes_max, world, tmp_path)


def loses_a_node(cluster: Cluster, cube_bytes_max: int, world: World, folder: Path) -> None:
    layout = Layout(shards=4, refresh_seconds=0.5, cube_bytes_max=cube_bytes_max)
    with served(world, folder, layout=layout) as running:
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


def test_several_gateways_serve_one_cluster(service_of_session: Running, world: World) -> None:
    with beside(service_of_session, world) as beside_it:
        first, second = service_of_session.target, beside_it.target
        assert digest_of_book(first) == digest_of_book(second) == world.expected.digest
        with MarginClient(first) as one, MarginClient(second) as other:
            calculation = one.calculate_margin(world.book.accounts[0])
            kept = other.get_calculation(calculation.calculation_id)
            assert kept.margins == (calculation.margin,)
            account = world.book.accounts[0]
            before = other.get_portfolio(account)
            one.apply_trades([_trade(account)], idempotency_key="nodes-1")
            after = other.get_portfolio(account)
            assert after.version == before.version + 1
            assert other.apply_trades([_trade(account)], idempotency_key="nodes-1").was_repeated
            other.apply_trades([_trade(account, -1.0)])


def _trade(account: str, sign: float = 1.0) -> Trade:
    return Trade(account, "BTC-PERPETUAL", sign * 100.0)
