"""The delivery price: mean by time, missing values, decisions, and what is known before."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settlement_books import EXPIRY, RULES, TWO_PEOPLE, fewer, final, steady

from margin_actors.clearing.settlement import (
    Decision,
    DeliveryPrice,
    IndexTick,
    averaged_so_far,
    confirmed,
    contract_from_name,
    corrected,
    delivery_price,
)
from margin_actors.clearing.settlement.delivery_price import final_price
from margin_actors.clearing.settlement.parameters import DeliveryParameters
from margin_actors.errors import InvalidMarketData, InvalidRequest, NotReady

RULE = DeliveryParameters()
START = EXPIRY - timedelta(minutes=30)
SECOND = timedelta(seconds=1)


def price_of(ticks: list[IndexTick]) -> DeliveryPrice:
    return delivery_price("BTC", EXPIRY, ticks, RULE, RULES)


def gap(seconds: int) -> list[IndexTick]:
    """Return a value per second, the last before a gap of `seconds` and then until the expiry."""
    kept = [k for k in range(1800) if k <= 600 or k >= 600 + seconds]
    return [IndexTick(START + k * SECOND, Decimal(100 if k <= 600 else 200)) for k in kept]


@st.composite
def feeds(draw: st.DrawFn) -> list[IndexTick]:
    """Return values at whole seconds from two minutes before the window until its end and after."""
    seconds = draw(st.lists(st.integers(-120, 1860), max_size=60, unique=True))
    return [
        IndexTick(START + k * SECOND, Decimal(draw(st.integers(1, 10**6))), draw(st.booleans()))
        for k in sorted(seconds)
    ]


def by_second(ticks: list[IndexTick], until: int = 1800) -> list[IndexTick | None]:
    """Return the value that is valid in each second of the window, one second after the other."""
    valid: list[IndexTick | None] = []
    for k in range(until):
        now = START + k * SECOND
        before = [tick for tick in ticks if tick.time <= now]
        usable = before and now - before[-1].time < timedelta(seconds=60)
        valid.append(before[-1] if usable else None)
    return valid


@fewer
@given(feeds())
def test_the_price_is_the_mean_over_the_seconds_with_a_valid_value(ticks: list[IndexTick]) -> None:
    found = price_of(ticks)
    valid = [tick for tick in by_second(ticks) if tick is not None]
    assert found.missing_share == Fraction(1800 - len(valid), 1800)
    assert found.flagged_share == Fraction(sum(tick.is_flagged for tick in valid), 1800)
    assert (found.status == "provisional") == (found.missing_share > Fraction(5, 100))
    if valid:
        mean = Fraction(sum(tick.price for tick in valid)) / len(valid)
        assert found.price is not None
        assert abs(Fraction(found.price) - mean) <= Fraction(1, 20_000)
    else:
        assert found.price is None


@fewer
@given(feeds(), st.integers(-10, 1900))
def test_the_known_part_is_the_mean_so_far(ticks: list[IndexTick], seconds: int) -> None:
    now = START + seconds * SECOND
    known = averaged_so_far(EXPIRY, ticks, now, RULE)
    valid = [t for t in by_second(ticks, max(0, min(seconds, 1800))) if t is not None]
    if not valid:
        assert (known.share, known.mean) == (0, None)
        return
    remaining = max(0, 1800 - seconds)
    assert known.share == Fraction(len(valid), len(valid) + remaining)
    assert known.mean == Fraction(sum(t.price for t in valid)) / len(valid)


def test_values_count_by_time_and_not_by_number() -> None:
    slow = [IndexTick(START + timedelta(minutes=k), Decimal(50_000)) for k in range(15)]
    fast = [
        IndexTick(START + timedelta(minutes=15, milliseconds=100 * k), Decimal(40_000))
        for k in range(9_000)
    ]
    assert price_of([*slow, *fast]).price == 45_000


def test_a_trade_during_the_averaging_is_at_risk_for_the_rest_only() -> None:
    now = START + timedelta(minutes=20)
    known = averaged_so_far(EXPIRY, [t for t in steady(45_000) if t.time < now], now, RULE)
    assert (known.share, known.mean) == (Fraction(2, 3), 45_000)
    assert known.expected(Decimal(30_000)) == 40_000
    before = averaged_so_far(EXPIRY, steady(45_000), START, RULE)
    assert (before.share, before.expected(Decimal(30_000))) == (0, 30_000)
    after = averaged_so_far(EXPIRY, steady(45_000), EXPIRY + SECOND, RULE)
    assert (after.share, after.expected(Decimal(1))) == (1, 45_000)


def test_a_crash_at_the_expiry_does_not_move_the_mean() -> None:
    crash = IndexTick(EXPIRY, Decimal(1_000))
    assert price_of([*steady(50_000), crash]).price == 50_000


def test_the_value_before_the_window_counts_at_its_start() -> None:
    early = IndexTick(START - 20 * SECOND, Decimal(100))
    ticks = [early, *(t for t in steady(200) if t.time > START)]
    assert price_of(ticks).missing_share == Fraction(20, 1800)
    at_start = averaged_so_far(EXPIRY, ticks, START + 40 * SECOND, RULE)
    assert at_start.mean == 100


@pytest.mark.parametrize(("seconds", "missing"), [(60, 0), (61, 1), (150, 90), (151, 91)])
def test_a_value_is_carried_for_at_most_sixty_seconds(seconds: int, missing: int) -> None:
    found = price_of(gap(seconds))
    assert found.missing_share == Fraction(missing, 1800)
    assert found.status == ("provisional" if missing > 90 else "final")


def test_a_feed_that_is_silent_has_no_price() -> None:
    found = price_of([])
    assert (found.price, found.status, found.missing_share) == (None, "provisional", 1)


def test_nothing_is_paid_at_a_provisional_price() -> None:
    contract = contract_from_name("BTC-26JUN26-46000-P")
    with pytest.raises(NotReady, match=r"5\.1% of the window has no index value"):
        final_price(contract, price_of(gap(151)))
    with pytest.raises(NotReady, match="two people must confirm"):
        final_price(contract, price_of([]))


def test_two_people_confirm_or_replace_a_provisional_price() -> None:
    provisional = price_of(gap(151))
    kept = confirmed(provisional, None, TWO_PEOPLE)
    assert (kept.price, kept.status, kept.version) == (provisional.price, "final", 1)
    replaced = confirmed(price_of([]), Decimal(123), TWO_PEOPLE)
    assert (replaced.price, replaced.decision) == (123, TWO_PEOPLE)
    assert ("approver", "ben") in replaced.inputs


def test_what_cannot_be_confirmed_is_refused() -> None:
    early = Decision("ada", "ben", "in a hurry", EXPIRY - SECOND)
    for price, value, decision in (
        (final(100), None, TWO_PEOPLE),
        (price_of([]), None, TWO_PEOPLE),
        (price_of([]), Decimal("nan"), TWO_PEOPLE),
        (price_of(gap(151)), None, early),
    ):
        with pytest.raises(InvalidRequest, match="cannot be confirmed"):
            confirmed(price, value, decision)


def test_a_correction_is_the_next_version() -> None:
    found = corrected(final(100), Decimal(101), TWO_PEOPLE)
    assert (found.price, found.version, found.status) == (101, 2, "final")
    again = corrected(found, Decimal(100), TWO_PEOPLE)
    assert again.version == 3
    early = Decision("ada", "ben", "in a hurry", EXPIRY - SECOND)
    for price, value, decision in (
        (price_of(gap(151)), Decimal(1), TWO_PEOPLE),
        (final(100), Decimal("100.00"), TWO_PEOPLE),
        (final(100), Decimal("inf"), TWO_PEOPLE),
        (final(100), Decimal(1), early),
    ):
        with pytest.raises(InvalidRequest, match="cannot be corrected"):
            corrected(price, value, decision)


@pytest.mark.parametrize(
    ("proposer", "approver", "reason"),
    [("ada", "ada", "x"), ("ada", " ada ", "x"), ("", "ben", "x"), ("ada", " ", "x"),
     ("ada", "ben", "")],
)  # fmt: skip
def test_one_person_alone_decides_nothing(proposer: str, approver: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match="the decision is not valid"):
        Decision(proposer, approver, reason, EXPIRY)


def test_a_price_settles_only_its_own_expiry() -> None:
    for name in ("ETH-26JUN26", "BTC-27JUN26", "BTC-PERPETUAL"):
        with pytest.raises(InvalidMarketData, match="of another expiry"):
            final_price(contract_from_name(name), final(100))


def test_negative_prices_settle_linear_contracts_only() -> None:
    price = final("-37.63")
    assert final_price(contract_from_name("BTC_USDC-26JUN26"), price) == Fraction("-37.63")
    with pytest.raises(InvalidMarketData, match="requires a positive price"):
        final_price(contract_from_name("BTC-26JUN26"), price)


def test_values_out_of_order_are_refused() -> None:
    ticks = steady(100)
    for wrong in (
        [ticks[1], ticks[0]],
        [ticks[0], ticks[0]],
        [IndexTick(START, Decimal("nan"))],
        [IndexTick(START.replace(tzinfo=None), Decimal(1))],
    ):
        with pytest.raises(InvalidMarketData, match="cannot be averaged"):
            price_of(wrong)
