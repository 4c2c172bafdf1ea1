"""The worked examples of the settlement formulas, exactly."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from settlement_books import (
    DAY,
    EXPIRY,
    INVERSE,
    LINEAR,
    RULES,
    cash,
    cutoff,
    final,
    moves,
    sides,
    steady,
)

from margin_actors.clearing.settlement import (
    ROUNDING_ACCOUNT,
    FundingSession,
    contract_from_name,
    delivery_fees,
    delivery_price,
    exercise,
    expiry_group,
    funding,
    funding_minute,
    funding_rate,
    future_delivery,
    future_of,
    option_delivery,
    variation,
)
from margin_actors.clearing.settlement.day import Held
from margin_actors.clearing.settlement.parameters import (
    DeliveryParameters,
    FeeParameters,
    FundingParameters,
    SettlementParameters,
)


def paid(instrument: str, quantity: int, base: int, price: int) -> int:
    contract = contract_from_name(instrument)
    events = variation(contract, sides(instrument, quantity, base), Decimal(price), cutoff())
    return cash(events)["long"]


def test_variation_of_an_inverse_position_since_the_last_settlement() -> None:
    assert paid(INVERSE, 100_000, 50_000, 48_000) == -8_333_333


def test_variation_of_a_position_traded_the_same_day_starts_at_the_trade_price() -> None:
    assert paid(INVERSE, 60_000, 49_000, 48_000) == -2_551_020


def test_variation_of_a_linear_position() -> None:
    assert paid(LINEAR, 2, 50_000, 48_000) == -4_000 * 10**6


def test_one_long_and_ten_shorts_leave_three_units_to_the_rounding_account() -> None:
    book = [side for k in range(10) for side in sides(INVERSE, 10_000, 50_000, seller=f"short {k}")]
    events = variation(contract_from_name(INVERSE), book, Decimal(48_000), cutoff())
    amounts = cash(events)
    assert amounts["long"] == -8_333_333
    assert [amounts[f"short {k}"] for k in range(10)] == [833_333] * 10
    assert amounts[ROUNDING_ACCOUNT] == 3
    assert sum(amounts.values()) == 0


@pytest.mark.parametrize(
    ("mark", "rate"),
    [(50_060, "0.00095"), (50_010, "0"), (49_980, "-0.00015"), (50_500, "0.005")],
)
def test_funding_rate(mark: int, rate: str) -> None:
    perpetual = contract_from_name(INVERSE)
    found = funding_rate(perpetual, Decimal(mark), Decimal(50_000), FundingParameters())
    assert found == Decimal(rate)


def test_funding_payment_of_one_minute() -> None:
    perpetual = contract_from_name(INVERSE)
    minute = funding_minute(
        perpetual, DAY - timedelta(minutes=1), Decimal(50_060), Decimal(50_000), FundingParameters()
    )
    exact = 100_000 * Fraction(minute.accrual)
    assert round(exact * 10**12) == 3_958_333
    events = funding(
        perpetual,
        sides(INVERSE, 100_000, 50_000),
        FundingSession(minute.start, [minute], RULES),
        cutoff(),
    )
    assert cash(events) == {"long": -396, "short": 396}


def test_delivery_price_of_two_levels() -> None:
    ticks = [*steady(50_000)[:15], *steady(40_000)[15:]]
    found = delivery_price("BTC", EXPIRY, ticks, DeliveryParameters(), RULES)
    assert (found.price, found.status, found.missing_share) == (Decimal(45_000), "final", 0)


def test_inverse_puts_pay_by_the_mean_and_not_by_the_last_price() -> None:
    option = contract_from_name("BTC-26JUN26-46000-P")
    book = sides(option.name, 10, "0.05")
    assert cash(option_delivery(option, book, final(45_000), cutoff(EXPIRY)))["long"] == 22_222_222
    assert cash(option_delivery(option, book, final(40_000), cutoff(EXPIRY)))["long"] == 150_000_000


def test_inverse_calls_in_two_steps_pay_the_same_as_directly() -> None:
    option = contract_from_name("BTC-26JUN26-44000-C")
    future = future_of(option)
    book = sides(option.name, 10, "0.05")
    exercised = exercise(option, book, final(45_000), cutoff(EXPIRY))
    received = [c for c in moves(exercised) if c.instrument == future.name]
    assert [(c.account, c.quantity, c.base_price) for c in received] == [
        ("long", 440_000, 44_000), ("short", -440_000, 44_000),
    ]  # fmt: skip
    delivered = cash(future_delivery(future, received, final(45_000), cutoff(EXPIRY)))
    direct = cash(option_delivery(option, book, final(45_000), cutoff(EXPIRY)))
    assert delivered == direct == {"long": 22_222_222, "short": -22_222_222}


def test_exercise_and_delivery_are_linked_in_one_group() -> None:
    rules = SettlementParameters(
        delivery=DeliveryParameters(two_step_inverse=True), fees=FeeParameters()
    )
    option = contract_from_name("BTC-26JUN26-44000-C")
    held = Held(option, tuple(sides(option.name, 10, "0.05")))
    group = expiry_group(Held(future_of(option), ()), [held], final(45_000), cutoff(EXPIRY), rules)
    assert [event.subject.kind for event in group.events] == [
        "exercise", "exercise", "delivery", "delivery", "fee", "fee",
    ]  # fmt: skip
    assert group.id == "expiry:BTC_BTC-26JUN26:2026-06-26T08%3A00%3A00Z:v1"


def test_linear_puts() -> None:
    option = contract_from_name("BTC_USDC-26JUN26-46000-P")
    events = option_delivery(option, sides(option.name, 10, 900), final(45_000), cutoff(EXPIRY))
    assert cash(events) == {"long": 10_000 * 10**6, "short": -10_000 * 10**6}


def test_delivery_fee() -> None:
    option = contract_from_name("BTC-26JUN26-44000-C")
    book = sides(option.name, 10, "0.05")
    rule = FeeParameters().option_delivery
    fees = cash(delivery_fees(option, book, final(45_000), cutoff(EXPIRY), rule))
    assert (fees["long"], fees["short"]) == (-150_000, -150_000)


def test_an_option_on_five_coins_exercised_into_a_future() -> None:
    option = contract_from_name("BTC_USD-26JUN26-60000-C", multiplier=Decimal(5))
    future = future_of(option)
    assert future.multiplier == 5
    price = final("61234.56")
    exercised = exercise(option, sides(option.name, 1, 2_000), price, cutoff(EXPIRY))
    received = [c for c in moves(exercised) if c.instrument == future.name]
    assert [c.quantity for c in received] == [1, -1]
    assert cash(future_delivery(future, received, price, cutoff(EXPIRY)))["long"] == 617_280
