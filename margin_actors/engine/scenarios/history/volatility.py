"""Conditional variances: exponentially weighted squares and GARCH(1,1).

Both use the recursion var[t + 1] = omega + alpha r[t]^2 + beta var[t], where var[t + 1] is known
before r[t + 1]; a missing return leaves the variance unchanged. Fitted GARCH parameters are rounded
to seven significant digits, so that a scenario set does not depend on the last bits of an
optimiser.

References
----------
Longerstaey, J. (1996), "RiskMetrics technical document", ch. 5.
Bollerslev, T. (1986), "Generalized autoregressive conditional heteroskedasticity", Journal of
Econometrics 31.
"""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.numerics.jit import compiled

_PER_CENT = 100.0


@dataclass(frozen=True, slots=True)
class Recursion:
    """Parameters of var[t + 1] = omega + alpha r[t]^2 + beta var[t]."""

    omega: float
    alpha: float
    beta: float
    initial: float
    """Variance of the first return."""

    @property
    def persistence(self) -> float:
        """Share of a shock to the variance that remains after one step."""
        return self.alpha + self.beta


@compiled
def _variances(
    returns: FloatArray, omega: float, alpha: float, beta: float, initial: float, out: FloatArray
) -> None:
    out[0] = initial
    for t in range(returns.size):
        r = returns[t]
        out[t + 1] = out[t] if np.isnan(r) else omega + alpha * (r * r) + beta * out[t]


@compiled
def _covariances(
    first: FloatArray, second: FloatArray, decay: float, initial: float, out: FloatArray
) -> None:
    out[0] = initial
    for t in range(first.size):
        product = first[t] * second[t]
        out[t + 1] = out[t] if np.isnan(product) else (1.0 - decay) * product + decay * out[t]


def variances(returns: FloatArray, recursion: Recursion) -> FloatArray:
    """Return the conditional variances of a series.

    Parameters
    ----------
    returns : float64 (n,)
        Log returns of one step; NaN if missing.
    recursion : Recursion

    Returns
    -------
    float64 (n + 1,)
        Element t is the variance of return t, known before it; the last element is the current
        variance.
    """
    out = np.empty(returns.size + 1)
    _variances(
        np.ascontiguousarray(returns),
        recursion.omega,
        recursion.alpha,
        recursion.beta,
        recursion.initial,
        out,
    )
    return out


def mean_square(returns: FloatArray, steps: int) -> float:
    """Return the mean square of the first `steps` returns that are not NaN, at least 1e-12.

    `returns` are log returns, float64 (n,).
    """
    known = returns[np.isfinite(returns)][:steps]
    return max(float(np.mean(known * known)) if known.size else 0.0, 1e-12)


def ewma(returns: FloatArray, decay: float, warm_up: int) -> Recursion:
    """Return the recursion of exponentially weighted squares of returns; beta is `decay`.

    `returns` are log returns, float64 (n,).
    """
    return Recursion(0.0, 1.0 - decay, decay, mean_square(returns, warm_up))


def ewma_covariances(
    first: FloatArray, second: FloatArray, decay: float, warm_up: int
) -> FloatArray:
    """Return exponentially weighted covariances of two series of returns.

    Parameters
    ----------
    first, second : float64 (n,)
        Log returns of one step; NaN if missing.
    decay : float
        Weight of the covariance of the previous step.
    warm_up : int
        Number of products whose mean is the initial covariance.

    Returns
    -------
    float64 (n + 1,)
        Element t is known before return t, as in `variances`.
    """
    product = first * second
    known = product[np.isfinite(product)][:warm_up]
    initial = float(np.mean(known)) if known.size else 0.0
    out = np.empty(first.size + 1)
    _covariances(np.ascontiguousarray(first), np.ascontiguousarray(second), decay, initial, out)
    return out


def fit_garch(returns: FloatArray, warm_up: int) -> Recursion:
    """Return a zero-mean GARCH(1,1) with normal errors, fitted by maximum likelihood with ``arch``.

    Parameters
    ----------
    returns : float64 array (n,)
        Log returns of one step; NaN if missing.
    warm_up : int
        Number of returns whose mean square is the initial variance.
    """
    from arch import arch_model  # imports scipy and statsmodels, so only where it is needed

    known = returns[np.isfinite(returns)] * _PER_CENT
    fitted = arch_model(known, mean="Zero", vol="GARCH", p=1, q=1, rescale=False).fit(
        disp="off", show_warning=False
    )
    omega, alpha, beta = (
        float(f"{v:.7g}") for v in fitted.params[["omega", "alpha[1]", "beta[1]"]]
    )
    return Recursion(omega / _PER_CENT**2, alpha, beta, mean_square(returns, warm_up))
