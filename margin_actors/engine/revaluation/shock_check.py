"""Whether shocked surfaces still allow no arbitrage, and the repair of those that do.

A scenario's surface is the fitted smile times the scenario's factor. At the eleven points of
standardised moneyness below, prices of calls under the scenario must fall with strike and be
convex, and their total variance must not fall from one expiry to the next. Where a scenario breaks
this at an underlying, its moves across moneyness are drawn towards its move at the money, by half
and then altogether, which keeps the level of the move and gives up its shape; what is still broken
then (a term structure that inverts) is counted and left. The shares found and mended are reported.
"""

from dataclasses import dataclass, replace

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray
from margin_actors.engine.revaluation.states import tenor_weights
from margin_actors.engine.scenarios import MONEYNESS, ScenarioSet
from margin_actors.market.surfaces import VolatilitySurface
from margin_actors.numerics.black76 import DEVIATION_MIN, out_of_the_money
from margin_actors.numerics.elementary import exponential, exponentials
from margin_actors.numerics.jit import compiled

_POINTS = np.array([-2.0, -1.5, -1.0, -0.75, -0.5, 0.0, 0.5, 0.75, 1.0, 1.5, 2.0])
_AT_MONEY = MONEYNESS.index(0.0)
_Z = np.array(MONEYNESS)
_RIGHT = np.clip(np.searchsorted(_Z, _POINTS), 1, _Z.size - 1)
_SHARE = (_POINTS - _Z[_RIGHT - 1]) / (_Z[_RIGHT] - _Z[_RIGHT - 1])
_CONVEXITY_TOLERANCE = 1e-6
_CALENDAR_TOLERANCE = 1e-3
_SHRINKING = (1.0, 0.5, 0.0)


@dataclass(frozen=True, slots=True)
class ShockCheck:
    """What the check of one underlying's shocked surfaces found; counts of scenarios."""

    underlying: str
    scenarios: int
    butterfly: int
    """Scenarios with a butterfly arbitrage in some expiry, before the repair."""
    calendar: int
    """Scenarios with a calendar arbitrage between some expiries, before the repair."""
    repaired: int
    """Scenarios whose shape was drawn towards the move at the money and then are free."""
    left: int
    """Scenarios that allow arbitrage still."""

    def sentence(self) -> str:
        """Return the findings for a report."""
        return (
            f"{self.underlying} shocked surfaces: butterfly arbitrage in {self.butterfly} of "
            f"{self.scenarios} scenarios, calendar arbitrage in {self.calendar}; {self.repaired} "
            f"repaired ({100 * self.repaired / max(self.scenarios, 1):.1f} %), {self.left} left"
        )


def repair_shocked_surfaces(
    scenarios: ScenarioSet, surfaces: dict[str, VolatilitySurface]
) -> tuple[ScenarioSet, tuple[ShockCheck, ...]]:
    """Return the scenarios with repaired surface moves, and what was found.

    A set that moves no volatility comes back as it is.
    """
    if not scenarios.has_surface_moves:
        return scenarios, ()
    vol = scenarios.vol_change.copy()
    checks: list[ShockCheck] = []
    for u, name in enumerate(scenarios.underlyings):
        if name not in surfaces:
            continue
        moves = vol[:, u]
        butterfly, calendar = _violations(surfaces[name], moves, scenarios.tenors_days)
        broken = butterfly | calendar
        for share in _SHRINKING[1:]:
            rows = np.flatnonzero(broken)
            if rows.size == 0:
                break
            original = scenarios.vol_change[rows, u]
            level = original[:, :, _AT_MONEY : _AT_MONEY + 1]
            moves[rows] = level + share * (original - level)
            again = _violations(surfaces[name], moves[rows], scenarios.tenors_days)
            broken[rows] = again[0] | again[1]
        found = int((butterfly | calendar).sum())
        left = np.flatnonzero(broken)
        moves[left] = scenarios.vol_change[left, u]  # what cannot be mended is not bent either
        checks.append(
            ShockCheck(
                underlying=name,
                scenarios=len(scenarios),
                butterfly=int(butterfly.sum()),
                calendar=int(calendar.sum()),
                repaired=found - left.size,
                left=left.size,
            )
        )
    return replace(scenarios, vol_change=vol), tuple(checks)


def _violations(
    surface: VolatilitySurface, moves: FloatArray, grid: FloatArray
) -> tuple[BoolArray, BoolArray]:
    """Return (butterfly, calendar) per row of `moves`, (n_rows, n_tenors, n_moneyness)."""
    n, n_expiries = moves.shape[0], len(surface.expiries)
    low, high = np.empty(n_expiries, np.int64), np.empty(n_expiries, np.int64)
    share = np.empty(n_expiries)
    k, variance = np.empty((n_expiries, _POINTS.size)), np.empty((n_expiries, _POINTS.size))
    for e, (item, smile) in enumerate(zip(surface.expiries, surface.slices, strict=True)):
        low[e], high[e], share[e] = tenor_weights(item.tenor_years * 365.0, grid)
        k[e] = _POINTS * float(np.sqrt(smile.total_variance(np.zeros(1))[0]))
        variance[e] = smile.total_variance(k[e])
    butterfly, calendar = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    strikes = exponentials(k)
    _check(np.ascontiguousarray(moves), low, high, share, k, strikes, variance, butterfly, calendar)
    return butterfly, calendar


@compiled
def _check(
    moves: FloatArray,
    low: IntArray,
    high: IntArray,
    share: FloatArray,
    k: FloatArray,
    strikes: FloatArray,
    variance: FloatArray,
    butterfly: BoolArray,
    calendar: BoolArray,
) -> None:
    n_points, n_z = k.shape[1], moves.shape[2]
    nodes, price = np.empty(n_z), np.empty(n_points)
    w, before = np.empty(n_points), np.empty(n_points)
    for row in range(moves.shape[0]):
        for e in range(k.shape[0]):
            for z in range(n_z):
                move = (1.0 - share[e]) * moves[row, low[e], z] + share[e] * moves[row, high[e], z]
                nodes[z] = exponential(move)
            for p in range(n_points):
                right = _RIGHT[p]
                factor = nodes[right - 1] + _SHARE[p] * (nodes[right] - nodes[right - 1])
                w[p] = variance[e, p] * (factor * factor)
                s = max(np.sqrt(max(w[p], 0.0)), DEVIATION_MIN)
                strike = strikes[e, p]
                price[p] = out_of_the_money(min(1.0, strike), abs(k[e, p]), s)
                price[p] += max(1.0 - strike, 0.0)
            slope = 0.0
            for p in range(1, n_points):
                rise = (price[p] - price[p - 1]) / (strikes[e, p] - strikes[e, p - 1])
                bends = p > 1 and rise - slope < -_CONVEXITY_TOLERANCE
                if bends or rise > _CONVEXITY_TOLERANCE:
                    butterfly[row] = True
                slope = rise
            if e > 0:
                # The earlier expiry is the narrower one: compare where both are known.
                at = 1
                for p in range(n_points):
                    x = k[e - 1, p]
                    if x < k[e, 0] or x > k[e, n_points - 1]:
                        continue
                    while at < n_points - 1 and k[e, at] < x:
                        at += 1
                    weight = (x - k[e, at - 1]) / (k[e, at] - k[e, at - 1])
                    here = w[at - 1] + weight * (w[at] - w[at - 1])
                    if here < before[p] * (1.0 - _CALENDAR_TOLERANCE):
                        calendar[row] = True
            before[:] = w
