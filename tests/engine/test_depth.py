"""Market depth from recorded days, and charges that depend on it."""

from dataclasses import replace

import numpy as np
import pytest
from addon_figures import account_book, figures, part
from hypothesis import given
from hypothesis import strategies as st
from made import made_scenarios, model_from

from margin_actors.engine.addons import MarketDepth, calibrated_depth
from margin_actors.engine.margin import calculate_margin
from margin_actors.engine.parameters import (
    AddOnParameters,
    DepthParameters,
)
from margin_actors.engine.scenarios import (
    CalibratedDepth,
    Calibration,
    calibrate_depth,
    depth_history,
    scenario_set_from_table,
    scenario_set_to_table,
)
from margin_actors.engine.scenarios.history.depth_history import limited_median
from margin_actors.errors import InvalidScenario
from margin_actors.market.activity import BucketActivity, bucket_activity, bucket_names

SCENARIOS = made_scenarios(400)
DAYS = AddOnParameters().bucket_days
BUCKETS = bucket_names(DAYS)
RULES = AddOnParameters(depth=DepthParameters(days=5, change_max=0.1))
NOON = np.datetime64("2026-01-20T12:00", "ms")
TODAY = int(NOON.astype("datetime64[D]").astype(np.int64))


def recorded(values: dict[int, float], *, index: float = 50_000.0):
    """Return the history of days (relative to today) on which a bucket traded `value` coins."""
    shape = (1, len(BUCKETS))
    days = []
    for day, value in values.items():
        volume, one = np.zeros(shape), np.full(shape, np.nan)
        volume[0, 2] = value
        one[0, 2] = 1.0
        activity = BucketActivity(
            ("BTC",), BUCKETS, volume, 100.0 * index * volume, 0.001 * index * one, one, 0.01 * one
        )
        days.append((TODAY + day, activity, {"BTC": index}))
    return depth_history(days)


@given(st.lists(st.floats(0.01, 1e6), min_size=8, max_size=40), st.integers(1, 7))
def test_the_depth_changes_by_at_most_the_limit_once_the_window_is_full(volumes, days) -> None:
    values, day = np.array(volumes)[:, None], np.arange(len(volumes), dtype=np.int64)
    levels = [
        limited_median(values[:n], day[:n], days=days, change_max=0.1)[0]
        for n in range(1, len(volumes) + 1)
    ]
    for n in range(days + 1, len(levels)):
        assert levels[n] <= 1.1 * levels[n - 1] * (1 + 1e-12)
        assert levels[n] >= levels[n - 1] / 1.1 * (1 - 1e-12)
    free = limited_median(values, day, days=days, change_max=1e12)[0]
    assert free == np.median(volumes[-days:])


def test_the_depth_is_the_median_of_the_days_before_today() -> None:
    history = recorded({-4: 10.0, -3: 30.0, -2: 20.0, 0: 5_000.0, 1: 5_000.0})
    found, note = calibrate_depth(history, RULES, NOON)
    assert found is not None
    assert found.delta_coins == {("BTC", "7-30 d"): 20.0}
    assert found.vega_coins[("BTC", "7-30 d")] == pytest.approx(2_000.0)
    assert (found.date, found.days) == (TODAY - 2, 3)
    assert "3 recorded days up to 2026-01-18" in note


def test_a_daily_volume_has_a_floor_in_coins_and_in_median_vegas() -> None:
    found, _ = calibrate_depth(recorded({-1: 0.0, -2: 0.0}), RULES, NOON)
    assert found is not None
    floor = RULES.concentration.volume_floor_coins
    assert found.delta_coins[("BTC", "7-30 d")] == floor
    assert found.vega_coins[("BTC", "7-30 d")] == pytest.approx(floor * 0.001)


@pytest.mark.parametrize("history", [None, recorded({-9: 5.0}), recorded({0: 5.0})])
def test_without_recorded_days_the_depth_is_that_of_the_snapshot(history) -> None:
    found, note = calibrate_depth(history, RULES, NOON)
    assert found is None
    assert "that of the snapshot" in note


def test_a_history_with_a_gap_begins_after_it() -> None:
    old = {-400: 1e6, -399: 1e6}
    both, _ = calibrate_depth(recorded({**old, -3: 7.0, -2: 7.0}), RULES, NOON)
    alone, note = calibrate_depth(recorded({-3: 7.0, -2: 7.0}), RULES, NOON)
    assert both == alone
    assert "shorter than the 5 days" in note


def test_the_calibration_is_stored_with_the_set_and_is_part_of_its_id() -> None:
    depth = CalibratedDepth(
        20_000, 30, {("BTC", "7-30 d"): 12.5}, {("BTC", "7-30 d"): 0.1}, {("ETH", "0-7 d"): 0.02}
    )
    held = replace(SCENARIOS, calibration=Calibration({"BTC": 0.25}, 0.97, depth))
    again = scenario_set_from_table(scenario_set_to_table(held), where="test")
    assert again.calibration == held.calibration
    other = replace(depth, vega_coins={("BTC", "7-30 d"): 0.1000001})
    changed = replace(SCENARIOS, calibration=Calibration({"BTC": 0.25}, 0.97, other))
    assert len({SCENARIOS.id, held.id, changed.id}) == 3


def with_depth(scale: float, buckets: tuple[str, ...] = BUCKETS):
    cells = {(u, b): 1.0 for u in ("BTC", "ETH") for b in buckets[1:]}
    depth = CalibratedDepth(
        20_000,
        30,
        dict.fromkeys(cells, 50.0 * scale),
        dict.fromkeys(cells, 5.0 * scale),
        dict.fromkeys(cells, 0.02),
    )
    return replace(SCENARIOS, calibration=Calibration(depth=depth))


def concentrated(days: int, **sections: object):
    addons = {"concentration": {"enabled": True, "open_interest_steps": []}, **sections}
    return model_from("hs-surface", addons={**addons, "depth": {"days": days}})


def test_days_to_close_follow_the_recorded_volume_and_not_the_snapshot_s(snapshot, book) -> None:
    big = account_book(book, 0, 5.0)
    quiet = replace(snapshot, options=replace(
        snapshot.options, volume=np.zeros(len(snapshot.options))))  # fmt: skip
    found = [
        calculate_margin(market, with_depth(1.0), big, concentrated(30)).margins.component_usd(
            "concentration"
        )[0]
        for market in (snapshot, quiet)
    ]
    assert found[0] == found[1] > 0.0
    result = calculate_margin(snapshot, with_depth(1.0), big, concentrated(30))
    for label, inputs in figures(result, "concentration").items():
        index = snapshot.index_usd[label.split()[0]]
        vega = 100.0 * abs(inputs["vega_usd_per_point"])
        assert inputs["vega_days_to_close"] == pytest.approx(vega / (0.2 * 5.0 * index)), label
    deep = calculate_margin(snapshot, with_depth(4.0), big, concentrated(30))
    assert part(deep, "concentration") < found[0]


def test_a_set_with_other_buckets_is_refused(snapshot, book) -> None:
    odd = with_depth(1.0, bucket_names((3.0, 9.0)))
    with pytest.raises(InvalidScenario, match="rebuild it"):
        calculate_margin(snapshot, odd, account_book(book, 0), concentrated(30))


def test_the_depth_of_a_set_is_ignored_by_a_model_without_recorded_days(snapshot, book) -> None:
    big = account_book(book, 0, 5.0)
    plain = calculate_margin(snapshot, SCENARIOS, big, concentrated(0))
    held = calculate_margin(snapshot, with_depth(1.0), big, concentrated(0))
    assert part(plain, "concentration") == part(held, "concentration") > 0.0


def test_calibrated_values_replace_those_of_their_buckets_alone() -> None:
    shape = (2, len(BUCKETS))
    now = MarketDepth(
        ("BTC", "ETH"), BUCKETS, np.full(shape, 7.0), np.full(shape, 8.0), np.full(shape, 9.0),
        np.full(shape, 0.5), {("BTC", "2026-06-26", 1e5): 3.0},
    )  # fmt: skip
    days = BUCKETS[1], BUCKETS[2]
    calibrated = CalibratedDepth(
        20_000, 30, {("BTC", days[0]): 12.5}, {("ETH", days[1]): 0.1}, {("ETH", days[0]): 0.02}
    )
    found = calibrated_depth(now, calibrated, {"BTC": 50_000.0, "ETH": 2_500.0})
    delta, vega, spread = (np.full(shape, x) for x in (7.0, 8.0, 9.0))
    # Volumes of vega are recorded in coins, other values in their own unit.
    delta[0, 1], vega[1, 2], spread[1, 1] = 12.5, 250.0, 0.02
    np.testing.assert_array_equal(found.delta_volume, delta)
    np.testing.assert_array_equal(found.vega_volume, vega)
    np.testing.assert_array_equal(found.half_spread_vol, spread)
    assert found.typical_vol is now.typical_vol
    assert found.strike_interest is now.strike_interest
    assert np.all(now.delta_volume == 7.0)


def test_activity_of_an_empty_bucket_is_not_a_day_without_trades(snapshot) -> None:
    found = bucket_activity(snapshot, (0.001, *DAYS))
    assert np.all(found.delta_volume[:, 1] == 0.0)
    assert np.all(np.isnan(found.typical_vega[:, 1]))
    history = depth_history([(TODAY - 1, found, snapshot.index_usd)])
    rules = AddOnParameters(
        bucket_days=(0.001, *DAYS),
        depth=DepthParameters(days=5),
    )
    depth, _ = calibrate_depth(history, rules, NOON)
    assert depth is not None
    assert ("BTC", "0-0.001 d") not in depth.delta_coins
    assert ("BTC", "7-30 d") in depth.delta_coins
