"""Trades: premiums, positions and fees."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settlement_books import DAY, EXPIRY, INVERSE, LINEAR, cash, cutoff, moves, quantities

from margin_actors.clearing.settlement import (
    FEE_ACCOUNT,
    ROUNDING_ACCOUNT,
    SettlementParameters,
    Trade,
    contract_from_name,
    premium_units,
    quantities_by_account,
    trade_group,
    variation,
)
from margin_actors.clearing.settlement.parameters import FeeParameters, FeeRule
from margin_actors.errors import InvalidMarketData, InvalidRequest

FREE = SettlementParameters()
CHARGED = SettlementParameters(
    fees=FeeParameters(
        option_trade=FeeRule(rate=Decimal("0.0003"), value_share_max=Decimal("0.125")),
        future_trade=FeeRule(rate=Decimal("0.0005")),
    )
)
INVERSE_OPTION, LINEAR_OPTION = "BTC-26JUN26-46000-C", "BTC_USDC-26JUN26-46000-C"


def trade(quantity: Decimal | int | str, price: Decimal | int | str) -> Trade:
    return Trade("t1", "buyer", "seller", Decimal(quantity), Decimal(price), Decimal(50_000), DAY)


def test_the_premium_of_inverse_options_is_paid_in_coins() -> None:
    option = contract_from_name(INVERSE_OPTION)
    group = trade_group(option, trade(10, "0.0525"), FREE)
    assert cash(group.events) == {"buyer": -52_500_000, "seller": 52_500_000}
    assert {e.asset.name for event in group.events for e in event.entries} == {"BTC"}
    held = quantities_by_account(option, moves(group.events))
    assert held == {"buyer": 10, "seller": -10}


def test_the_premium_of_linear_options_is_paid_in_the_stablecoin() -> None:
    group = trade_group(contract_from_name(LINEAR_OPTION), trade(2, "1234.5"), FREE)
    assert cash(group.events) == {"buyer": -2_469 * 10**6, "seller": 2_469 * 10**6}
    five = contract_from_name("BTC_USD-26JUN26-46000-C", Decimal(5))
    assert premium_units(five, Decimal(2), Decimal("0.015")) == 15


@given(quantities, st.decimals(0, 1, places=4))
def test_premiums_leave_nothing_to_round(quantity: Decimal, price: Decimal) -> None:
    amounts = cash(
        trade_group(contract_from_name(INVERSE_OPTION), trade(quantity, price), FREE).events
    )
    assert ROUNDING_ACCOUNT not in amounts
    assert amounts.get("seller", 0) == round(Fraction(quantity) * Fraction(price) * 10**8)


def test_futures_change_positions_and_pay_nothing_until_settlement() -> None:
    perpetual = contract_from_name(INVERSE)
    group = trade_group(perpetual, trade(60_000, 49_000), FREE)
    assert not cash(group.events)
    settled = variation(perpetual, moves(group.events), Decimal(48_000), cutoff())
    assert cash(settled) == {"buyer": -2_551_020, "seller": 2_551_020}


@pytest.mark.parametrize(
    ("name", "quantity", "price", "fee"),
    [
        (INVERSE_OPTION, 10, "0.05", 300_000),  # 0.03 % of 10 coins
        (INVERSE_OPTION, 10, "0.0001", 12_500),  # an eighth of the premium
        (INVERSE_OPTION, 10, "0", 0),
        (LINEAR_OPTION, 10, "900", 150 * 10**6),  # 0.03 % of 500,000 USDC
        (INVERSE, 100_000, "49000", 100_000),  # 0.05 % of 2 coins
        (LINEAR, 2, "49000", 50 * 10**6),  # 0.05 % of 100,000 USDC
    ],
)
def test_both_sides_pay_the_fee(name: str, quantity: int, price: str, fee: int) -> None:
    contract = contract_from_name(name)
    group = trade_group(contract, trade(quantity, price), CHARGED)
    charged = [event for event in group.events if event.subject.kind == "fee"]
    expected = {"buyer": -fee, "seller": -fee, FEE_ACCOUNT: 2 * fee} if fee else {}
    assert cash(charged) == expected


def test_two_trades_have_different_ids_and_one_trade_always_the_same() -> None:
    contract = contract_from_name(INVERSE_OPTION)
    group = trade_group(contract, trade(10, "0.05"), CHARGED)
    again = trade_group(contract, trade("10.00", "0.0500"), CHARGED)
    other = trade_group(contract, replace(trade(10, "0.05"), id="t2"), CHARGED)
    assert (group.id, group.content_hash) == (again.id, again.content_hash)
    assert not {group.id, *(e.id for e in group.events)} & {other.id, *(e.id for e in other.events)}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("quantity", Decimal(0), "not positive"),
        ("quantity", Decimal("nan"), "finite"),
        ("price", Decimal("-0.01"), "negative premium"),
        ("index", Decimal("inf"), "finite"),
        ("time", EXPIRY, "not before the expiry"),
        ("time", DAY.replace(tzinfo=None), "UTC"),
        ("id", "", "empty"),
        ("seller", "buyer", "also the buyer"),
        ("buyer", FEE_ACCOUNT, "cannot hold positions"),
        ("seller", "", "cannot hold positions"),
    ],
)
def test_unusable_trades_are_refused(field: str, value: object, message: str) -> None:
    wrong = replace(trade(10, "0.05"), **{field: value})
    with pytest.raises(InvalidRequest, match=message):
        trade_group(contract_from_name(INVERSE_OPTION), wrong, FREE)


def test_negative_prices_are_for_linear_futures_only() -> None:
    negative = replace(trade(1, "-37.63"), index=Decimal("-37.63"), time=DAY - timedelta(hours=1))
    group = trade_group(contract_from_name(LINEAR), negative, CHARGED)
    paid = cash(variation(contract_from_name(LINEAR), moves(group.events), Decimal(1), cutoff()))
    assert paid["buyer"] == 38_630_000
    assert cash(group.events)["buyer"] == -round(Decimal("37.63") * Decimal("0.0005") * 10**6)
    for field in ("price", "index"):
        wrong = replace(trade(1, 100), **{field: Decimal(-1)})
        with pytest.raises(InvalidMarketData, match="requires a positive price"):
            trade_group(contract_from_name(INVERSE), wrong, FREE)
