"""Amounts in smallest units."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_actors.clearing.amounts import (
    ASSETS,
    UNITS_MAX,
    USD,
    requirement_units,
    units_exactly,
    units_of,
    value_of,
)
from margin_actors.errors import InvalidPortfolio


@given(st.integers(-UNITS_MAX, UNITS_MAX), st.sampled_from(sorted(ASSETS)))
def test_units_survive_the_way_through_values(units: int, name: str) -> None:
    asset = ASSETS[name]
    assert units_exactly(value_of(units, asset), asset) == units


def test_half_a_unit_is_rounded_to_even() -> None:
    coins = [Decimal(x) for x in ("0.000000005", "0.000000015", "-0.000000025", "-0.08333333333")]
    assert [units_of(c, ASSETS["BTC"]) for c in coins] == [0, 2, -2, -8333333]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e17"])
def test_impossible_amounts_are_refused(value: str) -> None:
    with pytest.raises(InvalidPortfolio, match="the amount is not valid"):
        units_of(Decimal(value), USD)


def test_parts_of_a_unit_are_refused() -> None:
    assert units_exactly(Decimal("12.30"), USD) == 1230
    with pytest.raises(InvalidPortfolio, match="at most 2 decimals"):
        units_exactly(Decimal("12.345"), USD)


@given(st.floats(0, 1e12))
def test_a_requirement_is_rounded_up_by_less_than_a_cent(margin: float) -> None:
    cents = requirement_units(margin)
    exact = Decimal(margin)
    assert Decimal("-0.0000006") <= Decimal(cents) / 100 - exact < Decimal("0.0100006")


def test_decimal_figures_keep_their_cents() -> None:
    for cents in (1, 10, 10_010, 10_011, 123_456_789):
        assert requirement_units(cents / 100) == cents
    assert requirement_units(100.100001) == 10_011
    with pytest.raises(InvalidPortfolio):
        requirement_units(math.nan)
