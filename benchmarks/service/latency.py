# pyright: basic
"""Latency of single calls, compared with a bare gRPC echo and a bare Ray actor round trip.

The kinds of calls alternate in short blocks, so that changes of the machine's speed affect all of
them equally.
"""

import logging
import statistics
import time
from collections.abc import Callable

import grpc
import ray
from margin_client import Candidate, MarginClient
from serving import BIG, ONE, helper, made_market, report, serving

BLOCK, ROUNDS = 40, 25
TRADES = {"BTC-PERPETUAL": 1_000.0}


@ray.remote(num_cpus=0)
class Bare:
    def ping(self, value: bytes) -> bytes:
        return value


def summary(seconds: list[float]) -> dict[str, float]:
    cut = statistics.quantiles(seconds, n=1000)
    return {
        "p50_ms": 1e3 * statistics.median(seconds),
        "p95_ms": 1e3 * cut[949],
        "p99_ms": 1e3 * cut[989],
        "p99.9_ms": 1e3 * cut[998],
    }


def main() -> None:
    made = made_market(n_accounts=200, n_positions=20_000)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    actor = Bare.remote()
    with serving(made) as served, helper("echo_server.py") as echo_target:
        echo = grpc.insecure_channel(echo_target).unary_unary("/bench.Echo/Echo")
        client = MarginClient(served.target)
        held = client.get_portfolio(ONE).positions
        payload = b"x" * 256
        several = [Candidate(TRADES, str(i)) for i in range(10)]
        calls: dict[str, Callable[[], object]] = {
            "bare gRPC echo": lambda: echo(payload),
            "bare Ray actor round trip": lambda: ray.get(actor.ping.remote(payload)),
            "CalculateMargin, account of 200": lambda: client.calculate_margin(ONE),
            "CalculateMargin, 200 in the request": lambda: client.calculate_margin(portfolio=held),
            "SimulateMargin, account of 200": lambda: client.simulate_margin(ONE, trades=TRADES),
            "SimulateMargin, 10 candidates": lambda: client.simulate_margin(
                ONE, candidates=several
            ),
            "CalculateMargin, account of 534": lambda: client.calculate_margin(BIG),
            "GetPortfolio, account of 200": lambda: client.get_portfolio(ONE),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for round_ in range(ROUNDS + 2):
            for name, call in calls.items():
                for _ in range(BLOCK):
                    begin = time.perf_counter()
                    call()
                    if round_ >= 2:
                        times[name].append(time.perf_counter() - begin)
        figures = {name: summary(seconds) for name, seconds in times.items()}
    ray.shutdown()
    bare = sum(figures[n]["p50_ms"] for n in ("bare gRPC echo", "bare Ray actor round trip"))
    for entry in figures.values():
        entry["p50 / (echo + actor)"] = entry["p50_ms"] / bare
    report("latency", figures)


if __name__ == "__main__":
    main()
