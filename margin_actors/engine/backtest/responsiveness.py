"""Changes of a margin over time: from peak to trough, largest rises, and daily changes."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import DAY_MS, FloatArray, IntArray, TimeArray

_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class PathStatistics:
    """Statistics of one margin over time."""

    dates: int
    """Number of dates."""
    mean: float
    """Mean margin, in the unit of the path."""
    peak_to_trough: float
    """Largest margin divided by smallest margin."""
    rise_1d: float
    """Largest rise over one day, as a fraction of the earlier margin; 0 if it never rose."""
    rise_5d: float
    """Largest rise over five days."""
    rise_30d: float
    """Largest rise over 30 days."""
    change_median: float
    """Median of the absolute daily changes, as fractions of the earlier margin; NaN if none."""
    change_95: float
    """95th percentile of the absolute daily changes; NaN if there are none."""


def days_apart(time: TimeArray, days: float) -> tuple[IntArray, IntArray]:
    """Return the pairs of rows whose times are a number of days apart.

    Parameters
    ----------
    time : datetime64[ms] array of shape (n_dates,), UTC
        Ascending.
    days : float

    Returns
    -------
    earlier, later : int64 arrays of shape (n_pairs,)
        Row indices. The later row is the one closest to `days` after the earlier one; a pair is
        left out if it misses by more than half a day.
    """
    stamps = time.astype("datetime64[ms]").astype(np.int64)
    wanted = stamps + round(days * DAY_MS)
    right = np.clip(np.searchsorted(stamps, wanted), 0, max(stamps.size - 1, 0))
    left = np.maximum(right - 1, 0)
    closer_left = np.abs(stamps[left] - wanted) < np.abs(stamps[right] - wanted)
    later = np.where(closer_left, left, right)
    rows = np.arange(stamps.size)
    kept = (np.abs(stamps[later] - wanted) <= DAY_MS // 2) & (later > rows)
    return rows[kept], later[kept]


def largest_rise(time: TimeArray, path: FloatArray, days: float) -> float:
    """Return the largest rise over a number of days, as a fraction of the earlier margin.

    Parameters
    ----------
    time : datetime64[ms] array of shape (n_dates,), UTC
        Ascending.
    path : float64 array of shape (n_dates,)
        Margins in any unit, not negative.
    days : float

    Returns
    -------
    float
        0 if there are no such pairs of dates. Negative if the margin fell over all of them.
    """
    before, after = days_apart(time, days)
    if before.size == 0:
        return 0.0
    return float((path[after] / np.maximum(path[before], _LEAST)).max()) - 1.0


def daily_changes(time: TimeArray, path: FloatArray) -> FloatArray:
    """Return the changes from day to day as fractions of the earlier margin.

    `time` is datetime64[ms] (n_dates,), UTC, ascending; `path` is float64 (n_dates,), margins in
    any unit. The result is float64 (n_changes,); pairs with an earlier margin of 0 are left out.
    """
    before, after = days_apart(time, 1.0)
    used = path[before] > 0.0
    return path[after[used]] / path[before[used]] - 1.0


def path_statistics(time: TimeArray, path: FloatArray) -> PathStatistics:
    """Return the statistics of a margin over time.

    Parameters
    ----------
    time : datetime64[ms] array of shape (n_dates,), UTC
        Ascending, at least one date.
    path : float64 array of shape (n_dates,)
        Margins in any unit, not negative, without NaN.
    """
    changes = np.abs(daily_changes(time, path))
    return PathStatistics(
        dates=path.size,
        mean=float(path.mean()),
        peak_to_trough=float(path.max()) / max(float(path.min()), _LEAST),
        rise_1d=max(largest_rise(time, path, 1), 0.0),
        rise_5d=max(largest_rise(time, path, 5), 0.0),
        rise_30d=max(largest_rise(time, path, 30), 0.0),
        change_median=float(np.median(changes)) if changes.size else float("nan"),
        change_95=float(np.quantile(changes, 0.95)) if changes.size else float("nan"),
    )
