# pyright: basic
"""Writes RESULTS.md from the measurements of one benchmark session."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hard_grid import errors

RESULTS = Path(__file__).parent / "RESULTS.md"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _row(name: str, value: str, ratio: str) -> str:
    return f"| {name} | {value} | {ratio} |"


def _bound(what: str, measured: float, limit: float, *, at_least: bool = False) -> str:
    met = measured >= limit if at_least else measured <= limit
    sign = "≥" if at_least else "≤"
    return f"| {what} | {sign} {limit:.3g} | {measured:.3g} | {'yes' if met else '**no**'} |"


def _name(bench: Any) -> str:
    return bench.params["name"] if "name" in (bench.params or {}) else bench.params["who"]


def pytest_sessionfinish(session: Any) -> None:
    benchmarks = session.config._benchmarksession.benchmarks
    tables: dict[str, dict[str, float]] = {"kernel": {}, "aggregation": {}}
    figures: dict[str, float] = {}
    minutes: dict[str, float] = {}
    fits: dict[str, dict[str, Any]] = {}
    for bench in benchmarks:
        info = bench.extra_info
        if info.get("table") == "book":
            figures = info["figures"]
        elif info.get("table") == "minutes":
            minutes = info["figures"]
        elif info.get("table") == "fit":
            fits[_name(bench)] = dict(info) | {"seconds": bench.stats.median}
        elif info.get("table") in tables:
            scale = {"ns": 1e9, "us": 1e6}[info["unit"]]
            tables[info["table"]][_name(bench)] = bench.stats.median * scale / info["count"]
    kernel, aggregation = tables["kernel"], tables["aggregation"]
    if not (kernel and aggregation and figures and minutes and fits):
        return  # only some of the benchmarks were run; the results are incomplete
    grid = errors()
    base = kernel["ours, volatilities given"]
    bare = figures["pricing"] + figures["sums"]
    lines = [
        "# Benchmark results",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by `make bench`: {_processor()}, "
        f"{os.cpu_count()} processors, Python {platform.python_version()}, "
        + ", ".join(
            f"{p} {version(p)}" for p in ("numpy", "numba", "llvmlite", "scipy", "QuantLib")
        )
        + ". Medians over repeats in one session; times differ between machines, ratios less.",
        "",
        "## Kernel: 200 options × 2,500 scenarios, one thread",
        "",
        "| implementation | ns per price | relative to ours |",
        "|---|---:|---:|",
        *[_row(n, f"{v:.2f}", f"{v / base:.2f}") for n, v in kernel.items()],
        "",
        f"Error on a difficult grid of {grid['points']:,} points (1 minute to 3 years, volatility "
        "1 % to 500 %, up to 30 standard deviations, strikes from 1 % to 10,000 % of the forward) "
        f"against arithmetic with 50 digits: {grid['absolute']:.2g} of max(F, K); relative "
        f"{grid['relative']:.2g} where the price exceeds 1e-8 F; "
        f"{grid['negative']} negative prices.",
        "",
        "## VaR and ES of an account: 505 positions × 2,560 scenarios, one thread",
        "",
        "| implementation | µs per account | relative to ours |",
        "|---|---:|---:|",
        *[_row(n, f"{v:.1f}", f"{v / aggregation['ours']:.2f}") for n, v in aggregation.items()],
        "",
        "## 10,000 accounts: 1,000,000 positions × 2,000 instruments × 2,560 scenarios",
        "",
        "Time from snapshot, scenarios and parsed book in memory to all margins in memory, "
        "including the fit of the smiles. The bare kernels are timed between these runs on "
        "prepared arrays, with one thread.",
        "",
        "| what | seconds |",
        "|---|---:|",
        f"| bare pricing kernel | {figures['pricing']:.3f} |",
        f"| bare summing kernel | {figures['sums']:.3f} |",
        f"| whole run, one thread | {figures['one']:.3f} |",
        f"| whole run, two threads | {figures['two']:.3f} |",
        f"| reading the book (Parquet) | {figures['reading']:.3f} |",
        f"| writing the results | {figures['writing']:.3f} |",
        f"| peak memory of the process, GiB | {figures['peak_gib']:.2f} |",
        "",
        f"## Smiles of {fits['svi']['market']}, one thread",
        "",
        "| model | seconds | expiries without arbitrage | inside bid–ask |",
        "|---|---:|---:|---:|",
        *[
            f"| {n.upper()} | {f['seconds']:.3f} | {f['arbitrage_free']} of {f['expiries']} | "
            f"{f['inside']:,} of {f['quotes']:,} ({100 * f['inside'] / f['quotes']:.2f} %) |"
            for n, f in fits.items()
        ],
        "",
        "## Cleansing of five years of minute prices from two sources",
        "",
        f"{minutes['median']:.2f} s (the first call, which loads the kernels, "
        f"{minutes['first']:.2f} s), peak memory of the process {minutes['peak_gib']:.2f} GiB.",
        "",
        "## Bounds",
        "",
        "| what | bound | measured | met |",
        "|---|---:|---:|---|",
        _bound("kernel / scipy textbook", base / kernel["scipy textbook"], 1 / 14),
        _bound("kernel / scipy blocked", base / kernel["scipy blocked"], 1 / 7),
        _bound("kernel / QuantLib from Python", base / kernel["QuantLib from Python"], 1 / 50),
        _bound(
            "SVI smile inside / kernel", kernel["ours in tiles, SVI sticky moneyness"] / base, 2
        ),
        _bound(
            "SVI smile and surface moves inside / kernel",
            kernel["ours in tiles, SVI and surface moves"] / base,
            2,
        ),
        _bound("error of max(F, K)", grid["absolute"], 4e-15),
        _bound("relative error above 1e-8 F", grid["relative"], 1e-10),
        _bound(
            "scipy.sparse / ours, VaR and ES of an account",
            aggregation["scipy.sparse"] / aggregation["ours"],
            4,
            at_least=True,
        ),
        _bound("10,000 accounts / bare kernels, one thread", figures["one"] / bare, 3),
        _bound("10,000 accounts / bare kernels, two threads", figures["two"] / bare, 3),
        _bound("peak memory of that run, GiB", figures["peak_gib"], 3),
        _bound("SVI fit of the snapshot, s", fits["svi"]["seconds"], 1),
        _bound(
            "SVI: share of quotes inside bid–ask",
            fits["svi"]["inside"] / fits["svi"]["quotes"],
            0.975,
            at_least=True,
        ),
        _bound("cleansing of minute prices, s", minutes["first"], 20),
        _bound("cleansing of minute prices, GiB", minutes["peak_gib"], 2),
        _bound("reading and writing, s", figures["reading"] + figures["writing"], 5),
        "",
    ]
    RESULTS.write_text("\n".join(lines))
