"""Statistical tests of a series of exceptions, that is, of losses that exceed the margin.

References
----------
Kupiec, P. (1995), "Techniques for verifying the accuracy of risk measurement models", Journal of
Derivatives 3.
Christoffersen, P. (1998), "Evaluating interval forecasts", International Economic Review 39.
Basel Committee (1996), "Supervisory framework for the use of backtesting".
"""

from dataclasses import dataclass
from math import erfc, exp, log, log1p, sqrt
from typing import Literal, TypeAlias

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray

Light: TypeAlias = Literal["green", "yellow", "red"]
_YELLOW, _RED = 0.95, 0.9999


@dataclass(frozen=True, slots=True)
class ExceptionTest:
    """Test results of one series."""

    days: int
    """Number of observations."""
    exceptions: int
    """Number of observations whose loss exceeds the margin."""
    expected: float
    """Expected number of exceptions: days * (1 - confidence)."""
    kupiec: float
    """Kupiec's likelihood ratio of coverage, chi-square with 1 degree of freedom."""
    kupiec_p: float
    independence: float
    """Christoffersen's likelihood ratio of independence, chi-square with 1 degree of freedom."""
    independence_p: float
    conditional: float
    """Conditional coverage: the sum of both ratios, chi-square with 2 degrees of freedom."""
    conditional_p: float
    light: Light
    """Basel traffic light zone."""
    severity_mean: float
    """Mean over the exceptions of (loss - margin) / margin; 0 if there are none."""
    severity_max: float
    """Maximum over the exceptions of (loss - margin) / margin; 0 if there are none."""

    @property
    def passes(self) -> bool:
        """Whether coverage and independence both pass at the 5 % level.

        Coverage also passes if there are at most as many exceptions as expected.
        """
        too_few = self.exceptions <= self.expected
        return (too_few or self.kupiec_p >= 0.05) and self.independence_p >= 0.05


def _chi_square_1(value: float) -> float:
    return erfc(sqrt(max(value, 0.0) / 2.0))


def _log_likelihood(hits: int, total: int, p: float) -> float:
    """Return hits ln p + (total - hits) ln(1 - p), with 0 ln 0 = 0."""
    out = hits * log(p) if hits else 0.0
    return out + ((total - hits) * log1p(-p) if total > hits else 0.0)


def kupiec(exceptions: int, days: int, confidence: float) -> tuple[float, float]:
    """Return (likelihood ratio, p-value) of Kupiec's test of the proportion of failures.

    Raises
    ------
    ValueError
        If `days` is less than 1, or `exceptions` is not between 0 and `days`.

    Examples
    --------
    >>> round(kupiec(6, 255, 0.99)[0], 3)  # just inside the 95 % region, x < 7 (Kupiec's table)
    3.415
    """
    if not 0 <= exceptions <= days or days < 1:
        raise ValueError(
            f"exceptions must be between 0 and days, and days at least 1; got {exceptions}, {days}"
        )
    expected = 1.0 - confidence
    found = exceptions / days
    free = _log_likelihood(exceptions, days, found) if 0 < exceptions < days else 0.0
    ratio = 2.0 * (free - _log_likelihood(exceptions, days, expected))
    return ratio, _chi_square_1(ratio)


def christoffersen(hits: BoolArray) -> tuple[float, float]:
    """Return (likelihood ratio, p-value) of Christoffersen's test of independence.

    Parameters
    ----------
    hits : bool array of shape (n_days,)
        True on days with an exception.

    Returns
    -------
    tuple of float
        (0, 1) if the days after the first are all exceptions or none of them is.
    """
    before, after = hits[:-1], hits[1:]
    n00, n01 = int((~before & ~after).sum()), int((~before & after).sum())
    n10, n11 = int((before & ~after).sum()), int((before & after).sum())
    if n01 + n11 == 0 or n00 + n10 == 0:
        return 0.0, 1.0
    total = n00 + n01 + n10 + n11
    together = _log_likelihood(n01 + n11, total, (n01 + n11) / total)
    apart = 0.0
    for hit, miss in ((n01, n00), (n11, n10)):
        if hit and miss:
            apart += _log_likelihood(hit, hit + miss, hit / (hit + miss))
    ratio = max(2.0 * (apart - together), 0.0)
    return ratio, _chi_square_1(ratio)


def traffic_light(exceptions: int, days: int, confidence: float) -> Light:
    """Return the Basel traffic light zone of a number of exceptions.

    The zone follows from the probability of at most that many exceptions under a correct model:
    yellow from 95 %, red from 99.99 %.

    Examples
    --------
    >>> [traffic_light(x, 250, 0.99) for x in (4, 5, 9, 10)]
    ['green', 'yellow', 'yellow', 'red']
    """
    from scipy.stats import binom  # slow to import, so only where it is needed

    chance = float(binom.cdf(exceptions, days, 1.0 - confidence))
    if chance < _YELLOW:
        return "green"
    return "yellow" if chance < _RED else "red"


def judge(profit_usd: FloatArray, margin_usd: FloatArray, confidence: float) -> ExceptionTest:
    """Return the tests of one series of profits against margins.

    A loss greater than the margin is an exception. The p-values are valid only if the windows of
    the observations do not overlap.

    Parameters
    ----------
    profit_usd : float64 array of shape (n_days,), USD
        Realised profits; a profit is positive.
    margin_usd : float64 array of shape (n_days,), USD
        Margins held against the losses; positive.
    confidence : float in (0, 1)
        Confidence level of the margins.
    """
    losses = -profit_usd
    hits = losses > margin_usd
    days, exceptions = hits.size, int(hits.sum())
    coverage, coverage_p = kupiec(exceptions, days, confidence)
    independence, independence_p = christoffersen(hits)
    conditional = coverage + independence
    over = (losses - margin_usd)[hits] / np.maximum(margin_usd[hits], 1e-12)
    return ExceptionTest(
        days=days,
        exceptions=exceptions,
        expected=days * (1.0 - confidence),
        kupiec=coverage,
        kupiec_p=coverage_p,
        independence=independence,
        independence_p=independence_p,
        conditional=conditional,
        conditional_p=exp(-conditional / 2.0),
        light=traffic_light(exceptions, days, confidence),
        severity_mean=float(over.mean()) if exceptions else 0.0,
        severity_max=float(over.max()) if exceptions else 0.0,
    )
