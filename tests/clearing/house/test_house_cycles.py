"""Cycles: resources at the commit, marks, and what is recorded."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from clearing_house import BTC, MILLION, PERPETUAL, House

from margin_actors.clearing.amounts import ASSETS
from margin_actors.clearing.calls import CallClass, CallStatus
from margin_actors.clearing.house import decide, event_of, fold, payload_of
from margin_actors.clearing.house.book_events import CycleRecorded
from margin_actors.clearing.house.commands import BookTrades, RecordCycle, TradeBooking
from margin_actors.clearing.house.events import HouseAlarm
from margin_actors.clearing.house.queries import call_state, resources_of, shortfalls
from margin_actors.clearing.settlement import Trade


def funded(*accounts: str) -> House:
    house = House().open(*accounts)
    for account in accounts:
        house.deposit(account, MILLION)
    return house


def last_cycle(house: House) -> CycleRecorded:
    assert house.state.cycle is not None
    return house.state.cycle


def test_resources_are_those_at_the_commit() -> None:
    house = funded("a")
    read = house.state.number
    house.deposit("a", 5, asset=BTC)
    house.cycle({"a": 1_200_000}, read_number=read)
    cycle = last_cycle(house)
    assert cycle.collateral_cents == (122_500_000,)
    assert cycle.excess_cents(0) == 2_500_000


def test_positions_after_the_calculation_are_valued_from_the_marks() -> None:
    house = funded("a", "b", "c")
    house.cycle({"a": 0, "b": 0, "c": 0})
    read = house.state.number
    house.trade("a", "b", 10, price=48_000)
    gains = {"a": 999_999, "b": 999_999, "c": 7}
    house.cycle({"a": 0, "b": 0, "c": 0}, read_number=read, mark=50_000, unsettled=gains)
    assert last_cycle(house).unsettled_cents == (2_000_000, -2_000_000, 700)
    assert resources_of(house.state, "a").unsettled_cents == 2_000_000


def test_an_option_bought_after_the_calculation_counts_with_its_mark() -> None:
    house = funded("a", "b")
    house.cycle({"a": 0, "b": 0})
    read = house.state.number
    name = "BTC_USDC-26JUN26-60000-C"
    trade = Trade("t1", "a", "b", Decimal(2), Decimal(1_500), Decimal(50_000), house.now)
    house.accept(BookTrades(house.id(), "x", (TradeBooking(name, trade),)))
    command = RecordCycle(
        house.id(), "loop", 2, "calculation", "s", "g", "m", house.now, read,
        {"BTC": Decimal(50_000)}, {name: Decimal(1_600)}, ("a", "b"), (0, 0), (0, 0),
    )  # fmt: skip
    house.accept(command)
    cycle = last_cycle(house)
    assert cycle.option_cents == (320_000, -320_000)
    assert cycle.option_values_cents == {"USDC": (320_000, -320_000)}
    assert cycle.collateral_cents == (99_700_000, 100_300_000)


def test_without_a_mark_the_values_of_the_calculation_are_used_and_an_alarm_is_raised() -> None:
    house = funded("a", "b")
    read = house.state.number
    house.trade("a", "b", 10, price=48_000)
    command = RecordCycle(
        house.id(), "loop", 1, "calculation", "s", "g", "m", house.now, read,
        {}, {}, ("a", "b"), (0, 0), (12, 34),
    )  # fmt: skip
    decision = house.accept(command)
    assert last_cycle(house).unsettled_cents == (12, 34)
    alarms = [event for event in decision.events if event.log_kind == "alarm"]
    assert len(alarms) == 2
    assert PERPETUAL in house.state.alarms[f"{HouseAlarm.MARK_MISSING.value}:a"].what


def test_an_account_that_cannot_be_valued_does_not_affect_the_others() -> None:
    house = funded("a", "b")
    house.deposit("a", 5, asset=ASSETS["ETH"])
    house.cycle({"a": 3_000_000, "b": 3_000_000})
    assert last_cycle(house).accounts == ("b",)
    assert [event.account for event in house.calls_changed()] == ["b"]
    assert "ETH" in house.state.alarms[f"{HouseAlarm.MARK_MISSING.value}:a"].what


def test_a_stale_valuation_decides_nothing_and_raises_one_alarm() -> None:
    house = funded("a", "b")
    decision = house.cycle({"a": 9_000_000, "b": 9_000_000}, age_minutes=6)
    assert [event.log_kind for event in decision.events] == ["alarm", "command"]
    assert house.state.cycle is None


def test_a_cycle_that_is_not_later_is_refused() -> None:
    house = funded("a")
    house.cycle({"a": 0}, number=7)
    decision = house.cycle({"a": 9_000_000}, number=7)
    assert decision.refusal is not None
    assert decision.refusal.rule == "old_cycle"


def test_a_cycle_of_the_future_or_of_unknown_accounts_is_refused() -> None:
    house = funded("a")
    for decision, rule in (
        (house.cycle({"a": 0}, age_minutes=-1), "invalid"),
        (house.cycle({"a": 0}, read_number=house.state.number + 1), "invalid"),
        (house.cycle({"a": 0, "z": 0}), "unknown_account"),
    ):
        assert decision.refusal is not None
        assert decision.refusal.rule == rule


def test_calls_that_do_not_change_are_not_logged_and_still_count_the_cycle() -> None:
    house = funded("a", "b")
    house.cycle({"a": 1_500_000, "b": 0})
    decision = house.cycle({"a": 1_500_000, "b": 0})
    assert [event.log_kind for event in decision.events] == ["cycle", "command"]
    assert call_state(house.state, "a", CallClass.INITIAL).last_cycle == 2
    assert call_state(house.state, "b", CallClass.INITIAL).last_cycle == 2


def test_a_call_ends_after_two_cycles_at_release() -> None:
    house = funded("a")
    house.cycle({"a": 1_500_000})
    house.cycle({"a": 900_000})
    assert house.call("a").status is CallStatus.ISSUED
    house.cycle({"a": 900_000})
    assert house.call("a").status is CallStatus.CANCELLED


def test_an_account_that_a_cycle_leaves_out_keeps_its_margin() -> None:
    house = funded("a", "b")
    house.cycle({"a": 100_000, "b": 200_000})
    house.cycle({"b": 300_000})
    house.cycle({"b": 400_000})
    kept = house.state.margin("a")
    assert kept is not None
    assert (kept.cycle, kept.requirement_cents) == (1, 10_000_000)


def test_shortfalls_are_ranked_by_deficit_over_resources() -> None:
    house = funded("a", "b", "c")
    house.open_account("d")
    house.deposit("b", 9_000_000)
    house.cycle({"a": 1_500_000, "b": 11_000_000, "c": 1_000_000, "d": 1})
    ranked = shortfalls(house.state)
    assert [one.accounts[0] for one in ranked] == ["d", "a", "b"]
    assert [one.deficit_cents for one in ranked] == [100, 50_000_000, 100_000_000]


def test_a_cycle_of_many_accounts_is_read_back_without_its_calls_being_decided_again() -> None:
    house = House().open(*(f"fund-{number}" for number in range(40)))
    requirements = {f"fund-{number}": 200_000 * number for number in range(40)}
    before = house.state
    decision = house.cycle(requirements)
    state = before
    for event in decision.events:
        state = fold(state, event_of(event.log_kind, payload_of(event)), house.now)
    assert state == decision.state
    assert len(house.calls_changed()) == 39


def test_later_parameters_do_not_change_the_past() -> None:
    house = funded("a")
    house.cycle({"a": 1_500_000})
    log = list(house.log)
    early = house.replayed()
    section = house.state.parameters.calls.model_copy(update={"minimum_transfer_usd": 10**9})
    strict = house.state.parameters.model_copy(update={"calls": section})
    fresh = replace(house.state, parameters=strict)
    later = house.now + timedelta(minutes=1)
    command = RecordCycle(
        "later", "loop", 2, "c", "s", "g", "m", later, 0, {}, {}, ("a",), (10**9,), (0,)
    )
    assert [e.log_kind for e in decide(fresh, command, later).events] == ["cycle", "command"]
    assert house.log == log
    assert early == house.state
