"""Rolling median and median absolute deviation (MAD), in one pass with a sorted window."""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.numerics.jit import compiled


@compiled
def _position(window: FloatArray, size: int, value: float) -> int:
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if window[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _middle(window: FloatArray, size: int) -> float:
    half = size // 2
    return window[half] if size % 2 == 1 else 0.5 * (window[half - 1] + window[half])


@compiled
def _mad(window: FloatArray, size: int, centre: float) -> float:
    """Return the median distance to `centre`, by an outward merge through the sorted window."""
    left = _position(window, size, centre) - 1
    right = left + 1
    last, before = 0.0, 0.0
    for _ in range(size // 2 + 1):
        before = last
        if right >= size or (left >= 0 and centre - window[left] <= window[right] - centre):
            last = centre - window[left]
            left -= 1
        else:
            last = window[right] - centre
            right += 1
    return last if size % 2 == 1 else 0.5 * (before + last)


@compiled
def rolling_median_and_mad(
    values: FloatArray, window: int, median: FloatArray, mad: FloatArray
) -> None:
    """Write the median and MAD of the last `window` finite values before each point.

    The point itself is not part of its window. Both are NaN if fewer than five finite values
    precede it. `values`, `median` and `mad` are float64 (n_points,), in one unit; MAD is not scaled
    to a standard deviation.
    """
    ordered, ring = np.empty(window), np.empty(window)
    size, oldest = 0, 0
    for i in range(values.size):
        if size >= 5:
            centre = _middle(ordered, size)
            median[i], mad[i] = centre, _mad(ordered, size, centre)
        else:
            median[i], mad[i] = np.nan, np.nan
        value = values[i]
        if not np.isfinite(value):
            continue
        if size == window:
            at = _position(ordered, size, ring[oldest])
            for j in range(at, size - 1):
                ordered[j] = ordered[j + 1]
            size -= 1
        at = _position(ordered, size, value)
        for j in range(size, at, -1):
            ordered[j] = ordered[j - 1]
        ordered[at] = value
        size += 1
        ring[oldest] = value
        oldest = (oldest + 1) % window
