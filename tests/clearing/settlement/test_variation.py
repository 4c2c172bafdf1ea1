"""Laws of variation."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settlement_books import (
    DAY,
    EXPIRY,
    INVERSE,
    LINEAR,
    books,
    cash,
    change,
    cutoff,
    fewer,
    moves,
    prices,
    sides,
)

from margin_actors.clearing.settlement import (
    ROUNDING_ACCOUNT,
    PositionChange,
    changes_until,
    contract_from_name,
    folded,
    lots_by_account,
    quantities_by_account,
    unsettled_variation,
    variation,
    variation_value,
)
from margin_actors.errors import InvalidMarketData, InvalidPortfolio, InvalidRequest

BOTH = st.sampled_from([INVERSE, LINEAR])


def whole(book: list[PositionChange], account: str, price: Decimal) -> Fraction:
    """Return the exact profit of an account in units, by the textbook formula."""
    total = Fraction(0)
    for c in book:
        if c.account == account:
            q, S0, S1 = Fraction(c.quantity), Fraction(c.base_price or 0), Fraction(price)
            total += q * (1 / S0 - 1 / S1) if c.instrument == INVERSE else q * (S1 - S0)
    return total * (10**8 if book[0].instrument == INVERSE else 10**6)


@fewer
@given(st.data(), BOTH, prices)
def test_variation_and_rounding_sum_to_zero_in_a_balanced_book(
    data: st.DataObject, name: str, price: Decimal
) -> None:
    book = data.draw(books(name))
    amounts = dict(cash(variation(contract_from_name(name), book, price, cutoff())))
    assert sum(amounts.values()) == 0
    rounding = amounts.pop(ROUNDING_ACCOUNT, 0)
    assert abs(rounding) <= len({c.account for c in book}) / 2
    for account in {c.account for c in book}:
        assert abs(amounts.get(account, 0) - whole(book, account, price)) <= Fraction(1, 2)


@fewer
@given(st.data(), BOTH, prices, prices)
def test_two_settlements_pay_the_same_as_one_except_for_a_unit(
    data: st.DataObject, name: str, middle: Decimal, last: Decimal
) -> None:
    contract = contract_from_name(name)
    book = data.draw(books(name))
    once = cash(variation(contract, book, last, cutoff()))
    first = variation(contract, book, middle, cutoff())
    second = variation(contract, [*book, *moves(first)], last, cutoff())
    twice = cash([*first, *second])
    for account in {c.account for c in book}:
        assert abs(once.get(account, 0) - twice.get(account, 0)) <= 1


@fewer
@given(st.data(), BOTH, prices)
def test_after_a_settlement_one_lot_remains_at_the_settlement_price(
    data: st.DataObject, name: str, price: Decimal
) -> None:
    contract = contract_from_name(name)
    book = data.draw(books(name))
    events = variation(contract, book, price, cutoff())
    held = lots_by_account(contract, [*book, *moves(events)])
    net = {
        account: sum((c.quantity for c in book if c.account == account), Decimal(0))
        for account in {c.account for c in book}
    }
    assert held == {account: {price: q} for account, q in net.items() if q}
    again = variation(contract, [*book, *moves(events)], price, cutoff())
    assert not cash(again)
    assert not moves(again)


@fewer
@given(st.data(), BOTH, prices)
def test_events_do_not_depend_on_the_order_or_the_division_of_changes(
    data: st.DataObject, name: str, price: Decimal
) -> None:
    contract = contract_from_name(name)
    book = data.draw(books(name))
    shuffled = data.draw(st.permutations(book))
    events = variation(contract, book, price, cutoff())
    same = variation(contract, shuffled, Decimal(f"{price}00"), cutoff())
    fewest = variation(contract, folded(contract, book, DAY), price, cutoff())
    for other in (same, fewest):
        assert [(e.id, e.content_hash) for e in events] == [(e.id, e.content_hash) for e in other]


@fewer
@given(st.data(), BOTH, prices)
def test_unsettled_profit_is_what_a_settlement_would_pay(
    data: st.DataObject, name: str, price: Decimal
) -> None:
    contract = contract_from_name(name)
    book = data.draw(books(name))
    amounts = dict(cash(variation(contract, book, price, cutoff())))
    amounts.pop(ROUNDING_ACCOUNT, None)
    unsettled = unsettled_variation(contract, book, price)
    assert {account: n for account, n in unsettled.items() if n} == amounts


def test_a_profit_realised_within_the_session_is_paid_although_no_position_remains() -> None:
    book = [
        *sides(LINEAR, 2, 50_000, buyer="a", seller="b"),
        *sides(LINEAR, 2, 50_500, buyer="b", seller="a"),
    ]
    events = variation(contract_from_name(LINEAR), book, Decimal(1), cutoff())
    assert cash(events) == {"a": 1_000 * 10**6, "b": -1_000 * 10**6}
    assert lots_by_account(contract_from_name(LINEAR), [*book, *moves(events)]) == {}


def test_many_lots_at_prices_without_a_common_denominator_are_exact() -> None:
    contract = contract_from_name(INVERSE)
    book = [side for k in range(300) for side in sides(INVERSE, 7 * k + 1, 50_000 + 13 * k)]
    amounts = cash(variation(contract, book, Decimal(51_234), cutoff()))
    assert amounts["long"] == -amounts["short"] == round(whole(book, "long", Decimal(51_234)))


def test_half_a_unit_is_rounded_to_even_on_both_sides() -> None:
    book = sides(LINEAR, 1, 100)
    half = Decimal("100.0000005")
    assert not cash(variation(contract_from_name(LINEAR), book, half, cutoff()))
    amounts = cash(variation(contract_from_name(LINEAR), book, Decimal("100.0000015"), cutoff()))
    assert amounts == {"long": 2, "short": -2}


@pytest.mark.parametrize("base", ["-37.63", "0", "10"])
@pytest.mark.parametrize("price", ["-37.63", "0"])
def test_linear_contracts_settle_at_negative_prices(base: str, price: str) -> None:
    book = sides(LINEAR, 3, base)
    amounts = cash(variation(contract_from_name(LINEAR), book, Decimal(price), cutoff()))
    expected = int(3 * (Decimal(price) - Decimal(base)) * 10**6)
    assert amounts.get("long", 0) == expected == -amounts.get("short", 0)


@pytest.mark.parametrize("price", ["-37.63", "0", "nan", "inf", "1e16", "1e-25"])
def test_inverse_contracts_refuse_prices_without_a_value(price: str) -> None:
    contract = contract_from_name(INVERSE)
    with pytest.raises(InvalidMarketData, match="price"):
        variation(contract, sides(INVERSE, 10, 50_000), Decimal(price), cutoff())
    with pytest.raises((InvalidMarketData, InvalidPortfolio), match="base price"):
        variation(contract, sides(INVERSE, 10, price), Decimal(50_000), cutoff())


@pytest.mark.parametrize("price", ["nan", "-inf", "-1e16"])
def test_linear_contracts_refuse_prices_that_are_not_numbers(price: str) -> None:
    with pytest.raises(InvalidMarketData, match="price: is "):
        variation(contract_from_name(LINEAR), sides(LINEAR, 1, 1), Decimal(price), cutoff())


def test_a_book_without_counterparties_is_refused_with_its_net_quantities() -> None:
    contract = contract_from_name(INVERSE)
    book = [*sides(INVERSE, 10, 50_000), change("long", INVERSE, 7, 49_000)]
    with pytest.raises(InvalidPortfolio, match="the net quantity is 7 at 49000"):
        variation(contract, book, Decimal(48_000), cutoff())
    assert unsettled_variation(contract, book, Decimal(48_000))["long"] < 0


def test_quantities_that_cancel_at_different_prices_are_not_balanced() -> None:
    book = [change("a", INVERSE, 10, 50_000), change("b", INVERSE, -10, 49_000)]
    with pytest.raises(InvalidPortfolio, match=r"is 10 at 50000[\s\S]*is -10 at 49000"):
        variation(contract_from_name(INVERSE), book, Decimal(48_000), cutoff())


def test_unusable_changes_are_refused_together() -> None:
    book = [
        change("a", INVERSE, "nan", 1),
        change("b", LINEAR, 1, 1),
        change(ROUNDING_ACCOUNT, INVERSE, 1, 1),
        change("", INVERSE, 1, 1),
        change("c", INVERSE, 1, 1, DAY.replace(tzinfo=None)),
        replace(change("d", INVERSE, 1, 1), base_price=None),
    ]
    with pytest.raises(InvalidPortfolio) as caught:
        variation(contract_from_name(INVERSE), book, Decimal(48_000), cutoff())
    assert len(caught.value.problems) == 6


def test_options_have_no_variation_and_no_base_price() -> None:
    option = contract_from_name("BTC-26JUN26-46000-P")
    with pytest.raises(InvalidPortfolio, match="only options have none"):
        quantities_by_account(
            option, [replace(change("a", option.name, 1, 1), base_price=Decimal(1))]
        )
    with pytest.raises(InvalidRequest, match="paid by its premium"):
        variation(option, sides(option.name, 1, "0.05"), Decimal(48_000), cutoff())


def test_a_future_is_delivered_at_its_expiry_and_not_settled_as_well() -> None:
    future = contract_from_name("BTC-26JUN26")
    book = sides(future.name, 10, 50_000)
    before = cutoff(EXPIRY - timedelta(seconds=1))
    assert moves(variation(future, book, Decimal(48_000), before))
    with pytest.raises(InvalidRequest, match="deliver it"):
        variation(future, book, Decimal(48_000), cutoff(EXPIRY))


def test_amounts_that_no_database_can_store_are_refused() -> None:
    book = sides(LINEAR, Decimal(10) ** 15, 1)
    with pytest.raises(InvalidPortfolio, match="smallest units"):
        variation(contract_from_name(LINEAR), book, Decimal(10) ** 6, cutoff())


def test_the_formula_is_exact_for_one_lot() -> None:
    contract = contract_from_name(LINEAR, multiplier=Decimal("0.1"))
    value = variation_value(contract, Decimal(-3), Decimal("0.1"), Decimal("0.4"))
    assert value == Fraction(-9, 100)


def test_a_trade_recorded_after_the_cut_belongs_to_the_next_session() -> None:
    contract = contract_from_name(LINEAR)
    first, late = sides(LINEAR, 1, 100), sides(LINEAR, 1, 90)
    log = [(16, first[0]), (17, first[1]), (18, late[0]), (19, late[1])]
    today = variation(contract, changes_until(log, cutoff()), Decimal(110), cutoff())
    assert cash(today)["long"] == 10 * 10**6
    held = [*(c for _, c in log), *moves(today)]
    assert cash(variation(contract, held, Decimal(110), cutoff()))["long"] == 20 * 10**6
