# pyright: basic
"""The full model: generating and pricing Monte Carlo scenarios, and the cost of the add-ons.

python full_model.py              Monte Carlo on synthetic data
python full_model.py --data DIR   also the 1,000-account book of 2026-02-06, core and all add-ons
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from made_book import make

from margin_actors.engine.margin import PreparedMarket, applied_scenarios, prepare_market
from margin_actors.engine.parameters import MonteCarloParameters, parameters_from_mapping
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation import build_cube
from margin_actors.engine.scenarios import fit_monte_carlo
from margin_actors.numerics.black76 import price_grid
from margin_actors.numerics.elementary import logarithms

N_ROWS, N_CONTRACTS, SLICE, ROUNDS = 100_000, 1_500, 4_096, 7
ADD_ONS = ("concentration", "liquidity", "model_risk", "expiry_risk")


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def medians(works: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Return the seconds of each function in every round, after one warm-up round.

    Within a round the functions run one after another.
    """
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            took = seconds(work)
            if number:
                found[name].append(took)
    return found


def monte_carlo() -> None:
    made = make(n_accounts=1, n_positions=N_CONTRACTS, n_instruments=N_CONTRACTS, n_scenarios=1825)
    names = sorted(set(made.book.column("instrument_name").to_pylist()))[:N_CONTRACTS]
    market: PreparedMarket = prepare_market(made.snapshot, made.model, names=names)
    begin = time.perf_counter()
    model = fit_monte_carlo(made.scenarios, MonteCarloParameters(rows=N_ROWS))
    print(f"fitted in {time.perf_counter() - begin:.2f} s to {len(made.scenarios)} rows")
    n = len(market.contracts)
    work = np.empty((SLICE // TILE, n, TILE))
    rules = market.model.revaluation
    starts = range(0, N_ROWS, SLICE)

    def generate() -> None:
        for first in starts:
            model.rows(first, min(first + SLICE, N_ROWS), total=N_ROWS)

    def generate_and_price() -> None:
        for first in starts:
            rows = model.rows(first, min(first + SLICE, N_ROWS), total=N_ROWS)
            applied, _ = applied_scenarios(market, rows)
            build_cube(
                market.contracts,
                market.snapshot,
                applied,
                rules,
                base_value=market.value_today,
                out=work,
            )

    contracts = market.contracts
    forward = np.exp(np.random.default_rng(0).normal(11.0, 0.05, SLICE))
    ln_forward = logarithms(forward)
    strike = contracts.strike
    deviation = np.nan_to_num(contracts.mark_deviation, nan=0.3)
    out = np.empty((n, SLICE))

    def bare_kernel() -> None:
        for _ in starts:
            price_grid(
                forward,
                ln_forward[0],
                ln_forward[1],
                strike,
                contracts.ln_strike,
                contracts.ln_strike_low,
                contracts.sign,
                deviation,
                out,
            )

    whole = model.rows(0, 5_000, total=N_ROWS)
    cut = [model.rows(a, b, total=N_ROWS) for a, b in ((0, 1), (1, 1_777), (1_777, 5_000))]
    for name in ("spot_return", "vol_change", "basis_change", "path_return"):
        joined = np.concatenate([getattr(part, name) for part in cut])
        assert np.array_equal(joined, getattr(whole, name))
    found = medians(
        {"bare kernel": bare_kernel, "generate": generate, "generate and price": generate_and_price}
    )
    times = {name: statistics.median(t) for name, t in found.items()}
    ratio = statistics.median(
        a / b for a, b in zip(found["generate and price"], found["bare kernel"], strict=True)
    )
    for name, value in times.items():
        print(f"{name:>20}: {value:.3f} s, {1e9 * value / (N_ROWS * n):.2f} ns a price")
    print(f"{N_ROWS:,} rows x {n:,} contracts generated and priced: {ratio:.2f} x the bare kernel")


def add_ons(data: Path) -> None:
    from margin_cluster.runs import RunRequest, load_book, run_margin
    from margin_cluster.settings import settings_from_environment
    from margin_cluster.wiring import build_scenarios, load_market, open_workspace

    from margin_actors.engine.margin import calculate_margin

    place = open_workspace(settings_from_environment(), data)
    time_text = "2026-02-06T09:35:16Z"
    path = data / "portfolios" / "book_20260206T093516Z_1000.parquet"
    changed = {"addons": {name: {"enabled": True} for name in ADD_ONS}}
    snapshot, _ = load_market(place, time_text)
    for base in ("hs-surface", "fhs-surface"):
        core = parameters_from_mapping({"extends": base}, where="core")
        full = parameters_from_mapping({"extends": base, **changed}, where="full")
        scenarios, _ = build_scenarios(place, core, snapshot.time)
        book, _, _ = load_book(place, RunRequest(time_text, path, None, core), snapshot.time)
        found = medians(
            {
                "calculation, core": lambda: calculate_margin(
                    snapshot, scenarios, book, core, threads=2
                ),
                "calculation, all": lambda: calculate_margin(
                    snapshot, scenarios, book, full, threads=2
                ),
                "run, core": lambda: run_margin(
                    place, RunRequest(time_text, path, None, core, keep_pnl=False)
                ),
                "run, all": lambda: run_margin(
                    place, RunRequest(time_text, path, None, full, keep_pnl=False)
                ),
            }
        )
        for what in ("calculation", "run"):
            a, b = found[f"{what}, all"], found[f"{what}, core"]
            ratio = statistics.median(x / y for x, y in zip(a, b, strict=True))
            print(
                f"{base}, {what}: core {statistics.median(b):.3f} s, with all add-ons "
                f"{statistics.median(a):.3f} s, {ratio:.2f} x"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    monte_carlo()
    if given.data is not None:
        add_ons(given.data)
