"""The groups of a day and the batch that links them."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from settlement_books import (
    DAY,
    EXPIRY,
    INVERSE,
    LINEAR,
    RULES,
    TWO_PEOPLE,
    books,
    cash,
    cutoff,
    fewer,
    final,
    moves,
    sides,
)

from margin_actors.clearing.settlement import (
    FundingSession,
    Held,
    PositionChange,
    SettlementGroup,
    SettlementParameters,
    contract_from_name,
    corrected,
    correction,
    daily_group,
    expiry_group,
    folded,
    funding_minute,
    next_settlement,
    settlement_batch,
)
from margin_actors.clearing.settlement.events import KIND_ORDER
from margin_actors.clearing.settlement.parameters import (
    DeliveryParameters,
    FeeParameters,
    FeeRule,
    FundingParameters,
)
from margin_actors.errors import InvalidRequest

NAMES = ["BTC-26JUN26", "BTC-26JUN26-30000-C", "BTC-26JUN26-60000-P", "BTC-26JUN26-90000-C"]


def perpetual(name: str) -> SettlementGroup:
    contract = contract_from_name(name)
    when = cutoff(EXPIRY)
    start = when.time - timedelta(minutes=1)
    minute = funding_minute(contract, start, Decimal(50_500), Decimal(50_000), FundingParameters())
    book = tuple(sides(name, 1_000_000, 50_000, time=EXPIRY - timedelta(hours=2)))
    session = FundingSession(start, [minute], RULES)
    return daily_group(Held(contract, book), Decimal(48_000), when, session)


def expiring(
    books_by_name: dict[str, list[PositionChange]], rules: SettlementParameters, price: int = 45_000
) -> SettlementGroup:
    held = [Held(contract_from_name(n), tuple(book)) for n, book in books_by_name.items()]
    return expiry_group(held[0], held[1:], final(price), cutoff(EXPIRY), rules)


def rules(*, two_step: bool) -> SettlementParameters:
    return SettlementParameters(delivery=DeliveryParameters(two_step_inverse=two_step))


@fewer
@given(st.data(), st.integers(20_000, 100_000))
def test_an_expiry_pays_the_same_directly_and_in_two_steps_and_empties_the_books(
    data: st.DataObject, price: int
) -> None:
    held = {name: data.draw(books(name)) for name in NAMES}
    direct = expiring(held, rules(two_step=False), price)
    netted = expiring(held, rules(two_step=True), price)
    one, other = cash(direct.events), cash(netted.events)
    for account in {c.account for book in held.values() for c in book}:
        assert abs(one.get(account, 0) - other.get(account, 0)) <= 2
    for group in (direct, netted):
        for name, book in held.items():
            changes = [c for c in [*book, *moves(group.events)] if c.instrument == name]
            assert folded(contract_from_name(name), changes, EXPIRY) == ()


def test_events_of_a_group_are_in_the_order_of_their_kinds() -> None:
    daily = perpetual(INVERSE)
    assert [e.subject.kind for e in daily.events] == ["funding"] * 2 + ["variation"] * 2
    held = {name: sides(name, 10, "0.05") for name in NAMES}
    group = expiring(held, rules(two_step=True))
    order = [KIND_ORDER[event.subject.kind] for event in group.events]
    assert order == sorted(order)
    assert {e.subject.kind for e in group.events} == {"exercise", "lapse", "delivery", "fee"}


def test_funding_and_variation_close_before_the_delivery() -> None:
    delivery = expiring({name: sides(name, 10, "0.05") for name in NAMES}, rules(two_step=False))
    inverse, linear = perpetual(INVERSE), perpetual(LINEAR)
    batch = settlement_batch([delivery, linear, inverse])
    assert [group.purpose for group in batch.groups] == ["daily", "daily", "expiry"]
    again = settlement_batch([inverse, delivery, linear])
    assert (again.id, again.content_hash) == (batch.id, batch.content_hash)
    fewer = settlement_batch([inverse, delivery])
    assert fewer.id != batch.id


def test_a_batch_links_different_groups_of_one_time() -> None:
    group = perpetual(INVERSE)
    for wrong, message in (
        ([], "is empty"),
        ([group, group], "occurs twice"),
        ([group, replace(group, time=DAY)], "is not for"),
        ([replace(group, purpose="trade")], "booked by itself"),
    ):
        with pytest.raises(InvalidRequest, match=message):
            settlement_batch(wrong)


def test_a_corrected_delivery_price_rebooks_the_whole_expiry() -> None:
    held = {name: sides(name, 10, "0.05") for name in NAMES}
    contracts = [Held(contract_from_name(n), tuple(book)) for n, book in held.items()]
    first = expiring(held, rules(two_step=True))
    second_price = corrected(final(45_000), Decimal(95_000), TWO_PEOPLE)
    at = cutoff(EXPIRY, version=2)
    rebooked = expiry_group(contracts[0], contracts[1:], second_price, at, rules(two_step=True))
    group = correction(first, rebooked, TWO_PEOPLE)
    direct = expiring(held, rules(two_step=True), 95_000)
    assert cash([*first.events, *group.events]) == cash(direct.events)
    assert group.id.endswith(":v2")


def test_fees_of_expiring_futures_are_charged_on_what_was_held() -> None:
    fees = FeeParameters(option_delivery=FeeRule(), future_delivery=FeeRule(rate=Decimal("0.001")))
    charged = SettlementParameters(fees=fees, delivery=DeliveryParameters(two_step_inverse=True))
    held = {"BTC-26JUN26": sides("BTC-26JUN26", 45_000, 45_000), NAMES[1]: sides(NAMES[1], 3, 1)}
    paid = [e for e in expiring(held, charged).events if e.subject.kind == "fee"]
    assert cash(paid)["long"] == -100_000


def test_contracts_that_do_not_expire_together_are_refused() -> None:
    for name in ("BTC_USDC-26JUN26-30000-C", "ETH-26JUN26-3000-C", "BTC-27JUN26-30000-C"):
        with pytest.raises(InvalidRequest, match="do not expire together"):
            expiring({"BTC-26JUN26": [], name: []}, rules(two_step=False))
    twice = [Held(contract_from_name(NAMES[1]), tuple(sides(NAMES[1], 1, 1)))] * 2
    with pytest.raises(InvalidRequest, match="occurs twice"):
        expiry_group(
            Held(contract_from_name(NAMES[0]), ()), twice, final(1), cutoff(EXPIRY),
            rules(two_step=False),
        )  # fmt: skip


def test_only_perpetuals_have_a_funding_session() -> None:
    contract = contract_from_name(INVERSE)
    with pytest.raises(InvalidRequest, match="has no funding session"):
        daily_group(Held(contract, ()), Decimal(1), cutoff())
    future = contract_from_name("BTC-26JUN26")
    session = FundingSession(DAY, [], RULES)
    with pytest.raises(InvalidRequest, match="has a funding session"):
        daily_group(Held(future, ()), Decimal(1), cutoff(), session)
    assert daily_group(Held(future, ()), Decimal(1), cutoff()).events == ()


def test_the_next_settlement_is_the_first_after_now() -> None:
    once, twice = SettlementParameters(), SettlementParameters(hours_utc=(8, 20))
    assert next_settlement(DAY - timedelta(microseconds=1), once) == DAY
    assert next_settlement(DAY, once) == DAY + timedelta(days=1)
    assert next_settlement(DAY, twice) == DAY + timedelta(hours=12)
    assert next_settlement(DAY + timedelta(hours=13), twice) == DAY + timedelta(days=1)
    with pytest.raises(InvalidRequest):
        next_settlement(DAY.replace(tzinfo=None), once)


def test_every_parameter_is_part_of_the_id_of_the_rules() -> None:
    base = SettlementParameters()
    others = [
        SettlementParameters(version="2"),
        SettlementParameters(hours_utc=(7,)),
        SettlementParameters(funding=FundingParameters(cap=Decimal("0.004"))),
        SettlementParameters(funding=FundingParameters(caps={INVERSE: Decimal("0.005")})),
        SettlementParameters(delivery=DeliveryParameters(window_minutes=60)),
        SettlementParameters(fees=FeeParameters(future_trade=FeeRule(rate=Decimal("0.1")))),
        SettlementParameters(fees=FeeParameters(option_delivery=FeeRule(rate=Decimal("0.00015")))),
    ]
    assert len({base.id, *(other.id for other in others)}) == len(others) + 1
    same = SettlementParameters(funding=FundingParameters(cap=Decimal("0.00500")))
    assert same.id == base.id
    assert SettlementParameters.model_validate_json(base.model_dump_json()) == base


@pytest.mark.parametrize(
    "wrong",
    [
        {"cap": "-0.1"},
        {"cap": "nan"},
        {"cap": "inf"},
        {"caps": {INVERSE: "-1"}},
        {"period_hours": 0},
        {"unknown": 1},
    ],
)
def test_impossible_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FundingParameters.model_validate(wrong)


def test_every_parameter_says_what_it_means() -> None:
    silent = [
        f"{part.__name__}.{name}"
        for part in (SettlementParameters, FundingParameters, DeliveryParameters, FeeRule,
                     FeeParameters)
        for name, field in part.model_fields.items()
        if not field.description
    ]  # fmt: skip
    assert silent == []
