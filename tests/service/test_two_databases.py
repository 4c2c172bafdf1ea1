"""Positions under concurrent clients, and a database that fails, on SQLite and on PostgreSQL."""

import random
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import grpc
import pytest
from margin_client import MarginClient
from postgres_server import PostgresServer
from service_calls import Service
from service_world import Running, World, served
from waiting import wait_until

NAMES = ("BTC-PERPETUAL", "ETH-PERPETUAL", "BTC_USDC")
LOT = {"BTC-PERPETUAL": 10.0, "ETH-PERPETUAL": 1.0, "BTC_USDC": 0.1}


@pytest.fixture(scope="module")
def on_postgres(
    embedded: None,
    world: World,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    url = postgres_server.new_database()
    with served(world, tmp_path_factory.mktemp("service"), ledger_url=url) as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def running(request: pytest.FixtureRequest, world: World) -> Iterator[Running]:
    """A service on each database; it has the same positions afterwards."""
    names = {"sqlite": "service_of_session", "postgres": "on_postgres"}
    running: Running = request.getfixturevalue(names[request.param])
    yield running
    with MarginClient(running.target) as client:
        client.upload_positions(world.table.to_pandas())
        assert client.calculate_book().digest == world.expected.digest


def test_concurrent_trades_are_all_counted_once(running: Running, world: World) -> None:
    """What the gateway holds is the serial sum of what it acknowledged."""
    accounts = [f"A{i}" for i in range(6)]
    acknowledged: list[tuple[int, str, str, float]] = []
    unexpected: list[str] = []

    def trade(seed: int) -> None:
        chance = random.Random(seed)
        with Service(running.target) as service:
            for _ in range(40):
                account, name = chance.choice(accounts), chance.choice(NAMES)
                quantity = LOT[name] * 10 * chance.choice([-3, -2, -1, 1, 2, 3])
                key = uuid4().hex
                for _ in range(chance.choice([1, 1, 3])):  # some are sent again
                    try:
                        answer = service.trade(account, name, quantity, key, "M")
                    except grpc.RpcError as fault:
                        unexpected.append(f"{fault.code().name}: {fault.details()}")
                        continue
                    if not answer.was_repeated:
                        acknowledged.append((answer.version, account, name, quantity))

    with Service(running.target) as service:
        first = service.status().portfolio_version + 1
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(trade, range(8)))
    assert not unexpected
    versions = sorted(v for v, *_ in acknowledged)
    assert versions == list(range(first, first + len(acknowledged))), "gapless, each change once"
    expected: dict[str, dict[str, float]] = defaultdict(dict)
    for _, account, name, quantity in sorted(acknowledged):
        total = round(expected[account].get(name, 0.0) + quantity, 9)
        expected[account][name] = total
    with Service(running.target) as service:
        for account in accounts:
            held = {n: q for n, q in expected[account].items() if q != 0.0}
            assert service.held(account) == held
        digest = service.book().summary.digest
        assert service.book().summary.digest == digest


def test_one_key_used_six_times_at_once_has_one_effect(running: Running) -> None:
    """Concurrent retries all get the same answer."""
    barrier = threading.Barrier(6)

    def trade(key: str) -> tuple[int, bool]:
        with Service(running.target) as service:
            service.status()
            barrier.wait()
            answer = service.trade("ONE", "BTC-PERPETUAL", 10.0, key, "M")
            return answer.version, answer.was_repeated

    with ThreadPoolExecutor(6) as pool:
        for number in range(10):
            answers = list(pool.map(trade, [f"key-{number}"] * 6))
            assert len({version for version, _ in answers}) == 1
            assert sorted(repeated for _, repeated in answers) == [False] + [True] * 5
    with Service(running.target) as service:
        assert service.held("ONE") == {"BTC-PERPETUAL": 100.0}


@pytest.mark.slow
@pytest.mark.parametrize("running", ["sqlite"], indirect=True)
def test_a_locked_database_is_unavailable_and_recovers(running: Running) -> None:
    """UNAVAILABLE with a delay, an alarm, NOT_SERVING; then all is well."""
    with Service(running.target) as service:
        foreign = sqlite3.connect(running.folder / "ledger.sqlite", isolation_level=None, timeout=1)
        foreign.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            service.trade("A", "BTC-PERPETUAL", 10.0, "k", "M")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "invariant" not in caught.value.details()
        assert time.monotonic() - begun < 20
        assert any("ledger" in p for p in service.status().problems)
        foreign.execute("ROLLBACK")
        foreign.close()
        wait_until(lambda: not service.status().problems)
        assert not service.trade("A", "BTC-PERPETUAL", 10.0, "k", "M").was_repeated
        assert service.held("A") == {"BTC-PERPETUAL": 10.0}
