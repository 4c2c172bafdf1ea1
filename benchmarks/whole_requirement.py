# pyright: basic
"""The whole requirement of `ccp-default` for 10,000 accounts, against VaR over the same rows.

python whole_requirement.py --data DIR [--model MODEL] [--profile]

The chain is that of 2026-02-06T09:35:16Z, the scenarios are the model's, the book is drawn at
random: 1,000,000 positions in the listed contracts. VaR is that of all rows of the same set, core
and sections together, without any other component.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from made_book import book as random_book
from margin_cluster.settings import settings_from_environment
from margin_cluster.wiring import build_scenarios, load_market, load_model, open_workspace

from margin_actors.engine.margin import calculate_margin, fit_model_surfaces
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import Calibration, ScenarioSet
from margin_actors.market.portfolios import book_from_table

SNAPSHOT = "2026-02-06T09:35:16Z"
N_ACCOUNTS, N_POSITIONS, ROUNDS, THREADS = 10_000, 1_000_000, 5, 2


def all_rows_as_core(scenarios: ScenarioSet) -> ScenarioSet:
    """Return a set whose core is every row of `scenarios`, equally weighted."""
    n = len(scenarios)
    return replace(
        scenarios,
        weight=np.full(n, 1.0 / n),
        sections=(),
        calibration=Calibration(),
        loss_share=None,
    )


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="ccp-default")
    parser.add_argument("--profile", action="store_true", help="print a profile of one run")
    given = parser.parse_args()
    place = open_workspace(settings_from_environment(), given.data)
    full: ModelParameters = load_model(given.model)
    core = full.core_only().model_copy(
        update={"measure": full.measure.model_copy(update={"core": "var"})}
    )
    snapshot, _ = load_market(place, SNAPSHOT)
    scenarios, _ = build_scenarios(place, full, snapshot.time)
    flat = all_rows_as_core(scenarios)
    n_listed = len(snapshot.options.names) + 2
    table = random_book(snapshot, N_ACCOUNTS, N_POSITIONS, n_listed, seed=7)
    book = book_from_table(table, where="random book")
    surfaces = fit_model_surfaces(snapshot, full)

    def whole() -> None:
        calculate_margin(snapshot, scenarios, book, full, surfaces=surfaces, threads=THREADS)

    def var_alone() -> None:
        calculate_margin(snapshot, flat, book, core, surfaces=surfaces, threads=THREADS)

    print(f"{full.name} {full.version}: {len(scenarios):,} rows, {n_listed:,} contracts")
    if given.profile:
        import cProfile
        import pstats

        whole()
        profile = cProfile.Profile()
        profile.runcall(whole)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    times = []
    for number in range(ROUNDS + 1):
        pair = seconds(whole), seconds(var_alone)
        if number:
            times.append(pair)
    ratio = statistics.median(a / b for a, b in times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"whole requirement {statistics.median(a for a, _ in times):.2f} s, VaR over the same rows "
        f"{statistics.median(b for _, b in times):.2f} s, {ratio:.2f} x (bound 4); "
        f"peak {peak:.2f} GiB (bound 4)"
    )


if __name__ == "__main__":
    main()
