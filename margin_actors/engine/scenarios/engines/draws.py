"""Draws of Monte Carlo rows; each row is a function of the seed and its row number.

Any slice of rows can be drawn on any machine, in any order, and has the same bits: the random
numbers are Philox words indexed within the row, and all further operations are additions,
multiplications, divisions, square roots and the package's own logarithm.
"""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.numerics.counter_random import normal_quantile, uniform_of
from margin_actors.numerics.elementary import logarithm_in_two_parts
from margin_actors.numerics.jit import compiled, inlined

MAP_REACH = 1024
"""Number of points of a map on each side of 0."""
MAP_POINTS = 2 * MAP_REACH + 1
MAP_STEP = 12.0 / MAP_REACH
"""Spacing of the points of a map in asinh of the t variate, which reaches 81,000 on each side."""
_STREAM = 1 << 41


@inlined
def _mapped(x: float, table: FloatArray) -> float:
    """Return a map at x: linear in asinh x between its points, constant beyond its ends."""
    size = abs(x)
    turned, _ = logarithm_in_two_parts(size + np.sqrt(size * size + 1.0))
    if x < 0.0:
        turned = -turned
    place = turned / MAP_STEP + MAP_REACH
    place = min(max(place, 0.0), MAP_POINTS - 1.0)
    left = min(int(place), MAP_POINTS - 2)
    share = place - left
    return table[left] + share * (table[left + 1] - table[left])


@inlined
def _chi_square(seed: int, stream: int, first: int, dof: int) -> float:
    """Return a chi-square variate: dof // 2 exponentials and, if dof is odd, a squared normal."""
    total = 0.0
    product = 1.0
    for i in range(dof // 2):
        product *= uniform_of(seed, stream, first + i)
        if product < 1e-200:
            part, _ = logarithm_in_two_parts(product)
            total -= 2.0 * part
            product = 1.0
    part, _ = logarithm_in_two_parts(product)
    total -= 2.0 * part
    if dof % 2 == 1:
        z = normal_quantile(uniform_of(seed, stream, first + dof // 2))
        total += z * z
    return total


@compiled
def draw_rows(
    seed: int,
    first: int,
    dof: int,
    lower: FloatArray,
    maps: FloatArray,
    coefficients: FloatArray,
    residuals: FloatArray,
    moves: bool,
    path_share: FloatArray,
    bridge: FloatArray,
    spot: FloatArray,
    path: FloatArray,
    basis: FloatArray,
    vol: FloatArray,
    perpetual: FloatArray,
) -> None:
    """Write rows first, first + 1, ... to the last five arguments, in place.

    All moves are changes of logarithms.

    Parameters
    ----------
    seed : int
    first : int
        Number of the first row.
    dof : int
        Degrees of freedom of the t copula.
    lower : float64 (d, d)
        Cholesky factor of the correlations; factors are the spot returns, then, if `moves`, the
        moves of the 30-day volatilities, then, if `perpetual` has columns, those of the basis of
        perpetuals.
    maps : float64 (d, MAP_POINTS)
        Moves of each factor by t variate; see `MAP_STEP`.
    coefficients : float64 (n_underlyings, 4, n_nodes)
        Regression of each node on 1, r, max(-r, 0) and the move of the 30-day volatility.
    residuals : float64 (n_history, n_underlyings, n_nodes)
        Residuals of the regressions; one row is drawn per scenario.
    moves : bool
        Whether the volatility surface moves.
    path_share : float64 (n_path,)
        Elapsed share of the window.
    bridge : float64 (n_underlyings, n_path)
        Standard deviation of the log path around the straight line.
    spot : float64 (n, n_underlyings)
        Changes of the logarithms of the indices over the window.
    path : float64 (n, n_underlyings, n_path)
        Changes of the logarithms of the indices since the start of the window.
    basis : float64 (n, n_underlyings, n_tenors)
        Changes of ln(F / S).
    vol : float64 (n, n_underlyings, n_nodes - n_tenors)
        Changes of the logarithms of volatilities.
    perpetual : float64 (n, n_underlyings or 0)
        Changes of ln(perpetual / S), the last of the factors; not written if it has no columns.
    """
    d, nu = lower.shape[0], spot.shape[1]
    n_path, n_basis, n_vol = path.shape[2], basis.shape[2], vol.shape[2]
    z, factor = np.empty(d), np.empty(d)
    for row in range(spot.shape[0]):
        stream = _STREAM + first + row
        for i in range(d):
            z[i] = normal_quantile(uniform_of(seed, stream, i))
        scale = np.sqrt(dof / _chi_square(seed, stream, d, dof))
        at = d + dof // 2 + 1
        for i in range(d):
            x = 0.0
            for j in range(i + 1):
                x += lower[i, j] * z[j]
            factor[i] = _mapped(x * scale, maps[i])
        drawn = int(uniform_of(seed, stream, at) * residuals.shape[0])
        for u in range(nu):
            r = factor[u]
            off = normal_quantile(uniform_of(seed, stream, at + 1 + u))
            spot[row, u] = r
            if perpetual.shape[1] > 0:
                perpetual[row, u] = factor[d - nu + u]
            for j in range(n_path):
                path[row, u, j] = r * path_share[j] + off * bridge[u, j]
            if not moves:
                basis[row, u, :] = 0.0
                vol[row, u, :] = 0.0
                continue
            v = factor[nu + u]
            fall = max(-r, 0.0)
            for j in range(n_basis):
                basis[row, u, j] = (
                    coefficients[u, 0, j]
                    + coefficients[u, 1, j] * r
                    + coefficients[u, 2, j] * fall
                    + coefficients[u, 3, j] * v
                    + residuals[drawn, u, j]
                )
            for j in range(n_vol):
                k = n_basis + j
                vol[row, u, j] = (
                    coefficients[u, 0, k]
                    + coefficients[u, 1, k] * r
                    + coefficients[u, 2, k] * fall
                    + coefficients[u, 3, k] * v
                    + residuals[drawn, u, k]
                )
