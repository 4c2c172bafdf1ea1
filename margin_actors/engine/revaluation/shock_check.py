"""Check of shocked surfaces for static arbitrage, and repair of those that admit it.

A scenario's surface is the fitted smile times the scenario's factor on volatility. At the eleven
points of standardised moneyness below, call prices under the scenario must be decreasing and convex
in strike, and total variance at equal log-moneyness must not decrease from one expiry to the next.
If a scenario violates this for an underlying, the underlying's moves across moneyness are shrunk
towards the move at the money, first by half and then completely; this keeps the level of the move
but not its shape. A scenario that still violates the conditions (an inverted term structure) is
counted and its original moves are kept. The numbers of violations and repairs are reported.

Moves that a model prescribes (`Provenance.PRESCRIBED`) are neither checked nor repaired: the repair
would replace a prescribed change of the skew by a parallel one.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation.states import tenor_weights
from margin_actors.engine.scenarios import AT_MONEY, MONEYNESS, Provenance, ScenarioSet
from margin_actors.market.surfaces import VolatilitySurface
from margin_actors.numerics.black76 import DEVIATION_MIN, out_of_the_money
from margin_actors.numerics.elementary import exponential, exponentials
from margin_actors.numerics.instructions import maximum, minimum
from margin_actors.numerics.jit import compiled

_POINTS = np.array([-2.0, -1.5, -1.0, -0.75, -0.5, 0.0, 0.5, 0.75, 1.0, 1.5, 2.0])
_Z = np.array(MONEYNESS)
_RIGHT = np.clip(np.searchsorted(_Z, _POINTS), 1, _Z.size - 1)
_SHARE = (_POINTS - _Z[_RIGHT - 1]) / (_Z[_RIGHT] - _Z[_RIGHT - 1])
_KEPT_MAX = 64
_CONVEXITY_TOLERANCE = 1e-6
_CALENDAR_TOLERANCE = 1e-3
_SHRINKING = (1.0, 0.5, 0.0)


@dataclass(frozen=True, slots=True)
class ShockCheck:
    """Result of the check of one underlying's shocked surfaces; numbers of scenarios."""

    underlying: str
    scenarios: int
    """Scenarios checked."""
    butterfly: int
    """Scenarios with a butterfly arbitrage in some expiry, before the repair."""
    calendar: int
    """Scenarios with a calendar arbitrage between some expiries, before the repair."""
    repaired: int
    """Scenarios free of arbitrage after their moves were shrunk towards the move at the money."""
    left: int
    """Scenarios that still admit arbitrage; their moves are not changed."""

    def sentence(self) -> str:
        """Return the result as one sentence for a report."""
        return (
            f"{self.underlying} shocked surfaces: butterfly arbitrage in {self.butterfly} of "
            f"{self.scenarios} scenarios, calendar arbitrage in {self.calendar}; {self.repaired} "
            f"repaired ({100 * self.repaired / max(self.scenarios, 1):.1f} %), {self.left} not "
            "repaired"
        )


def repair_shocked_surfaces(
    scenarios: ScenarioSet, surfaces: dict[str, VolatilitySurface]
) -> tuple[ScenarioSet, tuple[ShockCheck, ...]]:
    """Return the scenarios with repaired surface moves, and one check per underlying.

    Underlyings without a surface and prescribed moves are not checked. A set that does not move
    volatilities is returned unchanged, without checks.
    """
    if not scenarios.has_surface_moves:
        return scenarios, ()
    vol = scenarios.vol_change
    checks: list[ShockCheck] = []
    for u, name in enumerate(scenarios.underlyings):
        if name not in surfaces:
            continue
        points = _points_of(surfaces[name], scenarios.tenors_days)
        butterfly, calendar = _violations(points, scenarios.vol_change[:, u])
        checked = scenarios.provenance[:, u] != Provenance.PRESCRIBED
        butterfly, calendar = butterfly & checked, calendar & checked
        broken = butterfly | calendar
        if broken.any() and vol is scenarios.vol_change:
            vol = vol.copy()  # rare: most slices of most sets need no repair
        moves = vol[:, u]
        for share in _SHRINKING[1:]:
            rows = np.flatnonzero(broken)
            if rows.size == 0:
                break
            original = scenarios.vol_change[rows, u]
            level = original[:, :, AT_MONEY : AT_MONEY + 1]
            moves[rows] = level + share * (original - level)
            again = _violations(points, moves[rows])
            broken[rows] = again[0] | again[1]
        found = int((butterfly | calendar).sum())
        left = np.flatnonzero(broken)
        if left.size:  # rows that cannot be repaired are left unchanged
            moves[left] = scenarios.vol_change[left, u]
        checks.append(
            ShockCheck(
                underlying=name,
                scenarios=int(checked.sum()),
                butterfly=int(butterfly.sum()),
                calendar=int(calendar.sum()),
                repaired=found - left.size,
                left=left.size,
            )
        )
    applied = scenarios if vol is scenarios.vol_change else replace(scenarios, vol_change=vol)
    return applied, tuple(checks)


class _Points(NamedTuple):
    """Points at which each expiry of a surface is checked."""

    low: IntArray
    """(n_expiries,): constant maturity of the scenario set before the expiry, as index."""
    high: IntArray
    """(n_expiries,): constant maturity after the expiry."""
    share: FloatArray
    """(n_expiries,): weight of the later maturity."""
    k: FloatArray
    """(n_expiries, 11): log-moneyness ln(K / F)."""
    strikes: FloatArray
    """(n_expiries, 11): K / F."""
    variance: FloatArray
    """(n_expiries, 11): total variance of the fitted smile."""
    at: IntArray
    """(n_expiries, 11): see `_earlier_points`."""
    weight: FloatArray
    """(n_expiries, 11): see `_earlier_points`."""


_kept: dict[tuple[str, bytes], _Points] = {}


def _points_of(surface: VolatilitySurface, grid: FloatArray) -> _Points:
    """Return the points of a surface, cached; `grid` holds the set's maturities in days."""
    key = surface.id, grid.tobytes()
    if key in _kept:
        return _kept[key]
    n = len(surface.expiries)
    low, high, share = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    k, variance = np.empty((n, _POINTS.size)), np.empty((n, _POINTS.size))
    for e, (item, smile) in enumerate(zip(surface.expiries, surface.slices, strict=True)):
        low[e], high[e], share[e] = tenor_weights(item.tenor_years * 365.0, grid)
        k[e] = _POINTS * float(np.sqrt(smile.total_variance(np.zeros(1))[0]))
        variance[e] = smile.total_variance(k[e])
    at, weight = _earlier_points(k)
    if len(_kept) >= _KEPT_MAX:
        _kept.clear()
    _kept[key] = _Points(low, high, share, k, exponentials(k), variance, at, weight)
    return _kept[key]


def _violations(points: _Points, moves: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Return (butterfly, calendar) violations, each bool (n_rows,).

    `moves`, (n_rows, n_tenors, n_moneyness), are changes of ln(volatility).
    """
    n = moves.shape[0]
    butterfly, calendar = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    # Rows become the last axis, so that blocks of TILE rows are vectorised.
    _check(np.ascontiguousarray(moves.transpose(1, 2, 0)), *points, butterfly, calendar)
    return butterfly, calendar


def violations_by_expiry(
    surface: VolatilitySurface, moves: FloatArray, tenors_days: FloatArray
) -> tuple[BoolArray, BoolArray]:
    """Return the (butterfly, calendar) violations of each expiry, each bool (n_rows, n_expiries).

    Parameters
    ----------
    surface : VolatilitySurface
    moves : float64 (n_rows, n_tenors, n_moneyness)
        Changes of ln(volatility).
    tenors_days : float64 (n_tenors,)
        Maturities of the moves, days, ascending.

    Notes
    -----
    A row admits arbitrage in `repair_shocked_surfaces` if and only if some expiry does here. A
    calendar violation is attributed to the later of the two expiries.
    """
    points, n = _points_of(surface, tenors_days), len(surface.expiries)
    butterfly = np.zeros((moves.shape[0], n), np.bool_)
    calendar = np.zeros((moves.shape[0], n), np.bool_)
    for e in range(n):
        butterfly[:, e] = _violations(_of_expiries(points, e, e + 1), moves)[0]
        if e > 0:
            calendar[:, e] = _violations(_of_expiries(points, e - 1, e + 1), moves)[1]
    return butterfly, calendar


def _of_expiries(points: _Points, first: int, last: int) -> _Points:
    """Return the points of the expiries [first, last), the first compared with no other expiry."""
    chosen = slice(first, last)
    at = points.at[chosen].copy()
    at[0] = -1
    return _Points(
        points.low[chosen],
        points.high[chosen],
        points.share[chosen],
        points.k[chosen],
        points.strikes[chosen],
        points.variance[chosen],
        at,
        points.weight[chosen],
    )


def _earlier_points(k: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the location of each point of the previous expiry among an expiry's own points.

    Two arrays (n_expiries, n_points): the index of the own point to its right, or -1 if it lies
    outside the own points; and its relative distance from the own point to its left.
    """
    at, weight = np.full(k.shape, -1, np.int64), np.zeros(k.shape)
    for e in range(1, k.shape[0]):
        before, here = k[e - 1], k[e]
        inside = (before >= here[0]) & (before <= here[-1])
        right = np.clip(np.searchsorted(here, before), 1, here.size - 1)
        at[e] = np.where(inside, right, -1)
        weight[e] = (before - here[right - 1]) / (here[right] - here[right - 1])
    return at, weight


@compiled
def _check(
    moves: FloatArray,
    low: IntArray,
    high: IntArray,
    share: FloatArray,
    k: FloatArray,
    strikes: FloatArray,
    variance: FloatArray,
    at: IntArray,
    weight: FloatArray,
    butterfly: BoolArray,
    calendar: BoolArray,
) -> None:
    n_points, n_z, n = k.shape[1], moves.shape[1], moves.shape[2]
    nodes, price = np.zeros((n_z, TILE)), np.zeros((n_points, TILE))
    w, before = np.zeros((n_points, TILE)), np.zeros((n_points, TILE))
    slope, bend, rise = np.zeros(TILE), np.zeros(TILE), np.zeros(TILE)
    short = np.zeros(TILE)
    for first in range(0, n, TILE):
        m = min(TILE, n - first)
        bend[:], rise[:], short[:] = 0.0, 0.0, 0.0
        for e in range(k.shape[0]):
            left, right = 1.0 - share[e], share[e]
            for z in range(n_z):
                here, there = moves[low[e], z], moves[high[e], z]
                for j in range(m):
                    nodes[z, j] = exponential(left * here[first + j] + right * there[first + j])
            for p in range(n_points):
                r, part, level = _RIGHT[p], _SHARE[p], variance[e, p]
                smaller, h = min(1.0, strikes[e, p]), abs(k[e, p])
                inner = max(1.0 - strikes[e, p], 0.0)
                for j in range(TILE):
                    factor = nodes[r - 1, j] + part * (nodes[r, j] - nodes[r - 1, j])
                    total = level * (factor * factor)
                    w[p, j] = total
                    s = maximum(np.sqrt(maximum(total, 0.0)), DEVIATION_MIN)
                    price[p, j] = out_of_the_money(smaller, h, s) + inner
            for p in range(1, n_points):
                step = 1.0 / (strikes[e, p] - strikes[e, p - 1])
                for j in range(TILE):
                    now = (price[p, j] - price[p - 1, j]) * step
                    if p > 1:
                        bend[j] = minimum(bend[j], now - slope[j])
                    rise[j] = maximum(rise[j], now)
                    slope[j] = now
            for p in range(n_points):
                q = at[e, p]
                if q < 0:
                    continue
                for j in range(TILE):
                    mixed = w[q - 1, j] + weight[e, p] * (w[q, j] - w[q - 1, j])
                    least = before[p, j] * (1.0 - _CALENDAR_TOLERANCE)
                    short[j] = minimum(short[j], mixed - least)
            before[:] = w
        for j in range(m):
            butterfly[first + j] = bend[j] < -_CONVEXITY_TOLERANCE or rise[j] > _CONVEXITY_TOLERANCE
            calendar[first + j] = short[j] < 0.0
