"""Bursts, mixed callers, full queues and idle connections at a running gateway."""

import asyncio
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from margin_client import AsyncMarginClient, MarginClient, RetryPolicy
from margin_protos.v1 import margin_service_pb2 as pb
from margin_protos.v1 import margin_service_pb2_grpc as stubs
from margin_protos.v1 import margin_types_pb2
from service_world import Running, World

ONCE = RetryPolicy(attempts_max=1)
BURST = 200


def what_if(account: str) -> pb.SimulateMarginRequest:
    trade = margin_types_pb2.Position(instrument_name="BTC-PERPETUAL", quantity=1_000.0)
    return pb.SimulateMarginRequest(account_id=account, candidates=[pb.Candidate(trades=[trade])])


@pytest.fixture(autouse=True)
def _rejects_nothing(running: Running) -> Iterator[None]:
    before = running.gateway.admission.rejected
    yield
    assert running.gateway.admission.rejected == before
    assert running.gateway.admission.waiting == 0


def test_200_what_ifs_at_once_on_one_connection_are_all_answered(
    running: Running, world: World
) -> None:
    """A burst that fits into the queue of one caller is answered without a rejection."""
    with grpc.insecure_channel(running.target) as channel:
        stub = stubs.MarginServiceStub(channel)
        asked = what_if(world.book.accounts[0])
        calls = [stub.SimulateMargin.future(asked, timeout=60) for _ in range(BURST)]
        codes = Counter(call.code() for call in calls)
    assert codes == {grpc.StatusCode.OK: BURST}


@pytest.mark.slow
def test_a_gather_of_200_what_ifs_is_answered_without_repeats(
    running: Running, world: World
) -> None:
    """The asyncio client limits its own calls in flight, so that the service rejects none."""
    account = world.book.accounts[0]

    async def run() -> tuple[float, float]:
        async with AsyncMarginClient(running.target, retries=ONCE) as client:

            async def ask() -> None:
                await client.simulate_margin(account, trades={"BTC-PERPETUAL": 1_000.0})

            await ask()
            in_turn, together = [], []
            for _ in range(3):
                begin = time.monotonic()
                for _ in range(BURST):
                    await ask()
                in_turn.append(time.monotonic() - begin)
                begin = time.monotonic()
                await asyncio.gather(*(ask() for _ in range(BURST)))
                together.append(time.monotonic() - begin)
            return min(in_turn), min(together)

    in_turn, together = asyncio.run(run())
    assert together < 1.5 * in_turn


def test_a_burst_delays_another_caller_by_a_few_calls(running: Running, world: World) -> None:
    """Places are shared in turn between callers."""
    account = world.book.accounts[0]
    finished: list[float] = []
    with grpc.insecure_channel(running.target) as channel:
        stub = stubs.MarginServiceStub(channel)
        calls = []
        for _ in range(BURST):
            call = stub.SimulateMargin.future(what_if(account), timeout=60)
            call.add_done_callback(lambda _: finished.append(time.monotonic()))
            calls.append(call)
        until = time.monotonic() + 30
        while not finished:
            assert time.monotonic() < until
            time.sleep(0.001)
        with MarginClient(running.target, retries=ONCE) as client:
            client.simulate_margin(account, trades={"BTC-PERPETUAL": 10.0})
        answered = time.monotonic()
        for call in calls:
            call.result()
    before = sum(moment <= answered for moment in finished)
    assert before < BURST / 2, "the other caller did not wait for the whole burst"


def test_twenty_mixed_clients_are_served_without_rejections(running: Running, world: World) -> None:
    """Twenty callers with one call at a time are within every limit, whatever they call."""
    failed: list[BaseException] = []

    def work(number: int) -> None:
        account = world.book.accounts[number % len(world.book.accounts)]
        try:
            with MarginClient(running.target, retries=ONCE) as client:
                for turn in range(8):
                    kind = (number + turn) % 5
                    if kind == 0:
                        client.calculate_margin(account)
                    elif kind == 1:
                        client.simulate_margin(account, trades={"BTC-PERPETUAL": 1_000.0})
                    elif kind == 2:
                        client.get_portfolio(account)
                    elif kind == 3:
                        client.get_status()
                    else:
                        client.explain_margin(account)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_status_health_and_reflection_are_answered_while_all_places_are_taken(
    running: Running,
) -> None:
    """Calls of operators do not pass the admission gates and are answered in an overload."""
    admission = running.gateway.admission
    waiting: list[asyncio.Task[None]] = []

    async def fill() -> None:
        for gate in admission.gates:
            for place in range(gate.queue.limits.active_max):
                gate.admit(f"busy {place}")
                await gate.enter(f"busy {place}")
            while gate.queue.pending < gate.queue.limits.waiting_max:
                caller = f"waiting {gate.queue.pending}"
                gate.admit(caller)
                waiting.append(asyncio.create_task(gate.enter(caller)))
                await asyncio.sleep(0)

    async def empty() -> None:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        for gate in admission.gates:
            for place in range(gate.queue.limits.active_max):
                gate.leave(f"busy {place}")

    running.do(fill())
    try:
        with MarginClient(running.target, retries=ONCE) as client:
            status = client.get_status(timeout_seconds=10)
            assert status.is_ready
            assert status.requests_active > 20
        with grpc.insecure_channel(running.target) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=10
            )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        running.do(empty())


@pytest.mark.slow
def test_a_thousand_idle_connections_cost_nothing_measurable(
    running: Running, world: World
) -> None:
    """Open connections without calls do not delay the calls of other connections."""
    host, _, port = running.target.rpartition(":")
    account = world.book.accounts[0]
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"

    def median_ms(client: MarginClient) -> float:
        times = []
        for _ in range(100):
            begin = time.perf_counter()
            client.simulate_margin(account, trades={"BTC-PERPETUAL": 1_000.0})
            times.append(1e3 * (time.perf_counter() - begin))
        return statistics.median(times)

    idle: list[socket.socket] = []
    with MarginClient(running.target, retries=ONCE) as client:
        median_ms(client)
        alone = median_ms(client)
        try:
            for _ in range(1_000):
                idle.append(socket.create_connection((host, int(port))))
                idle[-1].sendall(hello)
                assert idle[-1].recv(9)
            among = median_ms(client)
        finally:
            for connection in idle:
                connection.close()
        alone = min(alone, median_ms(client))
    assert among < 2 * alone + 2.0
