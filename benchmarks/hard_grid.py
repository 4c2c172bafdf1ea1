# pyright: basic
"""Errors of Black-76 prices against 50 digits, over a grid of difficult points.

Tenors from one minute to three years, volatilities from 1 % to 500 %, strikes far in the wings.
"""

from typing import Any

import mpmath as mp
import numpy as np

from margin_actors.numerics.black76 import black76_price

TENORS = (1 / 525600, 5 / 525600, 60 / 525600, 1 / 365, 7 / 365, 0.25, 1.0, 3.0)
VOLS = (0.01, 0.05, 0.2, 0.6, 1.5, 5.0)
STEPS = (-30, -12, -6, -4, -2.5, -1, -0.3, -0.01, 0, 0.003, 0.1, 0.7, 2, 3.3, 5, 8, 20)
RATIOS = (0.01, 0.1, 0.5, 0.9, 0.99, 1.01, 1.1, 2, 10, 100)


def exact_price(F: Any, K: Any, s: Any, is_call: bool) -> mp.mpf:
    """Return the undiscounted Black-76 price with 50 digits; s is volatility * sqrt(tenor)."""
    with mp.workdps(50):
        F, K, s = mp.mpf(F), mp.mpf(K), mp.mpf(s)
        d1 = mp.log(F / K) / s + s / 2
        d2 = d1 - s
        cdf = lambda x: mp.erfc(-x / mp.sqrt(2)) / 2  # noqa: E731
        return F * cdf(d1) - K * cdf(d2) if is_call else K * cdf(-d2) - F * cdf(-d1)


def points() -> list[tuple[float, float, float, bool]]:
    out = []
    for F in (60_822.0, 1_777.13):
        for T in TENORS:
            for vol in VOLS:
                s = vol * float(np.sqrt(T))
                strikes = [F * float(np.exp(z * s)) for z in STEPS] + [F * m for m in RATIOS]
                out += [(F, K, s, c) for K in strikes if 1e-3 < K < 1e12 for c in (True, False)]
    return out


def errors() -> dict[str, float]:
    """Return the largest errors over the grid and the number of negative prices.

    The absolute error is a fraction of max(F, K); the relative error is for prices above 1e-8 F.
    """
    grid = points()
    F, K, s, call = (np.array(c) for c in zip(*grid, strict=True))
    ours = black76_price(F, K, s, call)
    absolute = relative = 0.0
    for price, point in zip(ours, grid, strict=True):
        true = exact_price(*point)
        error = float(abs(mp.mpf(float(price)) - true))
        absolute = max(absolute, error / max(point[0], point[1]))
        if true > 1e-8 * point[0]:
            relative = max(relative, error / float(true))
    return {
        "points": len(grid),
        "absolute": absolute,
        "relative": relative,
        "negative": int((ours < 0).sum()),
    }
