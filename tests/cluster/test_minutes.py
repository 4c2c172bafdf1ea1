"""Five years of minutes from two sources."""

import numpy as np
import pytest

from margin_actors.market.candles import Candles
from margin_actors.market.cleansing import CleansingRules, aggregate_prices

MINUTE = np.timedelta64(60_000, "ms")


@pytest.mark.slow
def test_five_years_of_minutes_come_out_clean() -> None:
    n = 5 * 365 * 1440
    rng = np.random.default_rng(0)
    true = 50_000 * np.exp(np.cumsum(rng.normal(0, 5e-4, n)))
    time = np.datetime64("2021-05-15", "ms") + MINUTE * np.arange(n)
    sources, spiked = [], []
    for name in "ab":
        close = true * np.exp(rng.normal(0, 1e-4, n))
        at = rng.choice(n, 400, replace=False)
        close[at] *= rng.choice([0.6, 0.8, 1.25, 1.6], 400)
        spiked.append(at)
        sources.append(Candles(name, "BTC", 60, time, close, close, close, close, np.ones(n)))
    grid, report = aggregate_prices(
        sources,
        underlying="BTC",
        interval_seconds=60,
        as_of_ms=int(np.datetime64("2026-06-01", "ms").astype(np.int64)),
        rules=CleansingRules(outlier_window=121),
    )
    both = np.intersect1d(*spiked)
    error = np.abs(grid.price_usd / true - 1)
    error[both] = 0
    assert np.isfinite(grid.price_usd).mean() > 0.9999
    assert np.nanmax(error) < 0.01
    assert 780 <= report.dropped <= 820
