"""Rate curves: published values recomputed by hand, and laws of discount factors."""

from dataclasses import replace
from datetime import date
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_actors.errors import InvalidMarketData
from margin_actors.market.rates import RateCurve, curve_from_yields
from margin_actors.market.snapshot_table import snapshot_from_table, snapshot_to_table

DAY = date(2026, 2, 20)


def test_a_bill_is_discounted_at_its_bond_equivalent_yield() -> None:
    # H.15 of 2026-02-20: 6 months 3.61 %; 1 / (1 + 0.0361 / 2).
    curve = curve_from_yields(DAY, {0.5: 0.0361})
    assert curve.discount(0.5) == pytest.approx(0.9822700, abs=1e-7)


def test_the_overnight_rate_is_simple_interest_over_360_days() -> None:
    curve = curve_from_yields(DAY, {}, overnight=0.0365)
    assert curve.discount(1 / 365) == pytest.approx(1.0 / (1.0 + 0.0365 / 360.0), abs=1e-12)


def test_par_bonds_are_worth_par_on_the_curve() -> None:
    # Hull, Options, Futures and Other Derivatives, section 4.7: bootstrap from coupon bonds. A par
    # yield is the coupon at which the bond's value is its face.
    yields = {0.5: 0.0361, 1.0: 0.0351, 2.0: 0.0348, 5.0: 0.0365, 10.0: 0.0408}
    curve = curve_from_yields(DAY, yields)
    for maturity in (1.0, 2.0, 5.0, 10.0):
        dates = np.arange(1, round(2 * maturity) + 1) / 2
        coupon = 50.0 * yields[maturity]
        value = sum(coupon * curve.discount(t) for t in dates) + 100.0 * curve.discount(maturity)
        assert value == pytest.approx(100.0, abs=1e-9)


def test_the_one_year_factor_by_hand() -> None:
    # D(0.5) = 1 / 1.02; a 5 % par bond: 2.5 D(0.5) + 102.5 D(1) = 100.
    curve = curve_from_yields(DAY, {0.5: 0.04, 1.0: 0.05})
    assert curve.discount(1.0) == pytest.approx((100.0 - 2.5 / 1.02) / 102.5, abs=1e-13)


def test_rate_times_time_is_linear_between_nodes_and_the_rate_constant_outside() -> None:
    curve = RateCurve(DAY, np.array([0.5, 1.0]), np.array([0.02, 0.04]))
    assert curve.rate(0.75) * 0.75 == pytest.approx(0.5 * (0.01 + 0.04))
    assert curve.rate(0.0) == curve.rate(0.1) == 0.02
    assert curve.rate(5.0) == 0.04
    assert curve.discount(0.0) == 1.0
    assert curve.discount(2.0) == pytest.approx(exp(-0.08), rel=1e-15)


@given(
    st.lists(st.floats(1e-4, 0.2), min_size=5, max_size=5), st.floats(0.0, 12.0), st.floats(0, 3.0)
)
def test_discount_factors_fall_if_forward_rates_are_positive(rates, tenor, step) -> None:
    tenors = np.array([1 / 365, 0.25, 1.0, 5.0, 10.0])
    # Positive forward rates between the nodes, which the interpolation must preserve.
    exponent = np.cumsum(np.array(rates) * np.diff(tenors, prepend=0.0))
    curve = RateCurve(DAY, tenors, exponent / tenors)
    assert 0.0 < curve.discount(tenor + step) <= curve.discount(tenor) <= 1.0


def test_a_negative_yield_gives_a_factor_above_one() -> None:
    assert curve_from_yields(DAY, {0.25: -0.005}).discount(0.25) > 1.0


@pytest.mark.parametrize(
    ("tenors", "rates"),
    [([], []), ([0.5, 0.5], [0.1, 0.1]), ([-1.0], [0.1]), ([1.0], [np.nan]), ([1.0], [11.0])],
)
def test_impossible_curves_are_refused(tenors, rates) -> None:
    with pytest.raises(InvalidMarketData):
        RateCurve(DAY, np.array(tenors, np.float64), np.array(rates, np.float64))


def test_impossible_yields_are_refused() -> None:
    with pytest.raises(InvalidMarketData, match="2026-02-20"):
        curve_from_yields(DAY, {0.5: np.nan})
    with pytest.raises(InvalidMarketData, match="unusable"):
        curve_from_yields(DAY, {})


def test_a_snapshot_without_curve_keeps_its_id_and_stored_form(snapshot) -> None:
    assert b"rates" not in snapshot_to_table(snapshot).schema.metadata[b"margin.snapshot"]
    assert replace(snapshot, rates=None, perpetual_usd={}).id == snapshot.id


def test_rates_and_perpetuals_are_part_of_the_id_and_survive_storage(snapshot) -> None:
    curve = curve_from_yields(DAY, {0.25: 0.0369, 1.0: 0.0351}, overnight=0.0366)
    changed = replace(snapshot, rates=curve)
    later = replace(changed, rates=replace(curve, day=date(2026, 2, 21)))
    priced = replace(snapshot, perpetual_usd={"BTC": snapshot.index_usd["BTC"] * 1.0004})
    assert len({snapshot.id, changed.id, later.id, priced.id}) == 4
    for item in (changed, priced):
        again = snapshot_from_table(snapshot_to_table(item), where="test")
        assert again.id == item.id
    assert again.perpetual_usd == priced.perpetual_usd


def test_a_perpetual_needs_a_price_and_an_index(snapshot) -> None:
    with pytest.raises(InvalidMarketData, match="perpetual of XRP"):
        replace(snapshot, perpetual_usd={"XRP": 1.0})
    with pytest.raises(InvalidMarketData, match="perpetual of BTC"):
        replace(snapshot, perpetual_usd={"BTC": 0.0})


def test_the_zero_rate_of_a_bill_is_twice_the_logarithm() -> None:
    assert curve_from_yields(DAY, {0.25: 0.04}).rate(0.25) == pytest.approx(
        2 * log(1.02), abs=1e-15
    )
