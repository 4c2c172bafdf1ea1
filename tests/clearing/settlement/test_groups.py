"""Events and groups: ids, contents, sums, corrections."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settlement_books import (
    DAY,
    EXPIRY,
    INVERSE,
    LINEAR,
    TWO_PEOPLE,
    books,
    cash,
    cutoff,
    fewer,
    final,
    moves,
    prices,
    sides,
)

from margin_actors.clearing.amounts import ASSETS
from margin_actors.clearing.settlement import (
    ROUNDING_ACCOUNT,
    Entry,
    PositionChange,
    SettlementEvent,
    SettlementGroup,
    Subject,
    contract_from_name,
    correction,
    is_repetition,
    linked_group,
    lots_by_account,
    option_delivery,
    quantities_by_account,
    variation,
)
from margin_actors.errors import InvalidRequest, KeyReused

BOTH = st.sampled_from([INVERSE, LINEAR])


def daily(
    name: str, book: list[PositionChange], price: Decimal, *, version: int = 1, days: int = 0
) -> SettlementGroup:
    """Return the variation of a book as a group."""
    at = cutoff(DAY + timedelta(days=days), version=version)
    events = variation(contract_from_name(name), book, price, at)
    return linked_group("daily", name, at.time, events, version=version)


@fewer
@given(st.data(), BOTH, prices, prices)
def test_the_same_id_has_the_same_content_or_is_refused(
    data: st.DataObject, name: str, price: Decimal, other: Decimal
) -> None:
    book = data.draw(books(name))
    group = daily(name, book, price)
    assert is_repetition(group, daily(name, data.draw(st.permutations(book)), price))
    again = daily(name, book, other)
    assert again.id == group.id
    if price == other:
        assert is_repetition(group, again)
    else:
        with pytest.raises(KeyReused, match="recorded with another content"):
            is_repetition(group, again)


def test_another_version_time_or_contract_is_another_group() -> None:
    group = daily(INVERSE, sides(INVERSE, 1, 50_000), Decimal(48_000))
    for other in (
        daily(INVERSE, sides(INVERSE, 1, 50_000), Decimal(48_000), version=2),
        daily(INVERSE, sides(INVERSE, 1, 50_000), Decimal(48_000), days=1),
        daily(LINEAR, sides(LINEAR, 1, 50_000), Decimal(48_000)),
    ):
        assert not is_repetition(group, other)
        assert not {e.id for e in group.events} & {e.id for e in other.events}


def test_every_field_of_an_event_is_part_of_its_content() -> None:
    event = variation(
        contract_from_name(INVERSE), sides(INVERSE, 100_000, 50_000), Decimal(48_000), cutoff()
    )[0]
    entry, moved = event.entries[0], event.changes[0]
    others = [
        replace(event, entries=()),
        replace(event, entries=(replace(entry, units=entry.units + 1),)),
        replace(event, entries=(replace(entry, account="other"),)),
        replace(event, entries=(replace(entry, asset=ASSETS["ETH"]),)),
        replace(event, changes=event.changes[1:]),
        replace(event, changes=(replace(moved, quantity=Decimal(1)), *event.changes[1:])),
        replace(event, changes=(replace(moved, base_price=Decimal(1)), *event.changes[1:])),
        replace(event, changes=(replace(moved, time=DAY + timedelta(1)), *event.changes[1:])),
        replace(event, changes=(replace(moved, account="other"), *event.changes[1:])),
        replace(event, changes=(replace(moved, instrument=LINEAR), *event.changes[1:])),
        replace(event, inputs=(("price", "48001"),)),
        replace(event, account="other"),
        replace(event, subject=replace(event.subject, version=2)),
    ]
    assert len({event.content_hash, *(other.content_hash for other in others)}) == len(others) + 1


accounts = st.text(st.sampled_from("a:/%v1 é"), min_size=1, max_size=6)


@given(accounts, accounts, accounts, accounts)
def test_ids_of_different_subjects_differ(a: str, b: str, c: str, d: str) -> None:
    one = Subject("premium", a, DAY, 1, b).id_for(c)
    other = Subject("premium", d, DAY, 1, b).id_for(a)
    assert (one == other) == ((a, c) == (d, a))


@fewer
@given(st.data(), BOTH, prices, prices)
def test_a_correction_leaves_what_would_have_been_booked_at_the_right_price(
    data: st.DataObject, name: str, wrong: Decimal, right: Decimal
) -> None:
    book = data.draw(books(name))
    booked = daily(name, book, wrong)
    group = correction(booked, daily(name, book, right, version=2), TWO_PEOPLE)
    expected = daily(name, book, right)
    assert cash([*booked.events, *group.events]) == cash(expected.events)
    contract = contract_from_name(name)
    held = [*book, *moves([*booked.events, *group.events])]
    assert lots_by_account(contract, held) == lots_by_account(
        contract, [*book, *moves(expected.events)]
    )


@fewer
@given(st.data(), BOTH, prices, prices, prices)
def test_a_correction_of_an_earlier_day_reaches_the_following_settlement_by_itself(
    data: st.DataObject, name: str, wrong: Decimal, right: Decimal, last: Decimal
) -> None:
    book = data.draw(books(name))
    first = daily(name, book, wrong)
    second = daily(name, [*book, *moves(first.events)], last, days=1)
    fixed = correction(first, daily(name, book, right, version=2), TWO_PEOPLE)
    history = [*first.events, *second.events, *fixed.events]
    third = daily(name, [*book, *moves(history)], last, days=2)
    total = cash([*history, *third.events])
    direct = daily(name, book, right)
    expected = cash(
        [*direct.events, *daily(name, [*book, *moves(direct.events)], last, days=1).events]
    )
    for account in {c.account for c in book}:
        assert abs(total.get(account, 0) - expected.get(account, 0)) <= 2


def test_a_correction_of_a_correction_reverses_only_what_stands() -> None:
    option = contract_from_name("BTC-26JUN26-46000-P")
    book = sides(option.name, 10, "0.05")

    def delivered(price: int, version: int) -> SettlementGroup:
        price_found = replace(final(price), version=version)
        events = option_delivery(option, book, price_found, cutoff(EXPIRY, version=version))
        return linked_group("expiry", option.name, EXPIRY, events, version=version)

    one = delivered(45_000, 1)
    two = correction(one, delivered(40_000, 2), TWO_PEOPLE)
    three = correction(two, delivered(45_000, 3), TWO_PEOPLE)
    assert [event.id for event in three.events if event.reverses] == [
        f"{event.id}:reversal" for event in two.events if not event.reverses
    ]
    history = [*one.events, *two.events, *three.events]
    assert len({event.id for event in history}) == len(history)
    assert cash(history) == cash(one.events)
    assert quantities_by_account(option, [*book, *moves(history)]) == {}
    assert three.reverses == two.id
    assert ("approver", "ben") in three.inputs


def test_what_is_not_a_correction_is_refused() -> None:
    book = sides(INVERSE, 1, 50_000)
    group = daily(INVERSE, book, Decimal(48_000))
    second = correction(group, daily(INVERSE, book, Decimal(47_000), version=2), TWO_PEOPLE)
    for former, wrong, message in (
        (group, daily(INVERSE, book, Decimal(47_000)), "version 1, not one after 1"),
        (group, daily(INVERSE, book, Decimal(1), version=2, days=1), "does not settle the same"),
        (group, daily(LINEAR, sides(LINEAR, 1, 1), Decimal(1), version=2), "not settle the same"),
        (group, second, "is a correction already"),
    ):
        with pytest.raises(InvalidRequest, match=message):
            correction(former, wrong, TWO_PEOPLE)


def test_repetitions_of_a_correction_depend_on_who_decided() -> None:
    book = sides(INVERSE, 1, 50_000)
    group = daily(INVERSE, book, Decimal(48_000))
    new = daily(INVERSE, book, Decimal(47_000), version=2)
    one = correction(group, new, TWO_PEOPLE)
    assert is_repetition(one, correction(group, new, TWO_PEOPLE))
    with pytest.raises(KeyReused, match="who decided"):
        is_repetition(one, correction(group, new, replace(TWO_PEOPLE, reason="another")))


def test_a_group_that_does_not_sum_to_zero_is_refused() -> None:
    group = daily(INVERSE, sides(INVERSE, 100_000, 50_000), Decimal(48_000))
    long, short = group.events

    def refused(message: str, *events: SettlementEvent) -> None:
        with pytest.raises(InvalidRequest, match=message):
            linked_group("daily", INVERSE, DAY, events)

    refused("BTC: sums to 8333333 units", replace(long, entries=()), short)
    refused("has net quantity", replace(long, changes=long.changes[:1]), short)
    refused("occurs twice", long, long, short)
    refused("is not of version 1", replace(long, subject=replace(long.subject, version=2)), short)
    later = replace(long.subject, time=DAY + timedelta(1))
    refused("is not for 2026-03-02T08:00:00Z", replace(long, subject=later), short)
    with pytest.raises(InvalidRequest, match="give a time in UTC"):
        linked_group("daily", INVERSE, DAY.replace(tzinfo=None), [])
    extra = Entry(ROUNDING_ACCOUNT, ASSETS["ETH"], 1)
    refused("ETH: sums to 1", replace(long, entries=(*long.entries, extra)), short)
