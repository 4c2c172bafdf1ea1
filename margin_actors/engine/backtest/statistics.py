"""Tests of a series of exceptions: losses beyond the margin.

References
----------
Kupiec, P. (1995), "Techniques for verifying the accuracy of risk measurement models", Journal of
Derivatives 3.
Christoffersen, P. (1998), "Evaluating interval forecasts", International Economic Review 39.
Basel Committee (1996), "Supervisory framework for the use of backtesting".
"""

from dataclasses import dataclass
from math import erfc, exp, lgamma, log, log1p, sqrt
from typing import Literal, TypeAlias

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray

Light: TypeAlias = Literal["green", "yellow", "red"]
_YELLOW, _RED = 0.95, 0.9999


@dataclass(frozen=True, slots=True)
class ExceptionTest:
    """What the tests say of one series."""

    days: int
    exceptions: int
    expected: float
    kupiec: float
    """Likelihood ratio, chi-square with 1 degree of freedom."""
    kupiec_p: float
    independence: float
    """Christoffersen's likelihood ratio of independence, chi-square with 1."""
    independence_p: float
    conditional: float
    """Sum of the two, chi-square with 2."""
    conditional_p: float
    light: Light
    severity_mean: float
    """Mean loss beyond the margin over the margin, in exceptions; 0 without any."""
    severity_max: float

    @property
    def passes(self) -> bool:
        """Neither coverage nor independence is rejected at 5 %, or there was less than expected."""
        too_few = self.exceptions <= self.expected
        return (too_few or self.kupiec_p >= 0.05) and self.independence_p >= 0.05


def _chi_square_1(value: float) -> float:
    return erfc(sqrt(max(value, 0.0) / 2.0))


def _log_likelihood(hits: int, total: int, p: float) -> float:
    """Return hits ln p + (total - hits) ln(1 - p), with 0 ln 0 = 0."""
    out = hits * log(p) if hits else 0.0
    return out + ((total - hits) * log1p(-p) if total > hits else 0.0)


def kupiec(exceptions: int, days: int, confidence: float) -> tuple[float, float]:
    """Return (likelihood ratio, p-value) of the proportion of failures.

    Examples
    --------
    >>> round(kupiec(6, 255, 0.99)[0], 3)  # just inside the 95 % region, x < 7 (Kupiec's table)
    3.415
    """
    if not 0 <= exceptions <= days or days < 1:
        raise ValueError(f"{exceptions} exceptions in {days} days")
    expected = 1.0 - confidence
    found = exceptions / days
    free = _log_likelihood(exceptions, days, found) if 0 < exceptions < days else 0.0
    ratio = 2.0 * (free - _log_likelihood(exceptions, days, expected))
    return ratio, _chi_square_1(ratio)


def christoffersen(hits: BoolArray) -> tuple[float, float]:
    """Return (likelihood ratio, p-value) of independence from one day to the next."""
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
    """Return the Basel zone: the chance of at most so many exceptions under a true model.

    Yellow from 95 %, red from 99.99 %.

    Examples
    --------
    >>> [traffic_light(x, 250, 0.99) for x in (4, 5, 9, 10)]
    ['green', 'yellow', 'yellow', 'red']
    """
    p = 1.0 - confidence
    chance = 0.0
    for x in range(exceptions + 1):
        ways = lgamma(days + 1) - lgamma(x + 1) - lgamma(days - x + 1)
        chance += exp(ways + _log_likelihood(x, days, p))
    if chance < _YELLOW:
        return "green"
    return "yellow" if chance < _RED else "red"


def judge(profit_usd: FloatArray, margin_usd: FloatArray, confidence: float) -> ExceptionTest:
    """Return the tests of one series of profits against margins, one element a day.

    A loss beyond the margin is an exception. Days must not overlap for the p-values to mean
    anything.
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
