# pyright: basic
"""Time and peak memory of cleansing five years of minute prices from two sources; prints JSON."""

import json
import resource
import time

import numpy as np

from margin_actors.market.candles import Candles
from margin_actors.market.cleansing import CleansingRules, aggregate_prices

N = 5 * 365 * 1440


def main() -> None:
    rng = np.random.default_rng(0)
    price = 50_000 * np.exp(np.cumsum(rng.normal(0, 5e-4, N)))
    stamps = np.datetime64("2021-05-15", "ms") + np.timedelta64(60_000, "ms") * np.arange(N)

    def source(name: str) -> Candles:
        close = price * np.exp(rng.normal(0, 1e-4, N))
        at = rng.choice(N, 500, replace=False)
        close[at] *= rng.uniform(0.3, 1.7, 500)
        return Candles(name, "BTC", 60, stamps, close, close, close, close, np.ones(N))

    sources = [source("a"), source("b")]
    rules, end = CleansingRules(outlier_window=121), int(stamps[-1].astype(np.int64)) + 60_000
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        aggregate_prices(sources, underlying="BTC", interval_seconds=60, as_of_ms=end, rules=rules)
        seconds.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / 1024
    print(json.dumps({"first": seconds[0], "median": sorted(seconds)[1], "peak_gib": peak}))


if __name__ == "__main__":
    main()
