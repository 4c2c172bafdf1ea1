"""Cleansing: which rows are dropped, which are kept, and the report."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from margin_actors.errors import MissingMarketData
from margin_actors.market.candles import Candles
from margin_actors.market.cleansing import CleansingRules, QualityLimits, aggregate_prices
from margin_actors.market.cleansing.rolling import rolling_median_and_mad

DAY = 86_400
T0 = np.datetime64("2024-01-01T00:00:00", "ms")


def candles(source: str, close: np.ndarray, *, order: np.ndarray | None = None) -> Candles:
    time = T0 + np.timedelta64(DAY * 1000, "ms") * np.arange(close.size)
    take = np.arange(close.size) if order is None else order
    nothing = np.full(take.size, np.nan)
    return Candles(source, "BTC", DAY, time[take], nothing, nothing, nothing, close[take], nothing)


def run(*sources: Candles, rules: CleansingRules | None = None, **extra: object):
    return aggregate_prices(
        list(sources),
        underlying="BTC",
        interval_seconds=DAY,
        as_of_ms=int(np.datetime64("2030-01-01", "ms").astype(np.int64)),
        rules=rules or CleansingRules(),
        **extra,  # type: ignore[arg-type]
    )


def path(n: int = 200, seed: int = 0) -> np.ndarray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, n)))


@given(
    arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6) | st.just(np.nan)),
    st.integers(5, 11),
)
def test_rolling_median_and_mad_agree_with_numpy(values: np.ndarray, window: int) -> None:
    median, mad = np.empty_like(values), np.empty_like(values)
    rolling_median_and_mad(values, window, median, mad)
    for i in range(values.size):
        before = values[:i][np.isfinite(values[:i])][-window:]
        if before.size < 5:
            assert np.isnan(median[i])
            continue
        centre = np.median(before)
        assert median[i] == centre
        assert mad[i] == pytest.approx(np.median(np.abs(before - centre)), rel=1e-12, abs=1e-9)


def test_a_spike_in_one_of_three_sources_is_dropped_and_named() -> None:
    p = path()
    spiked = p.copy()
    spiked[120] *= 1.5
    grid, report = run(candles("a", p), candles("b", spiked), candles("c", p))
    np.testing.assert_allclose(grid.price_usd, p)
    assert [(r.source, r.rule) for r in report.repairs] == [("b", "disagreement")]
    assert report.repairs[0].time == "2024-05-01T00:00:00Z"


def test_of_two_sources_the_one_far_from_its_own_past_is_dropped() -> None:
    p = path()
    spiked = p.copy()
    spiked[120] *= 0.6
    grid, report = run(candles("a", p), candles("b", spiked))
    np.testing.assert_allclose(grid.price_usd, p)
    assert {r.source for r in report.repairs} == {"b"}


def test_a_spike_of_a_lone_source_that_returns_is_dropped() -> None:
    p = path()
    p[120] *= 3.0
    grid, report = run(candles("a", p))
    assert np.isnan(grid.price_usd[120])
    assert [r.rule for r in report.repairs] == ["outlier"]


def test_a_crash_that_stays_is_kept_in_one_source_and_in_several() -> None:
    p = path()
    p[120:] *= 0.5
    for sources in ([candles("a", p)], [candles(n, p) for n in "abc"]):
        grid, report = run(*sources)
        np.testing.assert_allclose(grid.price_usd, p)
        assert report.repairs == ()


def test_a_frozen_source_is_stale_and_does_not_contradict_one_that_moves() -> None:
    p = path()
    frozen = p.copy()
    frozen[100:130] = frozen[100]
    grid, report = run(candles("a", p), candles("b", frozen))
    assert {r.source for r in report.repairs} == {"b"}
    np.testing.assert_allclose(grid.price_usd[101:130], p[101:130])


def test_every_kind_of_bad_row_is_counted() -> None:
    p = path(50)
    p[10], p[11], p[12] = -1.0, 0.0, np.nan
    order = np.concatenate([np.arange(50), [20]])
    order[[30, 31]] = order[[31, 30]]
    messy = candles("a", p, order=order)
    messy.open_time[5] += np.timedelta64(3600_000, "ms")
    messy.open_time[6] = np.datetime64("NaT")
    _, report = run(messy)
    faults = report.sources[0].faults
    assert faults["not_positive"] == 2
    assert faults["unreadable"] == 2
    assert faults["off_grid"] == 1
    assert faults["duplicate"] == 1
    assert faults["out_of_order"] == 2
    assert report.sources[0].missing == 5


def test_nothing_after_the_valuation_time_is_looked_at() -> None:
    p = path(50)
    grid, report = aggregate_prices(
        [candles("a", p)],
        underlying="BTC",
        interval_seconds=DAY,
        as_of_ms=int((T0 + np.timedelta64(10 * DAY + 5, "s")).astype("datetime64[ms]").astype(int)),
        rules=CleansingRules(),
    )
    assert grid.time[-1] == T0 + np.timedelta64(10, "D")
    assert report.sources[0].not_used == 40
    assert sum(report.sources[0].faults.values()) == 0


@pytest.mark.parametrize(("rule", "filled"), [("previous", [2.0, 2.0]), ("linear", [3.0, 4.0])])
def test_short_gaps_are_filled_by_the_named_rule_and_long_ones_stay(
    rule: str, filled: list[float]
) -> None:
    p = np.array([1.0, 2.0, np.nan, np.nan, 5.0, np.nan, np.nan, np.nan, 9.0])
    rules = CleansingRules(gap_rule=rule, gap_points_max=2, cleanse=False)  # type: ignore[arg-type]
    grid, report = run(candles("a", p), rules=rules)
    assert grid.price_usd[2:4].tolist() == filled
    assert np.isnan(grid.price_usd[5:8]).all()
    assert [r.rule for r in report.repairs] == [f"filled:{rule}"] * 2


def test_volume_weighted_median_follows_the_volume() -> None:
    p = path(10)
    heavy, light = candles("a", p), candles("b", p * 1.01)
    heavy.volume[:], light.volume[:] = 10.0, 1.0
    rules = CleansingRules(aggregate="volume_weighted_median")
    grid, _ = run(heavy, light, candles("c", p * 1.02), rules=rules)
    np.testing.assert_allclose(grid.price_usd, p)


def test_a_broken_limit_is_reported() -> None:
    p = path(100)
    p[40:60] = np.nan
    _, report = run(candles("a", p), limits=QualityLimits())
    assert len(report.breaches) == 2
    assert "20.20 % of the last 99" in report.breaches[0] or "20.00 %" in report.breaches[0]
    assert "old" in report.breaches[1]


def test_no_usable_row_at_all_is_missing_data() -> None:
    with pytest.raises(MissingMarketData, match="no usable price of BTC"):
        run(candles("a", np.full(5, np.nan)))


@pytest.mark.data
def test_the_known_disagreements_of_real_sources_are_found(data_root) -> None:
    from margin_cluster.sources.data_folder import DataFolder

    sources = ("kraken_ETHUSD_1h", "bitstamp_ETHUSD_1h", "binance_spot_ETHUSDT_1h",
               "bitfinex_ETHUSD_1h_2013-2019")  # fmt: skip
    loaded, _ = DataFolder(data_root).candles(sources, "ETH", 3600)
    _, report = aggregate_prices(
        loaded,
        underlying="ETH",
        interval_seconds=3600,
        as_of_ms=int(np.datetime64("2026-05-15", "ms").astype(np.int64)),
        rules=CleansingRules(),
    )
    found = {(r.source, r.time[:10]) for r in report.repairs}
    assert ("kraken_ETHUSD_1h", "2017-05-07") in found
    assert any(day == "2018-10-15" for _, day in found)
    assert report.dropped < 20
