"""Interpolation that single outliers do not move, and the exclusion of points that contradict it.

A point is predicted from the three nearest points on either side: each pair of a left and a right
neighbour gives one linear interpolation, and the prediction is the median of the up to nine. One
wrong neighbour spoils three of them. A point without neighbours on one side is extrapolated along
the lines through the pairs of its three nearest neighbours on the other side.
"""

from collections.abc import Callable

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray

_NEIGHBOURS = np.arange(3)
_ONE_SIDED = ((0, 1), (0, 2), (1, 2))
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution divided by its median absolute deviation."""

Score = Callable[[FloatArray, FloatArray, BoolArray], FloatArray]
"""Function (residuals, spreads of the predictions, points in use) -> scores; above 1: an outlier.
All arrays have shape (n_points,)."""


def predictions(x: FloatArray, y: FloatArray, at: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return robust interpolations at `at` that use no point at the same place.

    Parameters
    ----------
    x : float64 (n_points,)
        Ascending and distinct; log-moneyness or years.
    y : float64 (n_points,)
        Volatilities, variances or log ratios.
    at : float64 (n_queries,)

    Returns
    -------
    value : float64 (n_queries,)
        In the unit of `y`; NaN with fewer than two neighbours.
    spread : float64 (n_queries,)
        1.4826 times the median absolute deviation of the interpolations from `value`; of an
        extrapolation also half its distance from the nearest neighbour.
    """
    first_right = np.searchsorted(x, at, side="right")[:, None] + _NEIGHBOURS
    last_left = np.searchsorted(x, at, side="left")[:, None] - 1 - _NEIGHBOURS
    left_x, left_y = _taken(x, last_left), _taken(y, last_left)
    right_x, right_y = _taken(x, first_right), _taken(y, first_right)
    pairs = _line(
        left_x[:, :, None], left_y[:, :, None], right_x[:, None], right_y[:, None],
        at[:, None, None],
    ).reshape(at.size, -1)  # fmt: skip
    only = [
        np.stack(
            [_line(side_x[:, i], side_y[:, i], side_x[:, j], side_y[:, j], at)
             for i, j in _ONE_SIDED], axis=1,
        )
        for side_x, side_y in ((left_x, left_y), (right_x, right_y))
    ]  # fmt: skip
    two_sided: BoolArray = np.asarray(np.isfinite(pairs).any(axis=1), np.bool_)
    alone = [np.where(two_sided[:, None], np.nan, lines) for lines in only]
    every = np.concatenate([pairs, *alone], axis=1)
    value = row_medians(every)
    spread = NORMAL_MAD * row_medians(np.abs(every - value[:, None]))
    nearest = np.where(np.isfinite(left_y[:, 0]), left_y[:, 0], right_y[:, 0])
    return value, spread + np.where(two_sided, 0.0, 0.5 * np.abs(value - nearest))


def _taken(values: FloatArray, index: np.ndarray) -> FloatArray:
    inside = (index >= 0) & (index < values.size)
    return np.where(inside, values[np.clip(index, 0, values.size - 1)], np.nan)


def _line(
    x0: FloatArray, y0: FloatArray, x1: FloatArray, y1: FloatArray, at: FloatArray
) -> FloatArray:
    return y0 + (y1 - y0) * ((at - x0) / (x1 - x0))


def row_medians(values: FloatArray) -> FloatArray:
    """Return the median of each row, without NaN; NaN for a row without numbers.

    `values` is float64 (n_rows, n_columns) in any units.
    """
    ordered = np.sort(values, axis=1)  # NaN come last
    count = np.isfinite(values).sum(axis=1)
    low, high = np.maximum((count - 1) // 2, 0), count // 2
    high = np.minimum(high, values.shape[1] - 1)
    rows = np.arange(values.shape[0])
    middle = 0.5 * (ordered[rows, low] + ordered[rows, high])
    return np.where(count > 0, middle, np.nan)


def residuals(
    x: FloatArray, y: FloatArray, use: BoolArray, *, anchor: bool
) -> tuple[FloatArray, FloatArray]:
    """Return (distance of each point from its prediction by the others, spread of that).

    Parameters
    ----------
    x, y : float64 (n_points,)
        In any order; `x` may repeat, and then the mean of the points in use at one place counts
        once, without predicting points at that place.
    use : bool (n_points,)
        Points from which the others are predicted.
    anchor : bool
        Predict from the point (0, 0) as well.
    """
    place, inverse = np.unique(x[use], return_inverse=True)
    if place.size == 0:
        return np.full(x.size, np.nan), np.full(x.size, np.nan)
    level = np.bincount(inverse, y[use]) / np.bincount(inverse)
    if anchor:
        place, level = np.append(0.0, place), np.append(0.0, level)
    value, spread = predictions(place, level, x)
    return y - value, spread


def outliers(
    x: FloatArray, y: FloatArray, use: BoolArray, score: Score, *, anchor: bool = False
) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Return which points contradict the others; arguments are as `residuals`.

    The point with the highest score above 1 is removed until there is none or half of the points
    are removed. Each removed point is then judged again by the remaining ones: a point that only a
    wrong neighbour made suspicious returns.

    Returns
    -------
    found : bool (n_points,)
    residual : float64 (n_points,)
        Distance from the prediction by the points not found; NaN if it cannot be predicted.
    scores : float64 (n_points,)
        0 for points that cannot be predicted.
    """
    kept = use.copy()
    for _ in range(1 + int(use.sum()) // 2):
        residual, spread = residuals(x, y, kept, anchor=anchor)
        scores = np.nan_to_num(score(residual, spread, kept))
        live = np.where(kept, scores, 0.0)
        worst = int(np.argmax(live)) if live.size else 0
        if live.size == 0 or live[worst] <= 1.0:
            break
        kept[worst] = False
    residual, spread = residuals(x, y, kept, anchor=anchor)
    scores = np.nan_to_num(score(residual, spread, kept))
    return use & ~kept & (scores > 1.0), residual, scores
