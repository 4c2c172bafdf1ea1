# pyright: basic
"""The effect of disturbances (cancelled, stalled or excessive calls) on the calls of other clients.

    python disturbances.py            all disturbances
    python disturbances.py book idle  only these

Ordinary calls are timed before and after each disturbance. To compare two versions of the service,
run this file in both source trees on the same machine.
"""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import grpc.aio
from margin_client import AsyncMarginClient, MarginClient, MarginClientError, RetryPolicy
from margin_protos.v1 import margin_service_pb2 as pb
from margin_protos.v1 import margin_service_pb2_grpc as stubs
from margin_protos.v1 import (
    margin_types_pb2,
    operations_service_pb2,
    operations_service_pb2_grpc,
    portfolio_service_pb2,
    portfolio_service_pb2_grpc,
)
from serving import MARGIN, ONE, Served, _wait_until_ready, made_market, prepare, report, serving

ONCE = RetryPolicy(attempts_max=1)
TRADES = {"BTC-PERPETUAL": 1_000.0}
GIVE_UP_SECONDS = 120.0


def own_channel(target: str) -> grpc.Channel:
    return grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])


def seconds_of(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def seconds_until_served(call: Callable[[], object]) -> float:
    """Return the seconds until a call succeeds; it is retried 20 ms after every failure."""
    begin = time.perf_counter()
    while time.perf_counter() - begin < GIVE_UP_SECONDS:
        try:
            call()
        except MarginClientError:
            time.sleep(0.02)
        else:
            break
    return time.perf_counter() - begin


def book(served: Served) -> dict[str, object]:
    """Measure the next book after one that was cancelled or whose deadline passed."""
    found: dict[str, object] = {}
    with MarginClient(served.target, retries=ONCE) as client:
        ask = lambda: client.calculate_book(timeout_seconds=60)  # noqa: E731
        ask()
        base = [seconds_of(ask) for _ in range(10)]
        found["baseline_seconds"] = statistics.median(base)
        half = 0.5 * statistics.median(base)
        after: dict[str, list[float]] = {"cancelled": [], "timed out": []}
        begun = time.perf_counter()
        for number in range(10):
            if time.perf_counter() - begun > GIVE_UP_SECONDS:
                break
            delay = half * (0.2 + 0.2 * number)
            call = stubs.MarginServiceStub(own_channel(served.target)).CalculateBook(
                pb.CalculateBookRequest(), timeout=60
            )
            time.sleep(delay)
            call.cancel()
            after["cancelled"].append(seconds_until_served(ask))
            with suppress(MarginClientError):
                client.calculate_book(timeout_seconds=max(delay, 0.001))
            after["timed out"].append(seconds_until_served(ask))
        for name, times in after.items():
            found[f"next_after_{name.replace(' ', '_')}_seconds"] = {
                "median": statistics.median(times),
                "max": max(times),
            }
    return found


def burst(served: Served) -> dict[str, object]:
    """Measure 200 simulations of one client at once, and the same calls one after another."""
    trade = margin_types_pb2.Position(instrument_name="BTC-PERPETUAL", quantity=1_000.0)
    request = pb.SimulateMarginRequest(account_id=ONE, candidates=[pb.Candidate(trades=[trade])])

    async def raw() -> tuple[float, Counter[str]]:
        codes: Counter[str] = Counter()
        async with grpc.aio.insecure_channel(served.target) as channel:
            stub = stubs.MarginServiceStub(channel)
            await stub.SimulateMargin(request, timeout=30)

            async def one() -> None:
                try:
                    await stub.SimulateMargin(request, timeout=30)
                except grpc.aio.AioRpcError as fault:
                    codes[fault.code().name] += 1
                else:
                    codes["OK"] += 1

            begin = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(200)))
            return time.perf_counter() - begin, codes

    async def client() -> tuple[float, float]:
        async with AsyncMarginClient(served.target) as asking:
            await asking.simulate_margin(ONE, trades=TRADES)
            begin = time.perf_counter()
            for _ in range(200):
                await asking.simulate_margin(ONE, trades=TRADES)
            alone = time.perf_counter() - begin
            begin = time.perf_counter()
            calls = (asking.simulate_margin(ONE, trades=TRADES) for _ in range(200))
            await asyncio.gather(*calls)
            return alone, time.perf_counter() - begin

    rounds = [asyncio.run(raw()) for _ in range(5)]
    both = [asyncio.run(client()) for _ in range(3)]
    return {
        "raw_200_at_once_seconds": statistics.median(t for t, _ in rounds),
        "raw_rejected_of_1000": sum(c["RESOURCE_EXHAUSTED"] for _, c in rounds),
        "async_client_one_after_the_other_seconds": statistics.median(a for a, _ in both),
        "async_client_gather_seconds": statistics.median(g for _, g in both),
    }


def idle(served: Served) -> dict[str, object]:
    """Measure the median latency with and without 1,000 idle connections, alternating."""
    found: dict[str, list[float]] = {}
    with MarginClient(served.target) as client:
        calls = {
            "CalculateMargin": lambda: client.calculate_margin(ONE),
            "SimulateMargin": lambda: client.simulate_margin(ONE, trades=TRADES),
        }
        for _ in range(3):
            for count in (0, 1_000):
                channels = [own_channel(served.target) for _ in range(count)]
                for channel in channels:
                    grpc.channel_ready_future(channel).result(timeout=60)
                for name, call in calls.items():
                    times = [1e3 * seconds_of(call) for _ in range(300)]
                    key = f"{name}, {count} idle, p50 ms"
                    found.setdefault(key, []).append(statistics.median(times))
                for channel in channels:
                    channel.close()
    return {name: statistics.median(values) for name, values in found.items()}


def silent(served: Served) -> dict[str, object]:
    """Measure a book of another client while 40 uploads have stalled after their first message."""
    columns = margin_types_pb2.PositionColumns(
        account_ids=["A"],
        member_ids=["M"],
        instrument_names=["BTC-PERPETUAL"],
        account=[0],
        instrument=[0],
        quantity=[10.0],
    )
    done = threading.Event()

    def stalls() -> Iterator[portfolio_service_pb2.UploadPositionsRequest]:
        yield portfolio_service_pb2.UploadPositionsRequest(positions=columns)
        done.wait(90)

    with MarginClient(served.target, retries=ONCE) as client:
        base = statistics.median(
            seconds_of(lambda: client.calculate_book(timeout_seconds=60)) for _ in range(5)
        )
        channel = own_channel(served.target)
        stub = portfolio_service_pb2_grpc.PortfolioServiceStub(channel)
        calls = [stub.UploadPositions.future(stalls(), timeout=90) for _ in range(40)]
        time.sleep(1.0)
        waited = seconds_until_served(lambda: client.calculate_book(timeout_seconds=60))
        done.set()
        for call in calls:
            call.cancel()
        channel.close()
    return {"baseline_seconds": base, "book_served_after_seconds": waited}


def mixed(served: Served) -> dict[str, object]:
    """Count the rejected calls of 20 clients with one call in flight each, and of status calls."""
    codes: dict[str, Counter[str]] = {"margins": Counter(), "status": Counter()}
    until = time.monotonic() + 10.0

    def work() -> None:
        channel = own_channel(served.target)
        stub, request = stubs.MarginServiceStub(channel), pb.CalculateMarginRequest(account_id=ONE)
        while time.monotonic() < until:
            codes["margins"][code_of(lambda: stub.CalculateMargin(request, timeout=30))] += 1
        channel.close()

    def watch() -> None:
        channel = own_channel(served.target)
        stub = operations_service_pb2_grpc.OperationsServiceStub(channel)
        request = operations_service_pb2.GetStatusRequest()
        while time.monotonic() < until:
            codes["status"][code_of(lambda: stub.GetStatus(request, timeout=30))] += 1
            time.sleep(0.1)
        channel.close()

    threads = [threading.Thread(target=work) for _ in range(20)]
    threads.append(threading.Thread(target=watch))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shares: dict[str, object] = {
        f"{name}_rejected_share": count["RESOURCE_EXHAUSTED"] / max(sum(count.values()), 1)
        for name, count in codes.items()
    }
    return shares | {"calls": {name: dict(count) for name, count in codes.items()}}


def code_of(call: Callable[[], object]) -> str:
    try:
        call()
    except grpc.RpcError as fault:
        return fault.code().name
    return "OK"


def killed() -> dict[str, object]:
    """Measure a book at another gateway after a gateway that held all run slots was killed."""
    from ray.cluster_utils import Cluster

    made = made_market(n_accounts=5_000, n_positions=2_000_000)
    waits: list[float] = []
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    address = str(cluster.address)
    try:
        with tempfile.TemporaryDirectory(prefix="margin-bench-") as name:
            state = Path(name) / "state"
            prepare(state, made, singles=False)
            with (
                gateway(Path(name) / "b", state, address) as (_, target),
                MarginClient(target, retries=ONCE) as client,
            ):
                client.calculate_book(timeout_seconds=120)
                for number in range(3):
                    folder = Path(name) / f"a{number}"
                    with gateway(folder, state, address) as (process, other):
                        start_two_books(other)
                        process.kill()
                        process.wait()
                        ask = lambda: client.calculate_book(timeout_seconds=60)  # noqa: E731
                        waits.append(seconds_until_served(ask))
    finally:
        cluster.shutdown()
    return {"books_served_again_after_seconds": {"median": statistics.median(waits), "all": waits}}


def start_two_books(target: str) -> None:
    """Start two books, the number of run slots; both are running when this returns."""
    for _ in range(2):
        stub = stubs.MarginServiceStub(own_channel(target))
        run = stub.CalculateBook(pb.CalculateBookRequest(), timeout=3_600)
        next(m for m in run if m.WhichOneof("content") == "progress")


@contextmanager
def gateway(
    folder: Path, state: Path, address: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    folder.mkdir()
    command = [MARGIN, "serve", "--state", state, "--port", "0", "--health-port", "0"]
    command += ["--ray-address", address]
    if not (state / "seeded").exists():
        command += ["--book", state / "book.parquet"]
        (state / "seeded").touch()
    with (folder / "log").open("wb") as sink:
        process = subprocess.Popen(
            [str(c) for c in command],
            stdout=subprocess.PIPE,
            stderr=sink,
            env=os.environ | {"MARGIN_STORE": str(folder), "COLUMNS": "200"},
        )
    try:
        yield process, _wait_until_ready(process, folder / "log")
    finally:
        process.kill()
        process.wait()


def drain() -> dict[str, object]:
    """Measure the time from SIGTERM to the exit while an upload is stalled."""
    made = made_market(n_accounts=20, n_positions=2_000)
    with tempfile.TemporaryDirectory(prefix="margin-bench-") as name:
        state = Path(name) / "state"
        prepare(state, made, singles=False)
        command = [MARGIN, "serve", "--state", state, "--book", state / "book.parquet"]
        command += ["--port", "0", "--health-port", "0"]
        log = Path(name) / "log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [str(c) for c in command],
                stdout=subprocess.PIPE,
                stderr=sink,
                env=os.environ | {"MARGIN_STORE": name, "COLUMNS": "200"},
            )
        try:
            target = _wait_until_ready(process, log)
            release = threading.Event()

            def stalls() -> Iterator[portfolio_service_pb2.UploadPositionsRequest]:
                yield portfolio_service_pb2.UploadPositionsRequest()
                release.wait(90)

            stub = portfolio_service_pb2_grpc.PortfolioServiceStub(own_channel(target))
            call = stub.UploadPositions.future(stalls(), timeout=90)
            time.sleep(1.0)
            begin = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=120)
            took = time.perf_counter() - begin
            release.set()
            call.cancel()
        finally:
            process.kill()
            process.wait()
    return {"seconds_from_SIGTERM_to_exit": took}


ON_ONE_SERVICE = {"book": book, "burst": burst, "idle": idle, "mixed": mixed, "silent": silent}
ALONE = {"killed": killed, "drain": drain}


def main() -> None:
    wanted = sys.argv[1:] or [*ON_ONE_SERVICE, *ALONE]
    figures: dict[str, object] = {}
    if any(name in ON_ONE_SERVICE for name in wanted):
        made = made_market(n_accounts=2_000, n_positions=200_000)
        with serving(made) as served:
            for name in wanted:
                if name in ON_ONE_SERVICE:
                    figures[name] = ON_ONE_SERVICE[name](served)
                    print(name, json.dumps(figures[name]), file=sys.stderr, flush=True)
    for name in wanted:
        if name in ALONE:
            figures[name] = ALONE[name]()
            print(name, json.dumps(figures[name]), file=sys.stderr, flush=True)
    report("disturbances", figures)


if __name__ == "__main__":
    main()
