"""The life of a contract: every state with every event."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settlement_books import EXPIRY, RULES, TWO_PEOPLE, final

from margin_actors.clearing.settlement import (
    ContractLife,
    DeliveryPrice,
    advance,
    confirmed,
    contract_from_name,
    corrected,
    delivery_price,
    listed,
)
from margin_actors.clearing.settlement.life import (
    ArchiveRequested,
    BookExpiry,
    GroupBooked,
    LifeEffect,
    LifeEvent,
    LifeState,
    MarginRemainder,
    PriceComputed,
    PriceDecided,
    RemoveContract,
    RequestDecision,
    ReverseAndRebook,
    TimePassed,
)
from margin_actors.clearing.settlement.parameters import DeliveryParameters
from margin_actors.errors import InvalidRequest

OPTION = contract_from_name("BTC_USDC-26JUN26-46000-P")
SOUND = final(45_000)
SILENT = delivery_price("BTC", EXPIRY, [], DeliveryParameters(), RULES)
CONFIRMED = confirmed(SILENT, Decimal(45_000), TWO_PEOPLE)
SECOND = corrected(SOUND, Decimal(44_000), TWO_PEOPLE)
THIRD = corrected(SECOND, Decimal(43_000), TWO_PEOPLE)
NOON = EXPIRY + timedelta(hours=4)

STARTED = TimePassed(EXPIRY - timedelta(minutes=30))
COMPUTED, UNSOUND = PriceComputed(SOUND, EXPIRY), PriceComputed(SILENT, EXPIRY)
CONFIRM, CORRECT, CORRECT_AGAIN = map(PriceDecided, (CONFIRMED, SECOND, THIRD))
EXERCISED, DELIVERED = GroupBooked("exercise", 1, "e1"), GroupBooked("delivery", 1, "d1")
EXERCISED_2, DELIVERED_2 = GroupBooked("exercise", 2, "e2"), GroupBooked("delivery", 2, "e2")
ARCHIVE = ArchiveRequested()

EVENTS: dict[str, LifeEvent] = {
    "time before the averaging": TimePassed(STARTED.now - timedelta(microseconds=1)),
    "time of the averaging": STARTED,
    "sound price": COMPUTED,
    "unsound price": UNSOUND,
    "confirmation": CONFIRM,
    "correction": CORRECT,
    "second correction": CORRECT_AGAIN,
    "exercise": EXERCISED,
    "delivery": DELIVERED,
    "exercise again": EXERCISED_2,
    "delivery again": DELIVERED_2,
    "archive": ARCHIVE,
}


def after(*events: LifeEvent, contract: str = OPTION.name) -> ContractLife:
    life = listed(contract_from_name(contract), DeliveryParameters())
    for event in events:
        life, _ = advance(life, event)
    return life


LIVES: dict[LifeState, ContractLife] = {
    "listed": after(),
    "averaging": after(STARTED),
    "provisional": after(STARTED, UNSOUND),
    "final": after(STARTED, COMPUTED),
    "exercised": after(STARTED, COMPUTED, EXERCISED),
    "delivered": after(STARTED, COMPUTED, EXERCISED, DELIVERED),
    "corrected": after(STARTED, COMPUTED, EXERCISED, DELIVERED, CORRECT),
    "archived": after(STARTED, COMPUTED, EXERCISED, DELIVERED, ARCHIVE),
}
TABLE: dict[tuple[LifeState, str], tuple[LifeState, tuple[LifeEffect, ...]]] = {
    ("listed", "time of the averaging"): ("averaging", (MarginRemainder(),)),
    ("averaging", "sound price"): ("final", (BookExpiry(1),)),
    ("averaging", "unsound price"): ("provisional", (RequestDecision(SILENT),)),
    ("provisional", "confirmation"): ("final", (BookExpiry(1),)),
    ("final", "exercise"): ("exercised", ()),
    ("final", "correction"): ("corrected", (BookExpiry(2),)),
    ("exercised", "delivery"): ("delivered", ()),
    ("exercised", "correction"): ("corrected", (ReverseAndRebook(("e1",), 2),)),
    ("delivered", "correction"): ("corrected", (ReverseAndRebook(("e1", "d1"), 2),)),
    ("delivered", "archive"): ("archived", (RemoveContract(),)),
    ("corrected", "exercise again"): ("exercised", ()),
    ("corrected", "second correction"): ("corrected", (ReverseAndRebook(("e1", "d1"), 3),)),
}
"""Every transition. All other pairs change nothing, if in `UNCHANGED`, or are refused."""
UNCHANGED: dict[str, set[LifeState]] = {
    "time before the averaging": set(LIVES),
    "time of the averaging": set(LIVES) - {"listed"},
    "sound price": set(LIVES) - {"listed", "averaging", "provisional"},
    "unsound price": {"provisional"},
    "confirmation": set(),
    "correction": {"corrected"},
    "second correction": set(),
    "exercise": {"exercised", "delivered", "corrected", "archived"},
    "delivery": {"delivered", "corrected", "archived"},
    "exercise again": set(),
    "delivery again": set(),
    "archive": {"archived"},
}


@pytest.mark.parametrize("state", LIVES)
@pytest.mark.parametrize("name", EVENTS)
def test_every_state_with_every_event(state: LifeState, name: str) -> None:
    life = LIVES[state]
    assert life.state == state
    if (state, name) in TABLE:
        following, effects = advance(life, EVENTS[name])
        assert (following.state, effects) == TABLE[state, name]
        if not isinstance(EVENTS[name], TimePassed | ArchiveRequested):
            assert advance(following, EVENTS[name]) == (following, ())
    elif state in UNCHANGED[name]:
        assert advance(life, EVENTS[name]) == (life, ())
    else:
        with pytest.raises(InvalidRequest, match=f"its state is {state}"):
            advance(life, EVENTS[name])


def test_the_whole_life_with_a_correction_keeps_its_history() -> None:
    life = after(STARTED, UNSOUND, CONFIRM, EXERCISED, DELIVERED)
    second = corrected(CONFIRMED, Decimal(44_000), TWO_PEOPLE)
    life, effects = advance(life, PriceDecided(second))
    assert effects == (ReverseAndRebook(("e1", "d1"), 2),)
    for event in (EXERCISED_2, DELIVERED_2):
        life, _ = advance(life, event)
    assert (life.state, life.booked_groups) == ("delivered", ("e2",))
    assert life.bookings == (EXERCISED, DELIVERED, EXERCISED_2, DELIVERED_2)
    assert life.computed == SILENT


@pytest.mark.parametrize("name", ["BTC_USDC-26JUN26", "BTC-26JUN26", "BTC-26JUN26-46000-P"])
def test_futures_and_directly_delivered_options_are_not_exercised(name: str) -> None:
    life = after(STARTED, COMPUTED, contract=name)
    with pytest.raises(InvalidRequest, match="is not exercised"):
        advance(life, EXERCISED)
    assert advance(life, DELIVERED)[0].state == "delivered"


def test_perpetuals_have_no_delivery() -> None:
    with pytest.raises(InvalidRequest, match="does not expire"):
        listed(contract_from_name("BTC-PERPETUAL"), DeliveryParameters())


def test_the_price_of_the_expiry_never_comes_before_it() -> None:
    early = PriceComputed(SOUND, EXPIRY - timedelta(microseconds=1))
    with pytest.raises(InvalidRequest, match="no delivery price before"):
        advance(LIVES["averaging"], early)
    for event in (TimePassed(EXPIRY.replace(tzinfo=None)),
                  PriceComputed(SOUND, EXPIRY.replace(tzinfo=None))):  # fmt: skip
        with pytest.raises(InvalidRequest, match="the time cannot be used"):
            advance(LIVES["averaging"], event)


def test_a_price_that_was_computed_again_differently_needs_two_people() -> None:
    again = PriceComputed(final(45_001), NOON)
    for state in ("final", "exercised", "delivered", "corrected"):
        with pytest.raises(InvalidRequest, match="two people may decide"):
            advance(LIVES[state], again)


@pytest.mark.parametrize(
    "price",
    [
        final(45_000, underlying="ETH"),
        final(45_000, expiry=EXPIRY + timedelta(days=1)),
        SECOND,
        replace(SOUND, version=2),
    ],
)
def test_a_price_of_another_contract_or_version_is_not_computed(price: DeliveryPrice) -> None:
    with pytest.raises(InvalidRequest):
        advance(LIVES["averaging"], PriceComputed(price, NOON))


def test_a_price_without_a_decision_is_not_decided() -> None:
    for wrong in (
        replace(SILENT, status="final", price=Decimal(1)),
        replace(CONFIRMED, status="provisional"),
        replace(CONFIRMED, version=2),
        replace(CONFIRMED, underlying="ETH"),
    ):
        with pytest.raises(InvalidRequest):
            advance(LIVES["provisional"], PriceDecided(wrong))


FINAL_STATES = {"final", "exercised", "delivered", "corrected", "archived"}


@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=30))
def test_nothing_is_booked_at_a_price_that_is_not_final_and_versions_never_fall(
    names: list[str],
) -> None:
    life = after()
    for name in names:
        former = life
        try:
            life, effects = advance(life, EVENTS[name])
        except InvalidRequest:
            continue
        if any(isinstance(e, BookExpiry | ReverseAndRebook) for e in effects):
            assert life.price is not None
            assert life.price.status == "final"
        assert (life.state in FINAL_STATES) == (
            life.price is not None and life.price.status == "final"
        )
        assert life.bookings[: len(former.bookings)] == former.bookings
        versions = [booked.version for booked in life.bookings]
        assert versions == sorted(versions)
        assert former.computed in (None, life.computed)
