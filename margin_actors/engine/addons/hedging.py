"""Bound of the concentration charge of a bucket by the cost of a hedge in a neighbouring bucket.

A bucket whose vega takes d days to close, longer than the margin period of risk h, need not be held
open for d days: the part w = 1 - h / d that remains can be hedged with options of the next shorter
or longer bucket, and closed afterwards. The hedge costs its spread, replaces the risk of the
bucket's volatility by that of its difference to the neighbour's, and takes its own time:

    phi = w (c beta s_n / (sigma_n Q) + (B / Q) sqrt(d / h)) + sqrt(max(1, d_n / h)) - 1,

per US dollar of the bucket's VaR. With the relative volatility moves x of the bucket and y of the
neighbour over the core scenarios, beta = sum(x y) / sum(y^2) is the hedge ratio, Q the quantile of
|x| and B that of |x - beta y| at the model's confidence; s_n is the neighbour's half spread and
sigma_n its volatility, c the number of half spreads paid. The neighbour's own position in the same
direction is closed there as well, so that d_n is the time for it and for the hedge together.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.addons.exposures import MarketDepth
from margin_actors.engine.measures import value_at_risk
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import AT_MONEY, CORE, ScenarioSet

NEIGHBOURS = (-1, 1)
"""Offsets of the neighbouring buckets, on the last axis of the arrays of `HedgeRates`."""


@dataclass(frozen=True)
class HedgeRates:
    """What a hedge in each neighbouring bucket costs, by underlying, bucket and neighbour.

    All arrays are float64 (n_underlyings, n_buckets, 2); NaN if there is no such neighbour, or the
    scenarios do not move its volatility.
    """

    ratio: FloatArray
    """Vega of the hedge per vega hedged, in absolute value."""
    spread_share: FloatArray
    """Cost of the spread as a share of the hedged risk, c beta s_n / (sigma_n Q)."""
    basis_share: FloatArray
    """Risk that remains as a share of the hedged risk, B / Q."""


def hedge_rates(
    scenarios: ScenarioSet, depth: MarketDepth, parameters: ModelParameters
) -> HedgeRates:
    """Return the cost rates of hedges, from the core rows of a scenario set and market depth."""
    shape = (len(depth.underlyings), len(depth.buckets), len(NEIGHBOURS))
    ratio, spread, basis = (np.full(shape, np.nan) for _ in range(3))
    tenors = bucket_tenors(parameters.addons.bucket_days)
    core = scenarios.section(CORE).rows
    confidence = parameters.measure.confidence
    weight = scenarios.weight[core]

    def quantile(moves: FloatArray) -> float:
        losses = -np.abs(moves)[None, :]
        return float(value_at_risk(losses, confidence=confidence, weight=weight)[0])

    for u, underlying in enumerate(depth.underlyings):
        if underlying not in scenarios.underlyings:
            continue
        moves = scenarios.vol_change[core, scenarios.underlyings.index(underlying), :, AT_MONEY]
        by_bucket = [_interpolated(moves, scenarios.tenors_days, days) for days in tenors]
        for b in range(1, shape[1]):
            for k, step in enumerate(NEIGHBOURS):
                n = b + step
                if not 1 <= n < shape[1]:
                    continue
                x, y = by_bucket[b - 1], by_bucket[n - 1]
                square, risk = float((y * y).sum()), quantile(x)
                if not (square > 0.0 and risk > 0.0 and depth.typical_vol[u, n] > 0.0):
                    continue
                beta = float((x * y).sum()) / square
                levels = depth.typical_vol[u, b] / depth.typical_vol[u, n]
                ratio[u, b, k] = abs(beta) * levels
                paid = parameters.addons.hedge.crossings * depth.half_spread_vol[u, n]
                spread[u, b, k] = paid * abs(beta) / (depth.typical_vol[u, n] * risk)
                basis[u, b, k] = quantile(x - beta * y) / risk
    return HedgeRates(ratio, spread, basis)


def bucket_tenors(bucket_days: tuple[float, ...]) -> tuple[float, ...]:
    """Return the middle of each expiry bucket, days; the last is open and has 1.5 times its start.

    Examples
    --------
    >>> bucket_tenors((7.0, 30.0))
    (3.5, 18.5, 45.0)
    """
    edges = (0.0, *bucket_days)
    inner = [0.5 * (a + b) for a, b in pairwise(edges)]
    return (*inner, 1.5 * edges[-1])


def _interpolated(moves: FloatArray, tenors: FloatArray, days: float) -> FloatArray:
    """Return the moves at a tenor, linear in days between grid tenors and flat outside them."""
    right = int(np.clip(np.searchsorted(tenors, days), 1, tenors.size - 1))
    left = right - 1
    share = float(np.clip((days - tenors[left]) / (tenors[right] - tenors[left]), 0.0, 1.0))
    return (1.0 - share) * moves[:, left] + share * moves[:, right]


def hedged_factors(
    vega: FloatArray, rates: HedgeRates, depth: MarketDepth, parameters: ModelParameters
) -> FloatArray:
    """Return phi for the vegas of accounts or members; infinite without a neighbour.

    Parameters
    ----------
    vega : float64 (n, n_underlyings, n_buckets)
        Net vega, US dollars per unit of volatility.
    rates : HedgeRates
    depth : MarketDepth
    parameters : ModelParameters

    Returns
    -------
    float64 (n, n_underlyings, n_buckets)
        Charge per US dollar of VaR that a hedge of the bucket's vega justifies; 0 for a vega that
        is closed within the margin period of risk.
    """
    horizon = parameters.horizon_hours_total / 24.0
    per_day = parameters.addons.concentration.participation * np.maximum(depth.vega_volume, 1e-12)
    out = np.full(vega.shape, np.inf)
    days = np.abs(vega) / per_day
    open_share = 1.0 - horizon / np.maximum(days, horizon)
    root = np.sqrt(np.maximum(days / horizon, 1.0))
    n_buckets = vega.shape[2]
    for b in range(1, n_buckets):
        for k, step in enumerate(NEIGHBOURS):
            n = b + step
            if not 1 <= n < n_buckets:
                continue
            hedge = rates.ratio[:, b, k] * open_share[:, :, b] * np.abs(vega[:, :, b])
            same_way = np.maximum(np.sign(vega[:, :, b]) * vega[:, :, n] + hedge, 0.0)
            wait = np.sqrt(np.maximum(same_way / (per_day[:, n] * horizon), 1.0)) - 1.0
            costs = rates.spread_share[:, b, k] + rates.basis_share[:, b, k] * root[:, :, b]
            phi = open_share[:, :, b] * costs + np.where(hedge > 0.0, wait, 0.0)
            out[:, :, b] = np.fmin(out[:, :, b], phi)
    return out
