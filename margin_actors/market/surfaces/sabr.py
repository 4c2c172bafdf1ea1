"""The SABR smile in Hagan's lognormal expansion, as a function of log-moneyness.

The forward is scaled to 1: with f = 1 and K = exp(k), alpha is the usual alpha * F**(beta - 1),
which is an annual volatility for every beta.

References
----------
Hagan, P., Kumar, D., Lesniewski, A., Woodward, D. (2002), "Managing smile risk", Wilmott, eq. 2.17.
"""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.numerics.elementary import exponential, logarithm_in_two_parts
from margin_actors.numerics.instructions import maximum
from margin_actors.numerics.jit import compiled, inlined

_SERIES_BELOW = 1e-4


@dataclass(frozen=True, slots=True)
class SabrSlice:
    """SABR parameters of one expiry, with the forward scaled to 1."""

    alpha: float
    """Level: alpha of the paper times F**(beta - 1), annual volatility, positive."""
    beta: float
    """Backbone exponent, in [0, 1]; chosen, not fitted."""
    rho: float
    """Correlation of forward and volatility, in (-1, 1)."""
    nu: float
    """Volatility of volatility, annual, at least 0."""
    tenor_years: float
    """Time to expiry in years, ACT/365."""

    def total_variance(self, log_moneyness: FloatArray) -> FloatArray:
        """Return w(k) = vol(k)**2 * T at k = ln(K / F), dimensionless, shaped like its argument.

        `log_moneyness` is float64 of any shape, dimensionless.
        """
        k = np.ascontiguousarray(log_moneyness, np.float64)
        out = np.empty_like(k)
        _variances(
            k.ravel(), self.alpha, self.beta, self.rho, self.nu, self.tenor_years, out.ravel()
        )
        return out

    def density_factor(self, log_moneyness: FloatArray) -> FloatArray:
        """Return Durrleman's g(k) by central differences, shaped like its argument.

        There is no butterfly arbitrage where g >= 0. `log_moneyness` is ln(K / F), float64 of any
        shape.
        """
        k = np.asarray(log_moneyness, np.float64)
        h = 1e-4
        w, up, down = self.total_variance(k), self.total_variance(k + h), self.total_variance(k - h)
        w1, w2 = (up - down) / (2 * h), (up - 2 * w + down) / (h * h)
        return (1.0 - 0.5 * k * w1 / w) ** 2 - 0.25 * w1 * w1 * (1.0 / w + 0.25) + 0.5 * w2


@inlined
def sabr_volatility(
    k: float, alpha: float, beta: float, rho: float, nu: float, tenor: float
) -> float:
    """Return the annual volatility at k = ln(K / F), at least 1e-8; for compiled kernels."""
    one_minus_beta = 1.0 - beta
    power = exponential(0.5 * one_minus_beta * k)  # (f K) ** ((1 - beta) / 2)
    z = -nu / alpha * power * k
    numerator = np.sqrt(1.0 - 2.0 * rho * z + z * z) + z - rho
    x, _ = logarithm_in_two_parts(maximum(numerator / (1.0 - rho), 1e-300))
    is_series = abs(z) < _SERIES_BELOW
    safe_x = 1.0 if is_series else x
    series = 1.0 - 0.5 * rho * z + (2.0 - 3.0 * rho * rho) / 12.0 * z * z
    ratio = series if is_series else z / safe_x
    c2 = one_minus_beta * one_minus_beta
    bk = c2 * k * k
    denominator = power * (1.0 + bk / 24.0 + bk * bk / 1920.0)
    drift = (
        c2 / 24.0 * alpha * alpha / (power * power)
        + 0.25 * rho * beta * nu * alpha / power
        + (2.0 - 3.0 * rho * rho) / 24.0 * nu * nu
    )
    return maximum(alpha / denominator * ratio * (1.0 + drift * tenor), 1e-8)


@compiled
def _variances(
    k: FloatArray,
    alpha: float,
    beta: float,
    rho: float,
    nu: float,
    tenor: float,
    out: FloatArray,
) -> None:
    for i in range(k.size):
        vol = sabr_volatility(k[i], alpha, beta, rho, nu, tenor)
        out[i] = vol * vol * tenor
