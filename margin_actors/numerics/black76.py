"""Black's formula for an option on a forward, its greeks and its inverse.

Only the out-of-the-money option is computed; the other follows by parity, C - P = F - K. With
h = |ln F - ln K|, s = sigma * sqrt(T), u = h/s - s/2 and v = h/s + s/2, its undiscounted price is

    min(F, K) * N(-u) - max(F, K) * N(-v).

Since min(F, K) * phi(u) = max(F, K) * phi(v), both terms share one exponential, and with N(-d)
written as exp(-d**2 / 2) * P(d) / Q(d) the two divisions by Q become one. There are no branches, so
the compiler vectorises the loop: 1.5 ns per price on the machine of benchmarks/RESULTS.md.

The error is about 1e-15 * max(F, K); benchmarks/RESULTS.md has results on a difficult grid.

References
----------
Black, F. (1976), "The pricing of commodity contracts", Journal of Financial Economics 3, eq. 16.
"""

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray
from margin_actors.numerics.elementary import (
    TAIL_ARGUMENT_MAX,
    exponential,
    exponentials,
    logarithm_in_two_parts,
    logarithms,
    normal_tail_ratio,
)
from margin_actors.numerics.instructions import (
    fused_multiply_add,
    maximum,
    minimum,
    select_nonnegative,
)
from margin_actors.numerics.jit import compiled, inlined

_INVERSE_ROOT_TWO_PI = 0.3989422804014327
DEVIATION_MIN = 1e-100
"""Lower bound of sigma * sqrt(T); below it an option is worth its intrinsic value to the last
bit."""


@inlined
def out_of_the_money(smaller: float, h: float, s: float) -> float:
    """Return the undiscounted price of the out-of-the-money option.

    `smaller` is min(F, K), `h` is |ln F - ln K|, `s` is sigma * sqrt(T) and at least DEVIATION_MIN.
    """
    x = h / s
    half = 0.5 * s
    u = x - half
    v = minimum(x + half, TAIL_ARGUMENT_MAX)
    g = smaller * exponential(-0.5 * (u * u))
    pu, qu = normal_tail_ratio(minimum(abs(u), TAIL_ARGUMENT_MAX))
    pv, qv = normal_tail_ratio(v)
    nearer = pu * qv
    # For u < 0 (d1 > 0 for a call), N(-u) = 1 - N(u).
    difference = select_nonnegative(u, nearer, -nearer) - pv * qu
    base = select_nonnegative(u, 0.0, smaller)
    return maximum(fused_multiply_add(g, difference / (qu * qv), base), 0.0)


@inlined
def option_price(F: float, K: float, h: float, s: float, sign: float) -> float:
    """Return the undiscounted price of an option, in the unit of the forward.

    `h` is |ln F - ln K|, `s` is sigma * sqrt(T), `sign` is +1 for a call and -1 for a put.
    """
    intrinsic = maximum(sign * (F - K), 0.0)
    return out_of_the_money(minimum(F, K), h, maximum(s, DEVIATION_MIN)) + intrinsic


@compiled
def price_grid(
    F: FloatArray,
    ln_F: FloatArray,
    ln_F_low: FloatArray,
    K: FloatArray,
    ln_K: FloatArray,
    ln_K_low: FloatArray,
    sign: FloatArray,
    s: FloatArray,
    out: FloatArray,
) -> None:
    """Write the undiscounted price of option i at forward j to out[i, j].

    Parameters
    ----------
    F, ln_F, ln_F_low : float64 arrays of shape (n_forwards,)
        Forwards, and their logarithms as unevaluated sums (high, low).
    K, ln_K, ln_K_low : float64 arrays of shape (n_options,)
        Strikes, in the unit of the forwards, and their logarithms.
    sign : float64 array of shape (n_options,)
        Sign of the payoff: +1 for a call, -1 for a put.
    s : float64 array of shape (n_options,)
        sigma * sqrt(T).
    out : float64 array of shape (n_options, n_forwards)
        Receives the prices, in the unit of the forwards.
    """
    for i in range(K.size):
        k, lk, lk_low, w, si = K[i], ln_K[i], ln_K_low[i], sign[i], s[i]
        for j in range(F.size):
            h = abs((ln_F[j] - lk) + (ln_F_low[j] - lk_low))
            out[i, j] = option_price(F[j], k, h, si, w)


@compiled
def _prices(F: FloatArray, K: FloatArray, s: FloatArray, sign: FloatArray, out: FloatArray) -> None:
    for i in range(F.size):
        f_high, f_low = logarithm_in_two_parts(F[i])
        k_high, k_low = logarithm_in_two_parts(K[i])
        h = abs((f_high - k_high) + (f_low - k_low))
        out[i] = option_price(F[i], K[i], h, s[i], sign[i])


def black76_price(
    forward: FloatArray | float,
    strike: FloatArray | float,
    deviation: FloatArray | float,
    is_call: BoolArray | bool,
) -> FloatArray:
    """Return undiscounted Black-76 prices, in the unit of the forward.

    Parameters
    ----------
    forward, strike : float64 arrays
        Positive, in the same unit. All arguments broadcast together.
    deviation : float64 array
        sigma * sqrt(T), at least 0.
    is_call : bool array
        True for a call, False for a put.

    Returns
    -------
    float64 array of the broadcast shape
        Prices, never negative.

    Raises
    ------
    ValueError
        If a forward or strike is not positive and finite, or a deviation is negative or NaN.

    Examples
    --------
    >>> float(black76_price(100.0, 100.0, 0.2, True).round(6))
    7.965567
    """
    F, K, s, call = np.broadcast_arrays(
        np.asarray(forward, np.float64), np.asarray(strike, np.float64), deviation, is_call
    )
    for name, values in (("forward", F), ("strike", K)):
        if not np.all((values > 0) & np.isfinite(values)):
            raise ValueError(f"every {name} must be positive and finite")
    if not np.all(s >= 0):
        raise ValueError("every deviation (sigma * sqrt(T)) must be at least 0")
    out = np.empty(F.shape)
    sign = np.where(call, 1.0, -1.0)
    _prices(
        np.ascontiguousarray(F).ravel(),
        np.ascontiguousarray(K).ravel(),
        np.ascontiguousarray(s, dtype=np.float64).ravel(),
        np.ascontiguousarray(sign).ravel(),
        out.ravel(),
    )
    return out


def black76_vega(
    forward: FloatArray, strike: FloatArray, vol_annual: FloatArray, tenor_years: FloatArray
) -> FloatArray:
    """Return dPrice/dsigma, undiscounted, in the unit of the forward per unit of volatility.

    Parameters
    ----------
    forward, strike : float64 arrays
        Positive, in the same unit. All arguments broadcast together.
    vol_annual : float64 array
        Annual volatility, as a fraction.
    tenor_years : float64 array
        Time to expiry, years.

    Returns
    -------
    float64 array of the broadcast shape

    Raises
    ------
    ValueError
        If a forward or strike is not positive and finite.
    """
    s = np.maximum(vol_annual * np.sqrt(tenor_years), DEVIATION_MIN)
    d1 = logarithms(forward / strike)[0] / s + 0.5 * s
    return forward * exponentials(-0.5 * d1 * d1) * _INVERSE_ROOT_TWO_PI * np.sqrt(tenor_years)


@compiled
def _normal_cdf(x: FloatArray, out: FloatArray) -> None:
    for i in range(x.size):
        d = minimum(abs(x[i]), TAIL_ARGUMENT_MAX)
        p, q = normal_tail_ratio(d)
        tail = exponential(-0.5 * (d * d)) * p / q
        out[i] = 1.0 - tail if x[i] > 0.0 else tail


def black76_delta(
    forward: FloatArray,
    strike: FloatArray,
    vol_annual: FloatArray,
    tenor_years: FloatArray,
    is_call: BoolArray,
) -> FloatArray:
    """Return dPrice/dF, undiscounted: N(d1) for a call, N(d1) - 1 for a put.

    Arguments, result and errors as `black76_vega`; `is_call` is a bool array, True for a call.
    """
    s = np.maximum(vol_annual * np.sqrt(tenor_years), DEVIATION_MIN)
    d1 = logarithms(forward / strike)[0] / s + 0.5 * s
    out = np.empty(d1.size)
    _normal_cdf(np.ascontiguousarray(d1).ravel(), out)
    return np.where(is_call, out.reshape(d1.shape), out.reshape(d1.shape) - 1.0)


@compiled
def _deviations(
    price: FloatArray,
    F: FloatArray,
    K: FloatArray,
    sign: FloatArray,
    out: FloatArray,
) -> None:
    for i in range(price.size):
        smaller = min(F[i], K[i])
        target = price[i] - max(sign[i] * (F[i] - K[i]), 0.0)
        if not (0.0 < target < smaller):
            out[i] = 0.0 if target == 0.0 else np.nan
            continue
        f_high, f_low = logarithm_in_two_parts(F[i])
        k_high, k_low = logarithm_in_two_parts(K[i])
        h = abs((f_high - k_high) + (f_low - k_low))
        # Newton's method in s on ln(price), with a bisection step whenever an iterate would leave
        # the bracket. The price rises with s, from 0 at 0 to min(F, K) at infinity.
        low, high = 0.0, 80.0
        s = max(np.sqrt(2.0 * h), 0.05)
        for _ in range(100):
            value = out_of_the_money(smaller, h, max(s, DEVIATION_MIN))
            if value > target:
                high = s
            else:
                low = s
            x = h / s - 0.5 * s
            vega = smaller * exponential(-0.5 * x * x) * _INVERSE_ROOT_TWO_PI
            step = np.nan
            if value > 1e-290 and vega > 1e-290:
                ln_high, _ = logarithm_in_two_parts(target / value)
                step = ln_high * value / vega
            moved = s + step
            if not (low < moved < high):
                moved = 0.5 * (low + high)
            if abs(moved - s) <= 2e-16 * moved:
                s = moved
                break
            s = moved
        out[i] = s


def black76_implied_deviation(
    price: FloatArray, forward: FloatArray, strike: FloatArray, is_call: BoolArray
) -> FloatArray:
    """Return the sigma * sqrt(T) at which the undiscounted price is as given.

    Parameters
    ----------
    price, forward, strike : float64 arrays
        All in the same unit; forward and strike must be positive. All arguments broadcast
        together.
    is_call : bool array
        True for a call, False for a put.

    Returns
    -------
    float64 array of the broadcast shape
        0 where the price equals its intrinsic value, NaN where no volatility gives the price.
    """
    p, F, K, call = np.broadcast_arrays(price, forward, strike, is_call)
    out = np.empty(p.shape)
    sign = np.where(call, 1.0, -1.0)
    flat = [np.ascontiguousarray(a, dtype=np.float64).ravel() for a in (p, F, K, sign)]
    _deviations(flat[0], flat[1], flat[2], flat[3], out.ravel())
    return out


__all__ = [
    "DEVIATION_MIN",
    "black76_implied_deviation",
    "black76_price",
    "black76_vega",
    "option_price",
    "out_of_the_money",
    "price_grid",
]
