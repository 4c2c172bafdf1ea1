"""The gate between expiries: total variance must not fall with time to expiry."""

from collections.abc import Sequence

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.market.chain_quality.findings import ChainFinding
from margin_actors.market.chain_quality.limits import ChainQualityLimits
from margin_actors.market.chain_quality.marks import JudgedExpiry
from margin_actors.market.chain_quality.robust import predictions, residuals

_POINTS = np.array([-1.0, 0.0, 1.0])
"""Standardised moneyness, of the earlier expiry, at which total variances are compared."""


def calendar_findings(
    judged: Sequence[JudgedExpiry], limits: ChainQualityLimits
) -> list[ChainFinding]:
    """Return one finding per expiry of one underlying that contradicts the others.

    `judged` are its expiries that are not quarantined, in the order of their tenors. Of two
    expiries between which total variance falls, the one is found whose variance at the money is
    further from the value interpolated between the other expiries.
    """
    limit = limits.calendar_drop_max
    if limit is None:
        return []
    left = list(judged)
    found: list[ChainFinding] = []
    while len(left) > 2:
        drops = calendar_drops(left)
        worst = int(np.nanargmax(np.append(drops, -1.0)))
        if worst == drops.size or not drops[worst] > limit:
            break
        suspect = worst + int(_is_later(left, worst))
        chain, other = left[suspect].chain, left[2 * worst + 1 - suspect].chain
        what = (
            f"total variance falls by {100 * drops[worst]:.1f} % from {left[worst].chain.label} to "
            f"{left[worst + 1].chain.label}, and that of {other.label} agrees better with the "
            f"other expiries (limit {100 * limit:.0f} %)"
        )
        found.append(
            ChainFinding(
                "calendar", chain.item.underlying, chain.label, "", what,
                float(drops[worst]), limit, "options_quarantined",
            )
        )  # fmt: skip
        del left[suspect]
    return found


def calendar_drops(judged: Sequence[JudgedExpiry]) -> FloatArray:
    """Return the largest relative drop of total variance from each expiry to the next.

    float64 (n_expiries - 1,); negative for a rise, NaN if unknown. Compared at one standard
    deviation on either side and at the money.
    """
    out = np.full(max(len(judged) - 1, 0), np.nan)
    for i in range(out.size):
        k = _POINTS * np.sqrt(at_money_variance(judged[i]))
        before, after = total_variances(judged[i], k), total_variances(judged[i + 1], k)
        drop = 1.0 - after / before
        if np.isfinite(drop).any():
            out[i] = float(np.nanmax(drop))
    return out


def total_variances(judged: JudgedExpiry, k: FloatArray) -> FloatArray:
    """Return robust total variances at log-moneyness `k`, both float64 (n_points,).

    NaN outside the strikes.
    """
    vol = judged.good_vol
    known = np.isfinite(vol)
    place, inverse = np.unique(judged.chain.log_moneyness[known], return_inverse=True)
    if place.size < 2:
        return np.full(k.size, np.nan)
    level = np.bincount(inverse, vol[known]) / np.bincount(inverse)
    # Two-sided everywhere: a strike at exactly k is moved to itself by its neighbours' median.
    value, _ = predictions(place, level, k)
    value = np.where((k >= place[0]) & (k <= place[-1]), value, np.nan)
    return value * value * judged.chain.tenor


def at_money_variance(judged: JudgedExpiry) -> float:
    """Return the robust total variance at the forward; NaN if it is outside the strikes."""
    return float(total_variances(judged, np.zeros(1))[0])


def _is_later(judged: Sequence[JudgedExpiry], earlier: int) -> bool:
    """Return whether the later of two neighbours is further from the other expiries."""
    tenor = np.array([j.chain.tenor for j in judged])
    variance = np.array([at_money_variance(j) for j in judged])
    use = np.isfinite(variance)
    use[[earlier, earlier + 1]] = False
    residual, _ = residuals(tenor, variance, use, anchor=True)
    relative = np.abs(residual) / variance
    return bool(np.nan_to_num(relative[earlier + 1]) > np.nan_to_num(relative[earlier]))
