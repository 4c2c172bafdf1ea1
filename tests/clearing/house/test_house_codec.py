"""The codec: every kind of event is written in one way and read back exactly."""

import json
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import get_args

import pytest
from clearing_house import MILLION, House
from house_days import full_day
from hypothesis import given
from hypothesis import strategies as st

from margin_actors.clearing.calls import Effect
from margin_actors.clearing.house import HouseEvent, event_of, payload_of
from margin_actors.clearing.house.account_events import CallChanged
from margin_actors.clearing.house.codec import FORMS
from margin_actors.clearing.house.events import AlarmRaised, HouseAlarm
from margin_actors.clearing.house.forms import DECIMAL, FRACTION, MOMENT
from margin_actors.clearing.house.parameters import (
    CollateralParameters,
    HouseParameters,
    collateral_parameters,
)
from margin_actors.errors import InvalidRequest


@pytest.fixture(scope="module")
def day() -> House:
    return full_day()


def test_every_kind_of_event_occurs_in_a_full_day(day: House) -> None:
    assert {event.log_kind for event in day.events} == set(FORMS)


def test_every_kind_of_effect_occurs_in_a_full_day(day: House) -> None:
    effects = {type(effect) for event in day.calls_changed() for effect in event.effects}
    assert effects == set(get_args(Effect))


def test_ids_occur_once(day: House) -> None:
    repeated = [name for name, times in Counter(e.id for e in day.events).items() if times > 1]
    assert repeated == []


def test_the_whole_log_gives_the_state(day: House) -> None:
    assert day.replayed() == day.state
    assert day.state.number == len(day.log)


def test_payloads_are_canonical(day: House) -> None:
    for kind, payload, _ in day.log:
        content = json.loads(payload)
        again = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert again == payload
        assert payload_of(event_of(kind, payload)) == payload


def test_a_payload_with_a_missing_or_another_field_is_refused(day: House) -> None:
    seen: set[str] = set()
    for kind, payload, _ in day.log:
        if kind in seen:
            continue
        seen.add(kind)
        content = json.loads(payload)
        first = next(iter(content))
        for changed in (
            {name: value for name, value in content.items() if name != first},
            {**content, "another": 1},
            [content],
        ):
            with pytest.raises(InvalidRequest, match="cannot be read"):
                event_of(kind, json.dumps(changed))


def test_an_unknown_kind_and_a_text_that_is_not_json_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="'pickle'"):
        event_of("pickle", "{}")
    with pytest.raises(InvalidRequest, match="not JSON"):
        event_of("alarm", "{")


def test_a_value_of_another_type_is_refused() -> None:
    alarm = AlarmRaised(HouseAlarm.OTHER, "x", "y", "c1")
    for name, value in (("alarm", "unheard_of"), ("subject", 7), ("outage", 1), ("what", None)):
        changed = {**json.loads(payload_of(alarm)), name: value}
        with pytest.raises(InvalidRequest):
            event_of("alarm", json.dumps(changed))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-1e9, max_value=1e9))
def test_decimals_are_read_back_exactly(value: Decimal) -> None:
    text = DECIMAL.write(value)
    assert DECIMAL.read(text) == value
    assert DECIMAL.write(DECIMAL.read(text)) == text


@given(st.fractions())
def test_fractions_are_read_back_exactly(value: object) -> None:
    assert FRACTION.read(FRACTION.write(value)) == value  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["1.50", "1E+3", "NaN", "-0", "", " 1"])
def test_a_decimal_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        DECIMAL.read(text)


@pytest.mark.parametrize("text", ["2026-05-15", "2026-05-15T08:00:00", "2026-05-15T08:00:00+02:00"])
def test_a_time_that_is_not_in_utc_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        MOMENT.read(text)


def test_the_hash_of_an_event_depends_on_its_whole_content() -> None:
    house = House().open("a")
    house.deposit("a", MILLION)
    house.cycle({"a": 1_500_000})
    (event,) = house.calls_changed()
    content = json.loads(payload_of(event))
    hashes = {event.payload_hash}
    content["after"]["tranches"][0]["amount_cents"] += 1
    changed: HouseEvent = event_of("call", json.dumps(content))
    assert isinstance(changed, CallChanged)
    hashes.add(changed.payload_hash)
    assert len(hashes) == 2


def section(share: str) -> CollateralParameters:
    return CollateralParameters(haircuts={"BTC": Decimal(share)})


def test_the_id_of_parameters_does_not_depend_on_their_version() -> None:
    one = HouseParameters()
    assert one.id == HouseParameters(version="2").id
    assert one.id != HouseParameters(withdrawal_minutes=5).id
    assert HouseParameters(collateral=collateral_parameters(one.rules)) == one
    written = HouseParameters(withdrawal_minutes=5, collateral=section("0.10"))
    assert written.id == HouseParameters(withdrawal_minutes=5, collateral=section("0.1")).id
    assert one.withdrawal_time == timedelta(days=1)
