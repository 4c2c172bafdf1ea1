"""Laws of expiry: two steps equal direct, balanced books, fees."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settlement_books import (
    DAY,
    EXPIRY,
    books,
    cash,
    change,
    cutoff,
    fewer,
    final,
    moves,
    prices,
    sides,
)

from margin_actors.clearing.settlement import (
    FEE_ACCOUNT,
    ROUNDING_ACCOUNT,
    Contract,
    PositionChange,
    contract_from_name,
    delivery_fees,
    exercise,
    future_delivery,
    future_of,
    lots_by_account,
    option_delivery,
    option_value,
    quantities_by_account,
)
from margin_actors.clearing.settlement.parameters import FeeRule
from margin_actors.errors import InvalidMarketData, InvalidPortfolio, InvalidRequest

FEE = FeeRule(rate=Decimal("0.00015"), value_share_max=Decimal("0.125"))
options = st.sampled_from(
    [f"BTC{linear}-26JUN26-{strike}-{right}"
     for linear in ("", "_USDC") for strike in (20_000, 50_000, 90_000) for right in "CP"]
).map(contract_from_name)  # fmt: skip
deliveries = st.decimals(1_000, 200_000, places=2)


def in_two_steps(
    held: list[tuple[Contract, list[PositionChange]]], price: Decimal
) -> dict[str, int]:
    """Return what accounts receive if options are exercised and the futures netted."""
    future = future_of(held[0][0])
    received = [
        moved
        for option, book in held
        for moved in moves(exercise(option, book, final(price), cutoff(EXPIRY)))
        if moved.instrument == future.name
    ]
    return dict(cash(future_delivery(future, received, final(price), cutoff(EXPIRY))))


@fewer
@given(st.data(), options, deliveries)
def test_one_option_in_two_steps_pays_the_same_as_directly(
    data: st.DataObject, option: Contract, price: Decimal
) -> None:
    book = data.draw(books(option.name))
    direct = cash(option_delivery(option, book, final(price), cutoff(EXPIRY)))
    assert in_two_steps([(option, book)], price) == direct


@fewer
@given(st.data(), st.sampled_from(["", "_USDC"]), deliveries)
def test_netted_options_pay_the_same_as_directly_except_for_their_rounding(
    data: st.DataObject, linear: str, price: Decimal
) -> None:
    names = [f"BTC{linear}-26JUN26-{k}-{right}" for k in (30_000, 60_000) for right in "CP"]
    held = [(contract_from_name(name), data.draw(books(name))) for name in names]
    direct: dict[str, int] = {}
    for option, book in held:
        for account, units in cash(
            option_delivery(option, book, final(price), cutoff(EXPIRY))
        ).items():
            direct[account] = direct.get(account, 0) + units
    netted = in_two_steps(held, price)
    assert sum(netted.values()) == sum(direct.values()) == 0
    for account in {c.account for _, book in held for c in book}:
        assert abs(direct.get(account, 0) - netted.get(account, 0)) <= (len(held) + 1) / 2


@fewer
@given(st.data(), options, deliveries)
def test_delivery_and_rounding_sum_to_zero_and_empty_the_book(
    data: st.DataObject, option: Contract, price: Decimal
) -> None:
    book = data.draw(books(option.name))
    events = option_delivery(option, book, final(price), cutoff(EXPIRY))
    amounts = dict(cash(events))
    assert sum(amounts.values()) == 0
    assert abs(amounts.pop(ROUNDING_ACCOUNT, 0)) <= len(events) / 2
    assert quantities_by_account(option, [*book, *moves(events)]) == {}
    K, D = Fraction(option.strike or 0), Fraction(price)
    value = max(Fraction(0), D - K if option.is_call else K - D) / (D if option.is_inverse else 1)
    for account in {c.account for c in book}:
        held = sum(Fraction(c.quantity) for c in book if c.account == account)
        exact = held * value * 10**option.asset.decimals
        assert abs(amounts.get(account, 0) - exact) <= Fraction(1, 2)


@fewer
@given(st.data(), st.sampled_from(["BTC-26JUN26", "BTC_USDC-26JUN26"]), deliveries, prices)
def test_futures_settle_from_their_base_prices_and_leave_the_book(
    data: st.DataObject, name: str, price: Decimal, held_at: Decimal
) -> None:
    future = contract_from_name(name)
    book = [*data.draw(books(name)), *sides(name, 10, held_at, buyer="a", seller="e", time=DAY)]
    events = future_delivery(future, book, final(price), cutoff(EXPIRY))
    assert sum(cash(events).values()) == 0
    assert lots_by_account(future, [*book, *moves(events)]) == {}


@pytest.mark.parametrize("right", ["C", "P"])
def test_options_at_the_strike_lapse_without_cash(right: str) -> None:
    option = contract_from_name(f"BTC-26JUN26-45000-{right}")
    book = sides(option.name, 10, "0.05")
    for events in (
        option_delivery(option, book, final(45_000), cutoff(EXPIRY)),
        exercise(option, book, final(45_000), cutoff(EXPIRY)),
    ):
        assert [event.subject.kind for event in events] == ["lapse", "lapse"]
        assert not cash(events)
        assert quantities_by_account(option, [*book, *moves(events)]) == {}
    for rule in (FEE, FeeRule(rate=FEE.rate)):
        assert not cash(delivery_fees(option, book, final(45_000), cutoff(EXPIRY), rule))


def test_puts_become_short_futures() -> None:
    option = contract_from_name("BTC_USDC-26JUN26-46000-P")
    received = moves(exercise(option, sides(option.name, 3, 9), final(45_000), cutoff(EXPIRY)))
    by_account = {c.account: c.quantity for c in received if c.instrument == "BTC_USDC-26JUN26"}
    assert by_account == {"long": -3, "short": 3}


def test_exercised_options_net_with_a_held_future() -> None:
    option, future = contract_from_name("BTC-26JUN26-44000-C"), contract_from_name("BTC-26JUN26")
    received = [
        c
        for c in moves(exercise(option, sides(option.name, 1, 1), final(45_000), cutoff(EXPIRY)))
        if c.instrument == future.name
    ]
    hedge = sides(future.name, -44_000, 44_000)
    events = future_delivery(future, [*received, *hedge], final(45_000), cutoff(EXPIRY))
    assert not cash(events)


def test_an_option_may_be_exercised_into_a_later_future() -> None:
    option = contract_from_name("BTC_USD-26JUN26-60000-C", Decimal(5))
    later = contract_from_name("BTC_USD-25SEP26", Decimal(5))
    events = exercise(option, sides(option.name, 2, 9), final(61_000), cutoff(EXPIRY), later)
    held = lots_by_account(later, [c for c in moves(events) if c.instrument == later.name])
    assert held == {"long": {Decimal(60_000): 2}, "short": {Decimal(60_000): -2}}
    for wrong in ("BTC_USD-26MAR26", "ETH_USD-25SEP26", "BTC-25SEP26", "BTC_USD-PERPETUAL"):
        with pytest.raises(InvalidRequest, match="cannot be exercised into"):
            exercise(
                option, [], final(61_000), cutoff(EXPIRY), contract_from_name(wrong, Decimal(5))
            )
    with pytest.raises(InvalidRequest, match="has the multiplier 1"):
        exercise(option, [], final(61_000), cutoff(EXPIRY), contract_from_name("BTC_USD-25SEP26"))


@given(options, st.decimals(Decimal("0.1"), 1_000, places=1), deliveries)
def test_a_fee_is_at_most_an_eighth_of_the_value_and_goes_to_the_house(
    option: Contract, quantity: Decimal, price: Decimal
) -> None:
    book = sides(option.name, quantity, 1)
    fees = cash(delivery_fees(option, book, final(price), cutoff(EXPIRY), FEE))
    value = Fraction(quantity) * option_value(option, Fraction(price))
    underlying = Fraction(quantity) * (1 if option.is_inverse else Fraction(price))
    scale = 10**option.asset.decimals
    expected = round(min(underlying * Fraction("0.00015"), value / 8) * scale)
    assert -fees.get("long", 0) == -fees.get("short", 0) == expected
    assert fees.get(FEE_ACCOUNT, 0) == 2 * expected


@pytest.mark.parametrize(
    ("name", "quantity", "fee"),
    [("BTC-26JUN26", 90_000, 30_000), ("BTC_USDC-26JUN26", 2, 13_500_000)],
)
def test_a_fee_of_futures_is_a_fraction_of_their_value(name: str, quantity: int, fee: int) -> None:
    future = contract_from_name(name)
    rule = FeeRule(rate=Decimal("0.00015"))
    events = delivery_fees(future, sides(name, quantity, 1), final(45_000), cutoff(EXPIRY), rule)
    assert cash(events) == {"long": -fee, "short": -fee, FEE_ACCOUNT: 2 * fee}


def test_linear_puts_pay_at_a_negative_price_and_inverse_ones_are_refused() -> None:
    put = contract_from_name("BTC_USDC-26JUN26-10-P")
    paid = cash(option_delivery(put, sides(put.name, 1, 1), final("-37.63"), cutoff(EXPIRY)))
    assert paid["long"] == 47_630_000
    inverse = contract_from_name("BTC-26JUN26-10-P")
    for price in ("-37.63", "0"):
        with pytest.raises(InvalidMarketData, match="requires a positive price"):
            option_delivery(inverse, sides(inverse.name, 1, 1), final(price), cutoff(EXPIRY))


def test_a_delivery_is_made_for_the_expiry_whenever_it_is_decided() -> None:
    option = contract_from_name("BTC-26JUN26-46000-P")
    late = cutoff(EXPIRY + timedelta(minutes=40))
    with pytest.raises(InvalidRequest, match="not for the expiry"):
        option_delivery(option, [], final(45_000), late)
    with pytest.raises(InvalidRequest, match="does not expire in this way"):
        future_delivery(option, [], final(45_000), cutoff(EXPIRY))


def test_options_without_counterparties_are_refused() -> None:
    option = contract_from_name("BTC-26JUN26-46000-P")
    for price in (45_000, 50_000):
        with pytest.raises(InvalidPortfolio, match="the net quantity is 1"):
            option_delivery(option, [change("a", option.name, 1, 1)], final(price), cutoff(EXPIRY))
        with pytest.raises(InvalidPortfolio, match="the net quantity is 1"):
            exercise(option, [change("a", option.name, 1, 1)], final(price), cutoff(EXPIRY))


@pytest.mark.parametrize("name", ["BTC_USDC", "nonsense", "BTC-30FEB26", "SOL-PERPETUAL"])
def test_what_is_not_a_contract_is_refused(name: str) -> None:
    with pytest.raises(InvalidPortfolio, match="cannot be settled"):
        contract_from_name(name)


@pytest.mark.parametrize("multiplier", ["0", "-1", "nan"])
def test_a_multiplier_is_positive(multiplier: str) -> None:
    with pytest.raises(InvalidPortfolio, match="multiplier"):
        contract_from_name("BTC_USD-26JUN26", Decimal(multiplier))


def test_strikes_are_exact() -> None:
    assert contract_from_name("BTC_USDC-26JUN26-0d1-C").strike == Decimal("0.1")
    assert contract_from_name("BTC_USDC-26JUN26-12345d6789-C").strike == Decimal("12345.6789")
