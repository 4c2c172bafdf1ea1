"""Costs of hedges in neighbouring buckets: the formula of the module, number by number."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import made_scenarios, model_from

from margin_actors.engine.addons import HedgeRates, MarketDepth, hedge_rates
from margin_actors.engine.addons.hedging import NEIGHBOURS, bucket_tenors, hedged_factors
from margin_actors.engine.measures import value_at_risk
from margin_actors.engine.scenarios import AT_MONEY

MODEL = model_from(
    "hs-surface",
    measure={"confidence": 0.95},
    addons={
        "bucket_days": [7, 30, 90, 300],
        "concentration": {"participation": 0.3},
        "hedge": {"crossings": 3.0},
    },
)
HORIZON_DAYS = MODEL.horizon_hours_total / 24.0
BUCKETS = ("outright", *(f"bucket {b}" for b in range(1, len(MODEL.addons.bucket_days) + 2)))


def made_depth(seed: int) -> MarketDepth:
    """Return a depth of random size; a bucket may have no volume or less than a dollar of it."""
    rng = np.random.default_rng(seed)
    shape = (2, len(BUCKETS))
    volume = rng.choice([0.0, 0.01, 0.5, 3.0, 40.0], shape)
    spread, typical = rng.uniform(0.005, 0.05, shape), rng.uniform(0.3, 1.5, shape)
    return MarketDepth(("BTC", "ETH"), BUCKETS, np.zeros(shape), volume, spread, typical, {})


def phi_of(vega: float, next_to: float, volumes: tuple[float, float], rates: list[float]) -> float:
    """Return phi of the module's formula for one bucket and one neighbour."""
    ratio, spread, basis = rates
    per_day, per_day_next = (0.3 * max(volume, 1e-12) for volume in volumes)
    days = abs(vega) / per_day
    if days <= HORIZON_DAYS or np.isnan(ratio):
        return 0.0 if days <= HORIZON_DAYS else np.inf
    open_share = 1.0 - HORIZON_DAYS / days
    closed_there = max(np.sign(vega) * next_to + ratio * open_share * abs(vega), 0.0)
    wait = np.sqrt(max(1.0, closed_there / per_day_next / HORIZON_DAYS)) - 1.0
    return open_share * (spread + basis * np.sqrt(days / HORIZON_DAYS)) + wait


@given(seed=st.integers(0, 10_000))
def test_the_factor_is_the_least_of_both_neighbours(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth, n = made_depth(seed), len(BUCKETS)
    vega = rng.choice([-20.0, -3.0, -0.2, 0.0, 0.2, 3.0, 20.0], (4, 2, n))
    ratio, spread, basis = rng.uniform(0.01, 2.0, (3, 2, n, len(NEIGHBOURS)))
    for rates in (ratio, spread, basis):
        rates[1, 2] = np.nan  # a bucket without a hedge
    found = hedged_factors(vega, HedgeRates(ratio, spread, basis), depth, MODEL)
    assert np.all(found[:, :, 0] == np.inf), "outrights have no vega and no neighbour"
    for a, u, b in np.ndindex(4, 2, n):
        neighbours = [(k, b + step) for k, step in enumerate(NEIGHBOURS) if 1 <= b + step < n]
        least = min(
            phi_of(
                vega[a, u, b],
                vega[a, u, m],
                (depth.vega_volume[u, b], depth.vega_volume[u, m]),
                [ratio[u, b, k], spread[u, b, k], basis[u, b, k]],
            )
            for k, m in neighbours
        )
        if b == 0 or (u, b) == (1, 2):
            least = np.inf
        assert found[a, u, b] == pytest.approx(least, rel=1e-9, abs=1e-12), (a, u, b)


def test_the_rates_follow_from_the_moves_at_the_middle_of_each_bucket() -> None:
    """Also beyond the last tenor of the grid, with weights, and without moves or volatilities."""
    made, plain = made_scenarios(200), made_depth(1)
    moves = made.vol_change.copy()
    moves[:, 1, 3] = 0.0  # the volatility of ETH at 60 days, the middle of the third bucket
    weight = np.linspace(1.0, 9.0, 200)
    scenarios = replace(made, vol_change=moves, weight=weight / weight.sum())
    # The scenarios do not know the first underlying.
    depth = replace(
        plain,
        underlyings=("AVAX", *plain.underlyings),
        half_spread_vol=np.insert(plain.half_spread_vol, 0, 0.01, axis=0),
        typical_vol=np.insert(plain.typical_vol, 0, 0.8, axis=0),
    )
    depth.typical_vol[1, 3] = np.nan  # a bucket without options has no volatility
    depth.typical_vol[2, 1] = 0.0
    found = hedge_rates(scenarios, depth, MODEL)
    days = (3.5, 18.5, 60.0, 195.0, 450.0)
    assert bucket_tenors(MODEL.addons.bucket_days) == days
    n_rates = 0
    for u, b, k in np.ndindex(*found.ratio.shape):
        n = b + NEIGHBOURS[k]
        rates = [x[u, b, k] for x in (found.ratio, found.spread_share, found.basis_share)]
        still = u == 0 or (u == 2 and 3 in (b, n))
        if still or b == 0 or not 1 <= n < len(BUCKETS) or not depth.typical_vol[u, n] > 0.0:
            assert np.all(np.isnan(rates)), (u, b, k)
            continue
        grid = scenarios.vol_change[:, u - 1, :, AT_MONEY]
        x, y = (
            np.array([np.interp(days[i - 1], scenarios.tenors_days, row) for row in grid])
            for i in (b, n)
        )
        beta = (x @ y) / (y @ y)
        losses = -np.abs([x, x - beta * y])
        risk, rest = value_at_risk(losses, confidence=0.95, weight=scenarios.weight)
        vol = depth.typical_vol[u]
        expected = [
            abs(beta) * vol[b] / vol[n],
            3.0 * depth.half_spread_vol[u, n] * abs(beta) / (vol[n] * risk),
            rest / risk,
        ]
        np.testing.assert_allclose(rates, expected, rtol=1e-9, err_msg=f"{u} {b} {k}")
        n_rates += 1
    assert n_rates == 9
