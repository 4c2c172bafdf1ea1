"""The SVI smile: total variance of one expiry as a function of log-moneyness.

    w(k) = a + b (rho (k - m) + sqrt((k - m)**2 + sigma**2)),   k = ln(K / F),   w = vol**2 * T

References
----------
Gatheral, J. (2004), "A parsimonious arbitrage-free implied volatility parameterization", raw form.
Gatheral, J. and Jacquier, A. (2014), "Arbitrage-free SVI volatility surfaces", Quantitative Finance
14, eq. 2.1 (Durrleman's g).
"""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.numerics.jit import inlined


@dataclass(frozen=True, slots=True)
class SviSlice:
    """Raw SVI parameters of one expiry, for total rather than annual variance."""

    a: float
    """Level of total variance."""
    b: float
    """Slope of the wings, at least 0."""
    rho: float
    """Tilt, in (-1, 1)."""
    m: float
    """Shift along log-moneyness."""
    sigma: float
    """Curvature at the bottom; positive."""

    def total_variance(self, log_moneyness: FloatArray) -> FloatArray:
        """Return w(k) at k = ln(K / F), dimensionless, shaped like its argument.

        `log_moneyness` is float64 of any shape, dimensionless.
        """
        y = np.asarray(log_moneyness, np.float64) - self.m
        return self.a + self.b * (self.rho * y + np.sqrt(y * y + self.sigma * self.sigma))

    def density_factor(self, log_moneyness: FloatArray) -> FloatArray:
        """Return Durrleman's g(k), shaped like its argument.

        There is no butterfly arbitrage where g >= 0. `log_moneyness` is ln(K / F), float64 of any
        shape.
        """
        y = np.asarray(log_moneyness, np.float64) - self.m
        root = np.sqrt(y * y + self.sigma * self.sigma)
        return _g(
            np.asarray(log_moneyness, np.float64),
            self.a + self.b * (self.rho * y + root),
            self.b * (self.rho + y / root),
            self.b * self.sigma * self.sigma / root**3,
        )


def _g(k: FloatArray, w: FloatArray, w1: FloatArray, w2: FloatArray) -> FloatArray:
    return (1.0 - 0.5 * k * w1 / w) ** 2 - 0.25 * w1 * w1 * (1.0 / w + 0.25) + 0.5 * w2


@inlined
def svi_variance(k: float, a: float, b: float, rho: float, m: float, sigma: float) -> float:
    """Return w(k); for compiled kernels."""
    y = k - m
    return a + b * (rho * y + np.sqrt(y * y + sigma * sigma))


@inlined
def svi_density_factor(k: float, a: float, b: float, rho: float, m: float, sigma: float) -> float:
    """Return Durrleman's g(k); for compiled kernels."""
    y = k - m
    root = np.sqrt(y * y + sigma * sigma)
    w = a + b * (rho * y + root)
    w1 = b * (rho + y / root)
    w2 = b * sigma * sigma / (root * root * root)
    half = 1.0 - 0.5 * k * w1 / w
    return half * half - 0.25 * w1 * w1 * (1.0 / w + 0.25) + 0.5 * w2
