"""The index from several sources."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_actors.clearing.settlement import SourcePrice, index_price
from margin_actors.clearing.settlement.parameters import IndexParameters
from margin_actors.errors import InvalidMarketData

RULE = IndexParameters()


def sources(*prices: str) -> list[SourcePrice]:
    return [SourcePrice(f"venue {k}", Decimal(price)) for k, price in enumerate(prices)]


def test_the_index_is_the_weighted_mean_of_clamped_prices() -> None:
    given_prices = [
        SourcePrice("a", Decimal(50_000), Decimal(2)),
        SourcePrice("b", Decimal(50_100), Decimal(1)),
        SourcePrice("c", Decimal(32_500), Decimal(1)),  # clamped to 50,000 × 0.995
    ]
    found = index_price(given_prices, RULE)
    assert found.price == (2 * 50_000 + 50_100 + 49_750) / Decimal(4)
    assert (found.status, found.clamped, found.is_flagged) == ("sound", ("c",), False)


@given(st.lists(st.decimals(-1000, 100_000, places=2), min_size=3, max_size=9))
def test_the_index_is_within_the_clamp_around_the_median(prices: list[Decimal]) -> None:
    found = index_price(sources(*map(str, prices)), RULE).price
    ordered = sorted(prices)
    n = len(ordered)
    median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    assert found is not None
    assert abs(found - median) <= abs(median) * RULE.deviation_max + Decimal("0.0001")


@given(st.decimals(1, 100_000, places=2), st.decimals(0, 1_000_000, places=2))
def test_one_wrong_source_of_three_moves_the_index_by_at_most_a_third_of_the_clamp(
    price: Decimal, wrong: Decimal
) -> None:
    found = index_price(sources(str(price), str(price), str(wrong)), RULE).price
    assert found is not None
    assert abs(found - price) <= price * RULE.deviation_max / 3 + Decimal("0.0001")


def test_a_source_that_drops_out_leaves_the_median_of_the_others() -> None:
    assert index_price(sources("100", "101", "110"), RULE).price == 101
    found = index_price(sources("100", "100.4"), RULE)
    assert (found.price, found.status) == (Decimal("100.2"), "sound")


def test_one_source_is_flagged_and_none_gives_no_price() -> None:
    one = index_price(sources("50000"), RULE)
    assert (one.price, one.status, one.is_flagged) == (Decimal(50_000), "single_source", True)
    none = index_price([], RULE)
    assert (none.price, none.status, none.is_flagged) == (None, "none", True)


def test_two_sources_that_contradict_each_other_are_flagged() -> None:
    found = index_price(sources("1", "0.65"), RULE)
    assert (found.status, found.clamped) == ("disagreement", ("venue 0", "venue 1"))
    assert found.is_flagged


def test_negative_prices_pass_through_the_index() -> None:
    assert index_price(sources("-37.63", "-37.63", "1"), RULE).price == Decimal("-37.5673")


def test_unusable_sources_are_refused_together() -> None:
    wrong = [
        SourcePrice("a", Decimal("nan")),
        SourcePrice("b", Decimal(1), Decimal(0)),
        SourcePrice("c", Decimal(1), Decimal("inf")),
        SourcePrice("c", Decimal(1)),
    ]
    with pytest.raises(InvalidMarketData) as caught:
        index_price(wrong, RULE)
    assert len(caught.value.problems) == 4
