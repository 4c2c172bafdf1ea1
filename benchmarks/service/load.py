# pyright: basic
"""A load generator in separate processes, and measurements of the service under load.

    python load.py                   calls at several concurrencies, overload, burst, idle
    python load.py --only overload   one of: calls, overload, burst, idle
    python load.py --minutes 10      three times the servable rate for 10 minutes, with memory

Requests are serialised once and answers are not parsed, so that the generator itself uses little
processor time. A closed load keeps a fixed number of calls in flight. An open load starts calls at
random times with a given rate, independently of earlier calls, over many connections; the time of a
call is measured from its scheduled start.
"""

import argparse
import asyncio
import json
import logging
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
import ray
import uvloop
from latency import Bare
from margin_protos.v1 import margin_service_pb2 as pb
from margin_protos.v1 import margin_types_pb2, portfolio_service_pb2
from serving import ONE, Served, helper, made_market, report, rss_mib, serving

GENERATORS = 1
CLOSED_CONNECTIONS, OPEN_CONNECTIONS = 4, 64
CONCURRENCY = (1, 4, 8)
SECONDS = 6.0
OPEN_SECONDS, ROUNDS = 20.0, 5
REJECTED_SHARE = 0.005
BURST, IDLE_CONNECTIONS = 200, 1_000
MARGIN = "/margin_protos.v1.MarginService/"


def calls() -> dict[str, tuple[str, bytes]]:
    trade = margin_types_pb2.Position(instrument_name="BTC-PERPETUAL", quantity=1_000.0)
    simulate = pb.SimulateMarginRequest(account_id=ONE, candidates=[pb.Candidate(trades=[trade])])
    return {
        "bare gRPC echo": ("/bench.Echo/Echo", b"x" * 256),
        "CalculateMargin": (
            MARGIN + "CalculateMargin",
            pb.CalculateMarginRequest(account_id=ONE).SerializeToString(),
        ),
        "SimulateMargin": (MARGIN + "SimulateMargin", simulate.SerializeToString()),
        "ExplainMargin": (
            MARGIN + "ExplainMargin",
            pb.ExplainMarginRequest(account_id=ONE).SerializeToString(),
        ),
        "ListCalculations": (
            MARGIN + "ListCalculations",
            pb.ListCalculationsRequest(page_size=20).SerializeToString(),
        ),
        "GetPortfolio": (
            "/margin_protos.v1.PortfolioService/GetPortfolio",
            portfolio_service_pb2.GetPortfolioRequest(account_id=ONE).SerializeToString(),
        ),
    }


@dataclass
class Seen:
    """The calls of one generator by outcome: milliseconds, or the status codes of failures."""

    accepted: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Generator:
    def __init__(self, target: str, method: str, body: bytes, connections: int) -> None:
        # Separate subchannel pools: otherwise all channels of a process share one connection.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        channels = [grpc.aio.insecure_channel(target, options) for _ in range(connections)]
        self.channels = channels
        self.methods = [channel.unary_unary(method) for channel in channels]
        self.body, self.seen, self.turn = body, Seen(), 0

    async def one(self, begin: float) -> None:
        self.turn += 1
        try:
            await self.methods[self.turn % len(self.methods)](self.body, timeout=30)
        except grpc.aio.AioRpcError as error:
            took = 1e3 * (time.perf_counter() - begin)
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                self.seen.rejected.append(took)
            else:
                self.seen.failed.append(error.code().name)
        else:
            self.seen.accepted.append(1e3 * (time.perf_counter() - begin))

    async def closed(self, concurrency: int, seconds: float) -> None:
        until = time.perf_counter() + seconds

        async def work() -> None:
            while time.perf_counter() < until:
                await self.one(time.perf_counter())

        await asyncio.gather(*(work() for _ in range(concurrency)))

    async def open(self, rate: float, seconds: float, seed: int) -> None:
        chance = random.Random(seed)
        running: set[asyncio.Task[None]] = set()
        moment = time.perf_counter()
        until = moment + seconds
        while moment < until:
            moment += chance.expovariate(rate)
            wait = moment - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self.one(moment))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)


async def generate(arguments: argparse.Namespace) -> None:
    """Run one generator process: warm up, wait for the start signal, send calls, print results."""
    connections = OPEN_CONNECTIONS if arguments.rate else CLOSED_CONNECTIONS
    if arguments.burst:
        connections = 1
    body = bytes.fromhex(arguments.body)
    generator = Generator(arguments.target, arguments.method, body, connections)
    for _ in range(max(20, connections)):
        await generator.one(time.perf_counter())
    generator.seen = Seen()
    print("ready", flush=True)
    sys.stdin.readline()
    if arguments.burst:
        begin = time.perf_counter()
        await asyncio.gather(*(generator.one(begin) for _ in range(arguments.burst)))
    elif arguments.rate:
        await generator.open(arguments.rate, arguments.seconds, arguments.seed)
    else:
        await generator.closed(arguments.concurrency, arguments.seconds)
    print(json.dumps(vars(generator.seen)), flush=True)
    for channel in generator.channels:
        await channel.close()


def load(
    target: str,
    call: tuple[str, bytes],
    *,
    seconds: float,
    concurrency: int = 0,
    rate: float = 0.0,
    burst: int = 0,
) -> dict[str, float]:
    """Run the generators; return the rate and the latency percentiles of all their calls."""
    count = min(GENERATORS, concurrency) if concurrency else GENERATORS
    command = [sys.executable, __file__, "--generate", target, call[0], call[1].hex()]
    processes = []
    for number in range(count):
        share = concurrency // count + (number < concurrency % count)
        own = [f"--concurrency={share}", f"--rate={rate / count}", f"--seconds={seconds}"]
        own += [f"--burst={burst}"]
        processes.append(
            subprocess.Popen(
                [*command, *own, f"--seed={number}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for process in processes:
        assert process.stdout.readline().strip() == "ready"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    seen = [json.loads(process.stdout.readline()) for process in processes]
    for process in processes:
        process.wait()
    accepted = sorted(t for s in seen for t in s["accepted"])
    rejected = sorted(t for s in seen for t in s["rejected"])
    failed = [code for s in seen for code in s["failed"]]
    assert not failed, Counter(failed)
    out = {"per_second": len(accepted) / seconds} | percentiles(accepted)
    out["longest_ms"] = accepted[-1]
    if rejected:
        out |= {"rejected_per_second": len(rejected) / seconds}
        out |= {f"rejected_{name}": value for name, value in percentiles(rejected).items()}
    return out


def percentiles(times: list[float]) -> dict[str, float]:
    def at(share: float) -> float:
        return times[min(int(share * len(times)), len(times) - 1)]

    return {f"p{100 * q:g}_ms": at(q) for q in (0.5, 0.95, 0.99, 0.999)}


def load_actor(*, seconds: float, concurrency: int) -> dict[str, float]:
    """Measure round trips to one bare actor, with `concurrency` threads that each await one."""
    actor, payload, times = Bare.remote(), b"x" * 256, list[float]()
    ray.get(actor.ping.remote(payload))
    until = time.perf_counter() + seconds

    def work() -> None:
        while (begin := time.perf_counter()) < until:
            ray.get(actor.ping.remote(payload))
            times.append(1e3 * (time.perf_counter() - begin))

    threads = [threading.Thread(target=work) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"per_second": len(times) / seconds} | percentiles(sorted(times))


def measure_calls(served: Served, echo_target: str) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    for concurrency in CONCURRENCY:
        name = f"bare Ray actor round trip × {concurrency}"
        figures[name] = load_actor(seconds=SECONDS, concurrency=concurrency)
    ray.shutdown()
    for name, call in calls().items():
        target = echo_target if "echo" in name else served.target
        for concurrency in CONCURRENCY:
            found = load(target, call, seconds=SECONDS, concurrency=concurrency)
            figures[f"{name} × {concurrency}"] = found
            print(name, concurrency, {k: round(v, 2) for k, v in found.items()}, file=sys.stderr)
    return figures


def servable(served: Served, call: tuple[str, bytes]) -> float:
    """Return the largest tried rate of an open load that has at most 0.5 % of calls rejected."""
    rate = load(served.target, call, seconds=SECONDS, concurrency=4)["per_second"]
    while True:
        found = load(served.target, call, seconds=SECONDS, rate=rate)
        if found.get("rejected_per_second", 0.0) <= REJECTED_SHARE * rate:
            return rate
        rate *= 0.9


def measure_overload(served: Served, seconds: float, rounds_wanted: int) -> dict[str, object]:
    call = calls()["CalculateMargin"]
    rounds = []
    for _ in range(rounds_wanted):
        capacity = servable(served, call)
        half = load(served.target, call, seconds=seconds, rate=0.5 * capacity)
        before = rss_mib(served.process.pid)
        three = load(served.target, call, seconds=seconds, rate=3 * capacity)
        after = rss_mib(served.process.pid)
        found = {"servable_per_second": capacity, "half": half, "three": three}
        rounds.append(found | {"rss_mib": [before, after]})
        print(json.dumps(rounds[-1], indent=1), file=sys.stderr)
    ratio = statistics.median(r["three"]["p99_ms"] / r["half"]["p99_ms"] for r in rounds)
    return {"p99_three / p99_half": ratio, "rounds": rounds}


def measure_burst(served: Served) -> dict[str, object]:
    """Compare many calls at once on one connection with the same calls one after another.

    No call of the burst may be rejected.
    """
    call = calls()["SimulateMargin"]
    in_turn = load(served.target, call, seconds=SECONDS, concurrency=1)
    burst = load(served.target, call, seconds=1.0, burst=BURST)
    assert "rejected_per_second" not in burst, burst
    return {
        "calls": BURST,
        "seconds in turn": BURST / in_turn["per_second"],
        "seconds as a burst": burst["longest_ms"] / 1e3,
    }


def measure_idle(served: Served) -> dict[str, object]:
    """Measure single calls with and without many idle connections, alternating."""
    figures: dict[str, list[float]] = {}
    for round_ in range(3):
        for idle in (0, IDLE_CONNECTIONS):
            with idle_connections(served.target, idle):
                for name in ("CalculateMargin", "SimulateMargin"):
                    found = load(served.target, calls()[name], seconds=SECONDS / 2, concurrency=1)
                    figures.setdefault(f"{name}, {idle} idle, p50 ms", []).append(found["p50_ms"])
        print(round_, figures, file=sys.stderr)
    return {name: statistics.median(times) for name, times in figures.items()}


@contextmanager
def idle_connections(target: str, count: int) -> Iterator[None]:
    """Hold HTTP/2 connections that are established and carry no call."""
    host, _, port = target.rpartition(":")
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    connections = [socket.create_connection((host, int(port))) for _ in range(count)]
    try:
        for connection in connections:
            connection.sendall(hello)
            assert connection.recv(9), "the server sends its settings"
        yield
    finally:
        for connection in connections:
            connection.close()


def measure_long(served: Served, minutes: float) -> dict[str, object]:
    """Send three times the servable rate; sample memory and latency once per minute."""
    call = calls()["CalculateMargin"]
    capacity = servable(served, call)
    samples = []
    for minute in range(round(minutes)):
        found = load(served.target, call, seconds=55.0, rate=3 * capacity)
        ledger = sum(p.stat().st_size for p in served.folder.glob("ledger*")) / 2**20
        samples.append(
            {
                "minute": minute + 1,
                "rss_mib": rss_mib(served.process.pid),
                "ledger_mib": ledger,
                "recorded_per_second": found["per_second"],
                "p99_ms": found["p99_ms"],
                "rejected_p99_ms": found["rejected_p99_ms"],
            }
        )
        print(json.dumps(samples[-1]), file=sys.stderr, flush=True)
    return {"servable_per_second": capacity, "minutes": samples}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--only", choices=("calls", "overload", "burst", "idle"))
    parser.add_argument("--seconds", type=float, default=OPEN_SECONDS, help="of an open load")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of half and three times")
    parser.add_argument("--serve", default="", help="further options of margin serve, in quotes")
    arguments = parser.parse_args()
    options = tuple(arguments.serve.split())
    made = made_market(n_accounts=200, n_positions=20_000)
    with serving(made, options=options) as served, helper("echo_server.py") as echo_target:
        if arguments.minutes:
            report("load_long", measure_long(served, arguments.minutes))
            return
        measures: dict[str, Callable[[], object]] = {
            "calls": lambda: measure_calls(served, echo_target),
            "overload": lambda: measure_overload(served, arguments.seconds, arguments.rounds),
            "burst": lambda: measure_burst(served),
            "idle": lambda: measure_idle(served),
        }
        chosen = [arguments.only] if arguments.only else list(measures)
        figures = {name: measures[name]() for name in chosen}
        report("load", figures)


if __name__ == "__main__":
    if "--generate" in sys.argv:
        own = argparse.ArgumentParser()
        own.add_argument("--generate", action="store_true")
        for name in ("target", "method", "body"):
            own.add_argument(name)
        own.add_argument("--concurrency", type=int, default=0)
        own.add_argument("--rate", type=float, default=0.0)
        own.add_argument("--seconds", type=float, default=1.0)
        own.add_argument("--seed", type=int, default=0)
        own.add_argument("--burst", type=int, default=0)
        uvloop.run(generate(own.parse_args()))
    else:
        main()
