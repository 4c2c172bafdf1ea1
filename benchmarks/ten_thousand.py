# pyright: basic
"""Margin of 10,000 accounts: 1,000,000 positions, 2,000 instruments, 2,560 scenarios; prints JSON.

The bare kernels are the pricing of all tiles and the weighted sums of all accounts. They are called
directly on prepared arrays with one thread, and timed in turn with the runs they are compared to.
"""

import json
import resource
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from made_book import make
from margin_cluster.results import CalculationOutput, write_tables
from margin_cluster.sources import read_table

from margin_actors.engine.margin import calculate_margin, fit_model_surfaces
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation import build_cube, contracts_from_names
from margin_actors.engine.revaluation.cube import prepare_pricing
from margin_actors.market.portfolios import book_from_table
from margin_actors.numerics.jit import compiled
from margin_actors.numerics.tile_sum import weighted_row_sum

REPEATS = 5


@compiled
def bare_sums(cube, start, index, lots, out):
    for t in range(cube.shape[0]):
        for a in range(start.size - 1):
            weighted_row_sum(cube[t], index, lots, start[a], start[a + 1], out)


def timed(call):
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def main() -> None:
    made = make(n_accounts=10_000, n_positions=1_000_000, n_instruments=2000, n_scenarios=2560)
    folder = Path(tempfile.mkdtemp())
    path = folder / "book.parquet"
    pq.write_table(made.book, path, compression="zstd")
    reading, book = timed(lambda: book_from_table(read_table(path, what="book"), where=str(path)))
    surfaces = fit_model_surfaces(made.snapshot, made.model)
    revaluation = made.model.revaluation
    contracts = contracts_from_names(book.instruments, made.snapshot, surfaces, revaluation)
    cube = build_cube(contracts, made.snapshot, made.scenarios, revaluation)
    fill = prepare_pricing(contracts, made.snapshot, made.scenarios, revaluation)
    values = np.empty_like(cube.values)
    lots = np.round(book.quantity / contracts.lot[book.instrument_index])
    out = np.empty(TILE)

    def price() -> None:
        for tile in range(values.shape[0]):
            fill(tile, values[tile])

    def sums() -> None:
        bare_sums(cube.values, book.start, book.instrument_index, lots, out)

    def run(threads: int):
        return calculate_margin(made.snapshot, made.scenarios, book, made.model, threads=threads)

    for warm_up in (price, sums, partial(run, 1), partial(run, 2)):
        warm_up()
    times: dict[str, list[float]] = {"pricing": [], "sums": [], "one": [], "two": []}
    for _ in range(REPEATS):
        for name, call in (
            ("pricing", price),
            ("sums", sums),
            ("one", lambda: run(1)),
            ("two", lambda: run(2)),
        ):
            times[name].append(timed(call)[0])
    result = run(2)
    assert np.array_equal(result.margins.var_usd, run(1).margins.var_usd)
    output = CalculationOutput(
        result, made.model, made.snapshot, made.scenarios, surfaces, (), None, ()
    )
    writing, _ = timed(lambda: write_tables(folder, output))
    median = {name: statistics.median(t) for name, t in times.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / 1024
    print(json.dumps(median | {"reading": reading, "writing": writing, "peak_gib": peak}))


if __name__ == "__main__":
    main()
