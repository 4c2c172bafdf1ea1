"""Zero-coupon curves of one currency, from published yields.

Rates are continuously compounded, times are ACT/365 years. Between nodes, rate times time (minus
the logarithm of the discount factor) is linear in time, so that the forward rate is constant; the
zero rate is constant before the first and beyond the last node.

References
----------
Hagan, P. and West, G. (2006), "Interpolation methods for curve construction", Applied Mathematical
Finance 13: "raw" interpolation.
US Department of the Treasury, "Treasury yield curve methodology": the published constant-maturity
rates are par yields with semiannual compounding (bond equivalent).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.errors import InvalidMarketData, Problem, raise_if_any
from margin_actors.numerics.elementary import exponentials, logarithms

RATE_MAX = 10.0
"""Largest absolute zero rate, fraction per year."""
_HALF_YEAR = 0.5


@dataclass(frozen=True)
class RateCurve:
    """Zero rates of one currency.

    Raises InvalidMarketData if the nodes are not positive and ascending, or a rate is not a finite
    number of at most `RATE_MAX` in absolute value.
    """

    day: date
    """Day of the most recent of the published values."""
    tenor_years: FloatArray
    """float64 (n_nodes,): times of the nodes, years of 365 days; positive, ascending."""
    zero_rate: FloatArray
    """float64 (n_nodes,): continuously compounded rates to the nodes, fractions per year."""

    def __post_init__(self) -> None:
        tenors, rates = self.tenor_years, self.zero_rate
        problems: list[Problem] = []
        if tenors.size == 0 or tenors.shape != rates.shape:
            problems.append(
                Problem("rate curve", f"{tenors.size} times and {rates.size} rates", "give pairs")
            )
        elif not (np.all(np.isfinite(tenors)) and tenors[0] > 0 and np.all(np.diff(tenors) > 0)):
            problems.append(
                Problem("rate curve", "the times are not positive and ascending", "sort them")
            )
        bad = rates[~(np.abs(rates) <= RATE_MAX)]
        problems += [
            Problem("rate curve", f"{rate} is not a rate", f"at most {RATE_MAX:g} a year")
            for rate in bad
        ]
        raise_if_any(problems, InvalidMarketData, f"the rate curve of {self.day} is unusable")

    def rate(self, tenor_years: float) -> float:
        """Return the continuously compounded zero rate to a time, a fraction per year.

        `tenor_years` is at least 0; at 0 it is the rate to the first node.
        """
        tenors, rates = self.tenor_years, self.zero_rate
        if tenor_years <= tenors[0]:
            return float(rates[0])
        if tenor_years >= tenors[-1]:
            return float(rates[-1])
        j = int(np.searchsorted(tenors, tenor_years))
        before, after = tenors[j - 1] * rates[j - 1], tenors[j] * rates[j]
        share = (tenor_years - tenors[j - 1]) / (tenors[j] - tenors[j - 1])
        return float((before + share * (after - before)) / tenor_years)

    def discount(self, tenor_years: float) -> float:
        """Return the discount factor to a time of at least 0 years."""
        return float(exponentials(np.array([-self.rate(tenor_years) * tenor_years]))[0])

    def content(self) -> list[object]:
        """Return what the content id of a snapshot covers."""
        return [self.day.isoformat(), self.tenor_years, self.zero_rate]


def curve_from_yields(
    day: date, yields: Mapping[float, float], *, overnight: float | None = None
) -> RateCurve:
    """Return the zero curve of an overnight rate and of par yields.

    Yields to six months are those of bills: D(T) = (1 + y / 2)^(-2 T). For longer maturities,
    discount factors at half-years follow from par bonds with semiannual coupons ("bootstrap"), with
    the par yield linear between the given maturities:

        D(t_k) = (1 - c / 2 * (D(t_1) + ... + D(t_(k-1)))) / (1 + c / 2).

    Coupon dates are taken at exact half-years. The overnight rate is simple interest over one day,
    ACT/360: D(1 / 365) = 1 / (1 + r / 360).

    Parameters
    ----------
    day : date
        Day of the most recent value.
    yields : mapping of float to float
        Par yield with semiannual compounding, a fraction per year, by maturity in years.
    overnight : float, optional
        Overnight rate, a fraction per year.

    Raises
    ------
    InvalidMarketData
        If there is neither a yield nor an overnight rate, or a rate is not possible.

    Examples
    --------
    >>> curve = curve_from_yields(date(2026, 2, 20), {0.5: 0.04})
    >>> round(curve.discount(0.5), 6)  # 1 / 1.02
    0.980392
    """
    impossible = [
        Problem("rate curve", f"a yield of {y:g} at {t:g} years", "give fractions above -1")
        for t, y in [*yields.items(), *([] if overnight is None else [(0.0, overnight)])]
        if not (-1.0 < y < RATE_MAX)
    ]
    raise_if_any(impossible, InvalidMarketData, f"the yields of {day} are unusable")
    nodes: dict[float, float] = {}
    if overnight is not None:
        nodes[1.0 / 365.0] = 365.0 * _ln(1.0 + overnight / 360.0)
    given = sorted(yields.items())
    nodes |= {t: 2.0 * _ln(1.0 + y / 2.0) for t, y in given if t <= _HALF_YEAR}
    nodes |= _bootstrapped(given)
    tenors = sorted(nodes)
    return RateCurve(day, np.array(tenors), np.array([nodes[t] for t in tenors]))


def _bootstrapped(given: list[tuple[float, float]]) -> dict[float, float]:
    """Return the zero rates at the half-years after the first, up to the longest maturity."""
    if not given or given[-1][0] <= _HALF_YEAR:
        return {}
    maturities, par = np.array([t for t, _ in given]), np.array([y for _, y in given])
    dates = np.arange(1, round(given[-1][0] / _HALF_YEAR) + 1) * _HALF_YEAR
    coupons = np.interp(dates, maturities, par)
    total, out = 0.0, dict[float, float]()
    for t, c in zip(dates.tolist(), coupons.tolist(), strict=True):
        discount = (1.0 - 0.5 * c * total) / (1.0 + 0.5 * c)
        if not discount > 0.0:
            raise InvalidMarketData(
                "the par yields admit no discount factors",
                [Problem("rate curve", f"a par yield of {c:g} at {t:g} years", "check the yields")],
            )
        total += discount
        if t > _HALF_YEAR:
            out[t] = -_ln(discount) / t
    return out


def _ln(x: float) -> float:
    return float(logarithms(np.array([x]))[0][0])
