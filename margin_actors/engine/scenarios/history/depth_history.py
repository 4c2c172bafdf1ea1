"""Market depth from recorded days: limited medians of daily volumes and spreads.

The volume of a snapshot is that of the last 24 hours, so that one snapshot per day counts every
trade once; the last one of each UTC day is used. A day enters the depth from the next day on, so
that the depth is the same for all valuations of one day.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.parameters import AddOnParameters
from margin_actors.engine.scenarios.sets.calibration import CalibratedDepth
from margin_actors.market.activity import BucketActivity


@dataclass(frozen=True)
class DepthHistory:
    """Volumes and spreads of expiry buckets on recorded days.

    Arrays are float64 (n_days, n_underlyings, n_buckets); NaN on days without options in a bucket.
    """

    underlyings: tuple[str, ...]
    buckets: tuple[str, ...]
    """Names of the buckets, see `bucket_names`."""
    day: IntArray
    """int64 (n_days,): days since 1970-01-01 (UTC), ascending."""
    delta_coins: FloatArray
    """Absolute option delta traded per day, coins."""
    vega_coins: FloatArray
    """Vega traded per day, coins per unit of volatility: US dollars divided by the index."""
    typical_vega_coins: FloatArray
    """Median vega of the options on one coin, in the same unit."""
    half_spread_vol: FloatArray
    """Median of half the bid-ask spread, in volatility as a fraction."""


def depth_history(days: Sequence[tuple[int, BucketActivity, dict[str, float]]]) -> DepthHistory:
    """Return the history of recorded days with the same buckets.

    Parameters
    ----------
    days : sequence of (day, activity, index by underlying in US dollars)
        At least one; a day is the number of days since 1970-01-01. Of several entries for a day the
        last one is used.
    """
    last = {day: (activity, index) for day, activity, index in days}
    ordered = sorted(last)
    buckets = days[0][1].buckets
    underlyings = tuple(sorted({u for activity, _ in last.values() for u in activity.underlyings}))
    arrays = np.full((4, len(ordered), len(underlyings), len(buckets)), np.nan)
    for d, day in enumerate(ordered):
        activity, index = last[day]
        assert activity.buckets == buckets
        for i, u in enumerate(activity.underlyings):
            listed = np.isfinite(activity.typical_vega[i])
            row = arrays[:, d, underlyings.index(u)]
            row[0, listed] = activity.delta_volume[i, listed]
            row[1, listed] = activity.vega_volume[i, listed] / index[u]
            row[2, listed] = activity.typical_vega[i, listed] / index[u]
            row[3, listed] = activity.half_spread_vol[i, listed]
    return DepthHistory(underlyings, buckets, np.array(ordered, np.int64), *arrays)


def calibrate_depth(
    history: DepthHistory | None, rules: AddOnParameters, as_of: np.datetime64
) -> tuple[CalibratedDepth | None, str]:
    """Return the market depth for valuations on the day of `as_of`, and a note on it.

    Daily volumes are at least the volume floor of the model (for vega, times the median vega of the
    bucket's options). None if no day is recorded within `rules.depth.days` days before `as_of`.
    """
    today = int(as_of.astype("datetime64[D]").astype(np.int64))
    n_days = rules.depth.days
    known = np.empty(0, np.int64)
    if history is not None:
        known = np.flatnonzero((history.day < today) & (history.day >= today - n_days))
    if history is None or known.size == 0:
        day = as_of.astype("datetime64[D]")
        return None, (
            f"market depth: no day is recorded in the {n_days} days before {day}, so that it is "
            "that of the snapshot"
        )
    past = np.flatnonzero(history.day < today)
    past = past[_first_of_run(history.day[past], n_days) :]
    day, floor = history.day[past], rules.concentration.volume_floor_coins
    values = (
        np.maximum(history.delta_coins[past], floor),
        np.maximum(history.vega_coins[past], floor * history.typical_vega_coins[past]),
        history.half_spread_vol[past],
    )
    found: list[dict[tuple[str, str], float]] = []
    for value in values:
        level = limited_median(
            value.reshape(day.size, -1), day, days=n_days, change_max=rules.depth.change_max
        ).reshape(value.shape[1:])
        found.append(
            {
                (u, b): float(level[i, j])
                for i, u in enumerate(history.underlyings)
                for j, b in enumerate(history.buckets)
                if np.isfinite(level[i, j])
            }
        )
    recorded = int(np.count_nonzero(day > day[-1] - n_days))
    note = (
        f"market depth: median of {recorded} recorded days up to "
        f"{np.datetime64(int(day[-1]), 'D')}, change per day at most "
        f"{100 * rules.depth.change_max:g} %"
    )
    if day[-1] - day[0] + 1 < n_days:
        note += f" (the history is shorter than the {n_days} days asked for)"
    return CalibratedDepth(int(day[-1]), recorded, *found), note


def _first_of_run(day: IntArray, gap_max: int) -> int:
    """Return the index of the first day after the last gap of more than `gap_max` days."""
    gaps = np.flatnonzero(np.diff(day) > gap_max)
    return int(gaps[-1]) + 1 if gaps.size else 0


def limited_median(
    values: FloatArray, day: IntArray, *, days: int, change_max: float
) -> FloatArray:
    """Return the last of the running medians, each limited in its change from the one before.

    The median of a recorded day is over the values of the `days` calendar days up to it. Once these
    are covered by the history, a median differs from that of the recorded day before by at most the
    factor 1 + `change_max`.

    Parameters
    ----------
    values : float64 (n_days, n_series)
        Not negative; NaN if a day has no value.
    day : int64 (n_days,)
        Day number of each row, ascending.
    days : int
        Number of calendar days of a median, at least 1.
    change_max : float
        Largest relative change from one recorded day to the next.

    Returns
    -------
    float64 (n_series,)
        NaN for series without values.
    """
    level = np.full(values.shape[1], np.nan)
    for last in range(day.size):
        first = int(np.searchsorted(day, day[last] - days, side="right"))
        now = _medians(values[first : last + 1])
        if day[last] - day[0] >= days:
            low, high = level / (1.0 + change_max), level * (1.0 + change_max)
            limited = np.minimum(np.maximum(now, low), high)
            now = np.where(np.isfinite(level) & np.isfinite(now), limited, now)
        level = np.where(np.isfinite(now), now, level)
    return level


def _medians(values: FloatArray) -> FloatArray:
    """Return the median of the finite values of each column, NaN if there are none."""
    return np.array(
        [np.median(v[np.isfinite(v)]) if np.isfinite(v).any() else np.nan for v in values.T]
    )
