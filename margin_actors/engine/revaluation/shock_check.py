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

from margin_actors.arrays import BoolArray, FloatArray
from margin_actors.engine.revaluation.states import tenor_weights
from margin_actors.engine.scenarios import MONEYNESS, ScenarioSet
from margin_actors.market.surfaces import VolatilitySurface
from margin_actors.numerics.black76 import black76_price
from margin_actors.numerics.elementary import exponentials

_POINTS = np.array([-2.0, -1.5, -1.0, -0.75, -0.5, 0.0, 0.5, 0.75, 1.0, 1.5, 2.0])
_AT_MONEY = MONEYNESS.index(0.0)
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
        butterfly, calendar = _violations(surfaces[name], moves)
        broken = butterfly | calendar
        for share in _SHRINKING[1:]:
            rows = np.flatnonzero(broken)
            if rows.size == 0:
                break
            original = scenarios.vol_change[rows, u]
            level = original[:, :, _AT_MONEY : _AT_MONEY + 1]
            moves[rows] = level + share * (original - level)
            again = _violations(surfaces[name], moves[rows])
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


def _violations(surface: VolatilitySurface, moves: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Return (butterfly, calendar) per row of `moves`, (n_rows, n_tenors, n_moneyness)."""
    n = moves.shape[0]
    butterfly, calendar = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    before: FloatArray | None = None
    before_k = np.empty(0)
    for item, smile in zip(surface.expiries, surface.slices, strict=True):
        root = float(np.sqrt(smile.total_variance(np.zeros(1))[0]))
        k = _POINTS * root
        factor = _factors(moves, item.tenor_years * 365.0)
        w = smile.total_variance(k) * factor * factor
        strikes = np.broadcast_to(np.exp(k), w.shape)
        price = black76_price(1.0, strikes, np.sqrt(w), True)
        slope = (price[:, 1:] - price[:, :-1]) / (strikes[:, 1:] - strikes[:, :-1])
        bends = slope[:, 1:] - slope[:, :-1]
        butterfly |= np.any(bends < -_CONVEXITY_TOLERANCE, axis=1)
        butterfly |= np.any(slope > _CONVEXITY_TOLERANCE, axis=1)
        if before is not None:
            # The earlier expiry is the narrower one: compare where both are known.
            inside = np.abs(before_k) <= np.abs(k).max()
            here = _interpolate(w, k, before_k[inside])
            calendar |= np.any(here < before[:, inside] * (1.0 - _CALENDAR_TOLERANCE), axis=1)
        before, before_k = w, k
    return butterfly, calendar


def _factors(moves: FloatArray, days: float) -> FloatArray:
    """Return the factor on volatility at the points of the check, (n_rows, n_points)."""
    low, high, weight = tenor_weights(days)
    nodes = exponentials((1.0 - weight) * moves[:, low] + weight * moves[:, high])
    return _interpolate(nodes, np.array(MONEYNESS), _POINTS)


def _interpolate(rows: FloatArray, x: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return every row, given at ascending x, linearly at `wanted`, all within x."""
    right = np.clip(np.searchsorted(x, wanted), 1, x.size - 1)
    share = (wanted - x[right - 1]) / (x[right] - x[right - 1])
    return rows[:, right - 1] * (1.0 - share) + rows[:, right] * share
