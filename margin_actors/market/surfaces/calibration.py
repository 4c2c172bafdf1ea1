"""Least-squares fit of one smile slice: Levenberg-Marquardt on bounded, robust residuals.

A clearing house needs prices that can be traded, so the smile should pass between the bid and the
ask of each quote. With d the distance of the smile from the middle of a quote in half-spreads, the
quote has two residuals: a weak pull towards the middle, bounded for outliers, and
e / sqrt(1 + e**2) with e = max(|d| - 0.9, 0) / 0.3, which counts how many quotes are missed rather
than by how much. Each grid point adds a residual that pushes Durrleman's g above zero (no butterfly
arbitrage), one that pushes the total variance above that of the previous expiry (no calendar
arbitrage), and one for a soft ceiling. The weight of the first two rises until a check on a denser
grid finds no violation, at most six times.

scipy.optimize.least_squares solves the same problem; for 24 expiries with 4 starts each, it took
more than the one second available per snapshot, against 0.07 s here; and its steps use BLAS, whose
last bits depend on the processor. All steps here use this project's own exponential and a plain
Cholesky factorisation.
"""

from typing import NamedTuple

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.market.surfaces.sabr import sabr_volatility
from margin_actors.market.surfaces.svi import svi_density_factor, svi_variance
from margin_actors.numerics.elementary import exponential, logarithm_in_two_parts
from margin_actors.numerics.jit import compiled, inlined

SVI, SABR = 0, 1
_INSIDE = 0.9
_MISS_SCALE = 0.3
_DENSITY_MARGIN = 0.002
_CALENDAR_MARGIN = 0.0002
_CEILING_WEIGHT = 3.0


class SliceProblem(NamedTuple):
    """Data of the fit of one slice."""

    model: int
    """`SVI` or `SABR`."""
    tenor: float
    """Years, positive."""
    beta: float
    """Exponent of SABR; not used by SVI."""
    k: FloatArray
    """float64 (n_quotes,), log-moneyness ln(K / F)."""
    middle: FloatArray
    """float64 (n_quotes,), annual volatility halfway between bid and ask."""
    half_spread: FloatArray
    """float64 (n_quotes,), half the bid-ask spread, annual volatility, positive."""
    grid: FloatArray
    """float64 (n_grid,), log-moneyness at which arbitrage is penalised."""
    floor: FloatArray
    """float64 (n_grid,), total variance of the previous expiry; 0 if there is none."""
    ceiling: FloatArray
    """float64 (n_grid,), total variance of a first fit of the next expiry, without floor and
    ceiling (1e300 if there is none): a soft upper bound that keeps a wing without quotes below
    the total variance of the next expiry."""
    check: FloatArray
    """float64 (n_check,), log-moneyness at which the result is checked; denser than the grid."""
    check_floor: FloatArray
    """float64 (n_check,), as `floor`."""


class Weights(NamedTuple):
    """Weights of the residuals."""

    pull: float
    """Weight of the distance to the middle of the quotes."""
    penalty: float
    """Weight of the arbitrage residuals; if 0, no residuals of the grid are computed."""
    margin: float
    """Multiple of `_DENSITY_MARGIN` and `_CALENDAR_MARGIN`."""


@inlined
def _tanh(x: float) -> float:
    e = exponential(-2.0 * abs(x))
    t = (1.0 - e) / (1.0 + e)
    return t if x >= 0.0 else -t


@compiled
def natural_parameters(model: int, x: FloatArray, tenor: float, beta: float) -> FloatArray:
    """Return float64 (5,): (a, b, rho, m, sigma) of SVI or (alpha, beta, rho, nu, tenor) of SABR.

    `x` holds the free parameters, dimensionless: float64 (5,), (ln of the smallest variance, ln b,
    atanh rho, m, ln sigma), of SVI or float64 (3,), (ln alpha, atanh rho, ln nu), of SABR. `tenor`
    is in years.
    """
    p = np.empty(5)
    if model == SVI:
        b, rho, sigma = exponential(x[1]), _tanh(x[2]), exponential(x[4])
        p[0] = exponential(x[0]) - b * sigma * np.sqrt(1.0 - rho * rho)
        p[1], p[2], p[3], p[4] = b, rho, x[3], sigma
    else:
        p[0], p[1], p[2], p[3], p[4] = (
            exponential(x[0]),
            beta,
            _tanh(x[1]),
            exponential(x[2]),
            tenor,
        )
    return p


@inlined
def _variance(model: int, k: float, p: FloatArray) -> float:
    if model == SVI:
        return svi_variance(k, p[0], p[1], p[2], p[3], p[4])
    vol = sabr_volatility(k, p[0], p[1], p[2], p[3], p[4])
    return vol * vol * p[4]


@inlined
def _density(model: int, k: float, p: FloatArray) -> float:
    if model == SVI:
        return svi_density_factor(k, p[0], p[1], p[2], p[3], p[4])
    h = 1e-3
    w, up, down = _variance(model, k, p), _variance(model, k + h, p), _variance(model, k - h, p)
    w1, w2 = (up - down) / (2.0 * h), (up - 2.0 * w + down) / (h * h)
    half = 1.0 - 0.5 * k * w1 / w
    return half * half - 0.25 * w1 * w1 * (1.0 / w + 0.25) + 0.5 * w2


@compiled
def _residuals(problem: SliceProblem, x: FloatArray, weights: Weights, out: FloatArray) -> None:
    k, tenor, grid = problem.k, problem.tenor, problem.grid
    p = natural_parameters(problem.model, x, tenor, problem.beta)
    n, m = k.size, grid.size
    for i in range(n):
        w = max(_variance(problem.model, k[i], p), 1e-14)
        d = (np.sqrt(w / tenor) - problem.middle[i]) / problem.half_spread[i]
        out[i] = weights.pull * d / np.sqrt(1.0 + d * d / 9.0)
        e = max(abs(d) - _INSIDE, 0.0) / _MISS_SCALE
        out[n + i] = np.copysign(e / np.sqrt(1.0 + e * e), d)
    if weights.penalty == 0.0:
        return
    for j in range(m):
        g = _density(problem.model, grid[j], p)
        w = _variance(problem.model, grid[j], p)
        out[2 * n + j] = weights.penalty * max(weights.margin * _DENSITY_MARGIN - g, 0.0)
        floor, ceiling = problem.floor[j], problem.ceiling[j]
        short = max(floor * (1.0 + weights.margin * _CALENDAR_MARGIN) - w, 0.0)
        out[2 * n + m + j] = 10.0 * weights.penalty * short / (floor + 1e-4)
        over = max(w - ceiling, 0.0)
        out[2 * n + 2 * m + j] = _CEILING_WEIGHT * over / (ceiling + 1e-4)


@compiled
def _solve(matrix: FloatArray, vector: FloatArray, damping: float, out: FloatArray) -> bool:
    """Write the solution of (A + damping * diag A) out = vector.

    Return False if that matrix is not positive definite. Only the lower triangle of A is read.
    """
    n = vector.size
    lower = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            if i == j:
                total += damping * (matrix[i, i] + 1e-8)
            for q in range(j):
                total -= lower[i, q] * lower[j, q]
            if i == j:
                if not total > 0.0:
                    return False
                lower[i, i] = np.sqrt(total)
            else:
                lower[i, j] = total / lower[j, j]
    for i in range(n):
        total = vector[i]
        for q in range(i):
            total -= lower[i, q] * out[q]
        out[i] = total / lower[i, i]
    for r in range(n):
        i = n - 1 - r
        total = out[i]
        for q in range(i + 1, n):
            total -= lower[q, i] * out[q]
        out[i] = total / lower[i, i]
    return True


@compiled
def _descend(
    problem: SliceProblem,
    x: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    weights: Weights,
    iterations: int,
) -> float:
    """Improve `x` in place and return the sum of squared residuals."""
    n_residuals, n_free = 2 * problem.k.size, x.size
    if weights.penalty > 0.0:
        n_residuals += 3 * problem.grid.size
    r, trial = np.empty(n_residuals), np.empty(n_residuals)
    jacobian = np.empty((n_free, n_residuals))
    step, moved = np.empty(n_free), np.empty(n_free)
    _residuals(problem, x, weights, r)
    value = 0.0
    for i in range(n_residuals):
        value += r[i] * r[i]
    damping = 1e-3
    for _ in range(iterations):
        for p in range(n_free):
            moved[:] = x
            h = 1e-6 * max(abs(x[p]), 0.1)
            moved[p] += h
            _residuals(problem, moved, weights, trial)
            for i in range(n_residuals):
                jacobian[p, i] = (trial[i] - r[i]) / h
        normal, gradient = np.zeros((n_free, n_free)), np.zeros(n_free)
        for p in range(n_free):
            for i in range(n_residuals):
                gradient[p] -= jacobian[p, i] * r[i]
            for q in range(p + 1):
                total = 0.0
                for i in range(n_residuals):
                    total += jacobian[p, i] * jacobian[q, i]
                normal[p, q] = total
        improved, reached = False, value
        for _attempt in range(8):
            if _solve(normal, gradient, damping, step):
                for p in range(n_free):
                    bounded = min(max(step[p], -1.0), 1.0)
                    moved[p] = min(max(x[p] + bounded, lower[p]), upper[p])
                _residuals(problem, moved, weights, trial)
                reached = 0.0
                for i in range(n_residuals):
                    reached += trial[i] * trial[i]
                if reached < value:
                    improved = True
                    break
            damping *= 4.0
        if not improved:
            break
        x[:] = moved
        r[:] = trial
        damping = max(0.3 * damping, 1e-9)
        is_settled = value - reached < 1e-7 * value
        value = reached
        if is_settled:
            break
    return value


@compiled
def worst_arbitrage(
    model: int, p: FloatArray, check: FloatArray, floor: FloatArray
) -> tuple[float, float]:
    """Return (least g, least relative rise of w above `floor`) over the points of `check`.

    `p` are the natural parameters, float64 (5,); `check` is log-moneyness and `floor` total
    variance, both float64 (n_check,). A negative value is a violation.
    """
    density, rise = np.inf, np.inf
    for j in range(check.size):
        density = min(density, _density(model, check[j], p))
        rise = min(rise, (_variance(model, check[j], p) - floor[j]) / (floor[j] + 1e-12))
    return density, rise


@compiled
def _start(problem: SliceProblem, number: int, x: FloatArray) -> None:
    """Write starting point `number`, 0 to 3, to `x`: tilted down or up, narrow or wide."""
    nearest = np.argmin(np.abs(problem.k))
    at_money = max(problem.middle[nearest], 0.01)
    w0 = at_money * at_money * problem.tenor
    deviation = np.sqrt(w0)
    tilt = -0.5 if number % 2 == 0 else 0.3
    width = 0.5 if number < 2 else 2.0
    if problem.model == SVI:
        ln_w, _low = logarithm_in_two_parts(0.8 * w0)
        ln_b, _low = logarithm_in_two_parts(0.5 * deviation / (1.0 + width))
        ln_sigma, _low = logarithm_in_two_parts(width * deviation)
        x[0], x[1], x[2], x[3], x[4] = ln_w, ln_b, tilt, 0.0, ln_sigma
    else:
        ln_alpha, _low = logarithm_in_two_parts(at_money)
        ln_nu, _low = logarithm_in_two_parts(width * 0.7 / np.sqrt(problem.tenor + 0.02))
        x[0], x[1], x[2] = ln_alpha, tilt, ln_nu


@compiled
def fit_slice(
    problem: SliceProblem, warm: FloatArray
) -> tuple[FloatArray, FloatArray, float, float]:
    """Return (free parameters, natural parameters, least g, least calendar rise) of the best fit.

    Shapes are (n_free,), with n_free 5 for SVI and 3 for SABR, and (5,); see `natural_parameters`
    and `worst_arbitrage`.

    Parameters
    ----------
    problem : SliceProblem
    warm : float64 (n_free,) or empty
        Free parameters of an earlier fit, used as an additional starting point.
    """
    n_free = 5 if problem.model == SVI else 3
    lower, upper = np.empty(n_free), np.empty(n_free)
    if problem.model == SVI:
        lower[:] = np.array([-30.0, -14.0, -4.0, -1.5, -7.0])
        upper[:] = np.array([4.0, 1.0, 4.0, 1.5, 1.5])
    else:
        lower[:] = np.array([-6.0, -4.0, -6.0])
        upper[:] = np.array([3.0, 4.0, 4.5])
    best, best_x = np.inf, np.zeros(n_free)
    # Three parameters rarely give arbitrage: SABR is first fitted to the quotes alone, in a fifth
    # of the time, and the penalty is added only if the check below fails.
    penalty = 30.0 if problem.model == SVI else 0.0
    # Four starting points; with an earlier fit, that fit (number 4) and the two that tilt down.
    for attempt in range(4 if warm.size == 0 else 3):
        start = attempt if warm.size == 0 else 4 - 2 * attempt
        x = np.empty(n_free)
        if start == 4:
            x[:] = warm
        else:
            _start(problem, start, x)
        for p in range(n_free):
            x[p] = min(max(x[p], lower[p]), upper[p])
        if start < 4:
            _descend(problem, x, lower, upper, Weights(0.5, penalty, 1.0), 25)
        value = _descend(problem, x, lower, upper, Weights(0.1, penalty, 1.0), 30)
        if value < best:
            best = value
            best_x[:] = x
    margin = 1.0
    density, rise = 0.0, 0.0
    natural = np.zeros(5)
    for check in range(6):
        natural = natural_parameters(problem.model, best_x, problem.tenor, problem.beta)
        density, rise = worst_arbitrage(problem.model, natural, problem.check, problem.check_floor)
        if (density >= 0.0 and rise >= 0.0) or check == 5:
            break
        penalty = 4.0 * penalty if penalty > 0.0 else 30.0
        margin *= 2.5
        _descend(problem, best_x, lower, upper, Weights(0.1, penalty, margin), 60)
    return best_x, natural, density, rise
