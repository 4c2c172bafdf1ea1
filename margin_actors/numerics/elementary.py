"""exp, log and the scaled normal tail, with the same bits on every processor.

`numpy.exp` and `numpy.log` use different implementations on different processors, whose results
differ in the last bits, so a margin based on them could not be reproduced elsewhere. The functions
of this module use only additions, multiplications, divisions and fused multiply-adds, whose
rounding IEEE 754 defines uniquely. They contain no branches, so the compiler can vectorise them.
"""

from math import factorial

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.numerics.instructions import (
    SHIFTER,
    exponent_and_mantissa,
    fused_multiply_add,
    maximum,
    minimum,
    power_of_two,
)
from margin_actors.numerics.jit import compiled, inlined

TAIL_ARGUMENT_MAX = 39.0
"""Largest argument of `normal_tail_ratio`; beyond it exp(-d**2 / 2) is below the smallest normal
double."""

_LOG2_E = 1.4426950408889634
_LN2_HIGH = float.fromhex("0x1.62e42fefa3800p-1")  # 42 bits: n * _LN2_HIGH is exact
_LN2_LOW = float.fromhex("0x1.ef35793c76730p-45")
_EXP_MIN, _EXP_MAX = -708.0, 709.0
_SCALE_BITS = 54
"""Multiplication by 2**_SCALE_BITS turns every subnormal number into a normal one."""

_E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11, _E12, _E13 = (
    1.0 / factorial(n) for n in range(2, 14)
)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9, _L10 = (2.0 / (2 * n + 3) for n in range(11))

# N(-d) = exp(-d**2 / 2) * P(d) / Q(d): the minimax rational of degree 9 over 10 for the relative
# error on [0, 39], 5.1e-17, found by benchmarks/fit_normal_tail.py. All coefficients are positive,
# so neither sum cancels.
(_P0, _P1, _P2, _P3, _P4, _P5, _P6, _P7, _P8, _P9) = (
    0.5,
    0.7748813363945758,
    0.5940573308468832,
    0.28934075265128906,
    0.0977030904221266,
    0.023623597837140693,
    0.0040895690221013185,
    0.0004904552820653554,
    3.725769906554277e-05,
    1.3858641550144805e-06,
)
(_Q1, _Q2, _Q3, _Q4, _Q5, _Q6, _Q7, _Q8, _Q9, _Q10) = (
    2.347647233592007,
    2.56126614358871,
    1.7144141208466943,
    0.7820614942205161,
    0.2549695641947646,
    0.06043802009732787,
    0.010344420532595483,
    0.001232862923942126,
    9.339120192324852e-05,
    3.473846275767203e-06,
)


@inlined
def exponential(x: float) -> float:
    """Return e**x within 1 unit in the last place, with x clamped to [-708, 709]."""
    x = maximum(minimum(x, _EXP_MAX), _EXP_MIN)
    shifted = fused_multiply_add(x, _LOG2_E, SHIFTER)
    n = shifted - SHIFTER
    r = fused_multiply_add(n, -_LN2_HIGH, x)
    r = fused_multiply_add(n, -_LN2_LOW, r)
    p = fused_multiply_add(r, _E13, _E12)
    p = fused_multiply_add(p, r, _E11)
    p = fused_multiply_add(p, r, _E10)
    p = fused_multiply_add(p, r, _E9)
    p = fused_multiply_add(p, r, _E8)
    p = fused_multiply_add(p, r, _E7)
    p = fused_multiply_add(p, r, _E6)
    p = fused_multiply_add(p, r, _E5)
    p = fused_multiply_add(p, r, _E4)
    p = fused_multiply_add(p, r, _E3)
    p = fused_multiply_add(p, r, _E2)
    p = fused_multiply_add(p, r, 1.0)
    p = fused_multiply_add(p, r, 1.0)
    return p * power_of_two(shifted)


@inlined
def logarithm_in_two_parts(x: float) -> tuple[float, float]:
    """Return (high, low) with high + low = ln x within 1e-18, for x positive, finite and normal.

    The price of a near-the-money option one minute before expiry depends on ln(F / K) to a few
    parts in 1e17 of ln F itself. The second term holds the digits that a single double drops.
    """
    n, m = exponent_and_mantissa(x)
    numerator = m - 1.0
    denominator = m + 1.0
    dropped = m - (denominator - 1.0)
    t = numerator / denominator
    remainder = fused_multiply_add(-t, denominator, numerator) - t * dropped
    t_low = remainder / denominator
    t2 = t * t
    p = fused_multiply_add(t2, _L10, _L9)
    p = fused_multiply_add(p, t2, _L8)
    p = fused_multiply_add(p, t2, _L7)
    p = fused_multiply_add(p, t2, _L6)
    p = fused_multiply_add(p, t2, _L5)
    p = fused_multiply_add(p, t2, _L4)
    p = fused_multiply_add(p, t2, _L3)
    p = fused_multiply_add(p, t2, _L2)
    p = fused_multiply_add(p, t2, _L1)
    p = fused_multiply_add(p, t2, _L0)
    tail = fused_multiply_add(t2 * t, p, 2.0 * t_low)
    head = n * _LN2_HIGH
    twice = 2.0 * t
    total = head + twice
    carried = total - head
    error = (head - (total - carried)) + (twice - carried)
    low = error + fused_multiply_add(n, _LN2_LOW, tail)
    high = total + low
    return high, low - (high - total)


@inlined
def normal_tail_ratio(d: float) -> tuple[float, float]:
    """Return (P, Q) with N(-d) = exp(-d**2 / 2) * P / Q, for d in [0, 39]."""
    p = fused_multiply_add(d, _P9, _P8)
    p = fused_multiply_add(p, d, _P7)
    p = fused_multiply_add(p, d, _P6)
    p = fused_multiply_add(p, d, _P5)
    p = fused_multiply_add(p, d, _P4)
    p = fused_multiply_add(p, d, _P3)
    p = fused_multiply_add(p, d, _P2)
    p = fused_multiply_add(p, d, _P1)
    p = fused_multiply_add(p, d, _P0)
    q = fused_multiply_add(d, _Q10, _Q9)
    q = fused_multiply_add(q, d, _Q8)
    q = fused_multiply_add(q, d, _Q7)
    q = fused_multiply_add(q, d, _Q6)
    q = fused_multiply_add(q, d, _Q5)
    q = fused_multiply_add(q, d, _Q4)
    q = fused_multiply_add(q, d, _Q3)
    q = fused_multiply_add(q, d, _Q2)
    q = fused_multiply_add(q, d, _Q1)
    q = fused_multiply_add(q, d, 1.0)
    return p, q


@compiled
def _logarithms(x: FloatArray, high: FloatArray, low: FloatArray) -> None:
    for i in range(x.size):
        high[i], low[i] = logarithm_in_two_parts(x[i])


@compiled
def _exponentials(x: FloatArray, out: FloatArray) -> None:
    for i in range(x.size):
        out[i] = exponential(x[i])


def logarithms(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ln x as an unevaluated sum (high, low) of two arrays shaped like `x`.

    Parameters
    ----------
    x : float64 array of any shape
        Positive and finite.

    Returns
    -------
    two float64 arrays of the shape of `x`
        high and low; see `logarithm_in_two_parts`.

    Raises
    ------
    ValueError
        If an element is not a positive finite number.
    """
    values = np.ascontiguousarray(x, dtype=np.float64)
    if not np.all((values > 0.0) & (values < np.inf)):
        bad = values[~((values > 0.0) & (values < np.inf))]
        raise ValueError(
            f"the argument of a logarithm must be positive and finite, got {bad.flat[0]!r}"
        )
    high, low = np.empty_like(values), np.empty_like(values)
    subnormal = values < np.finfo(np.float64).tiny
    has_subnormal = bool(np.any(subnormal))
    if has_subnormal:  # the kernel reads the exponent field, which is zero for subnormal numbers
        values = values.copy()
        values[subnormal] *= 2.0**_SCALE_BITS
    _logarithms(values.ravel(), high.ravel(), low.ravel())
    if has_subnormal:
        high = np.where(subnormal, high - _SCALE_BITS * _LN2_HIGH, high)
        low = np.where(subnormal, low - _SCALE_BITS * _LN2_LOW, low)
    return high, low


def exponentials(x: FloatArray) -> FloatArray:
    """Return e**x, with the argument clamped to [-708, 709].

    `x` is a float64 array of any shape, dimensionless; the result has the same shape.
    """
    values = np.ascontiguousarray(x, dtype=np.float64)
    out = np.empty_like(values)
    _exponentials(values.ravel(), out.ravel())
    return out
