"""Incidents of real venues, as far as decisions are concerned."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from clearing_house import MILLION, PERPETUAL, USDC, House
from house_days import EXPIRY, FUTURE, book, delivery, expiry, settle

from margin_actors.clearing.calls import CallStatus, DeclareDefault, Outage
from margin_actors.clearing.house import decide
from margin_actors.clearing.house.acts import CancelTrades, ExemptionKind, GrantExemption
from margin_actors.clearing.house.book_events import CycleRecorded
from margin_actors.clearing.house.commands import (
    BookTrades,
    Command,
    ReadClock,
    RecordCycle,
    RecordDeliveryPrice,
    ReportOutage,
    RequestWithdrawal,
    TradeBooking,
)
from margin_actors.clearing.house.people_commands import ExecuteAct, ProposeAct
from margin_actors.clearing.house.queries import balances, quantities, resources_of, shortfalls
from margin_actors.clearing.settlement import Trade


def queued_cycle(house: House, number: int, minutes: float) -> RecordCycle:
    """Return a cycle that was valued some minutes from now and may be decided later."""
    return RecordCycle(
        f"cycle-{number}", "loop", number, f"calculation-{number}", "s", "g", "m",
        house.now + timedelta(minutes=minutes), house.state.number, {}, {}, ("a",),
        (100 * (1_500_000 + number),), (0,),
    )  # fmt: skip


def test_a_queue_that_was_frozen_drains_in_order_and_decides_nothing_on_stale_data() -> None:
    """12 March 2020: late processing of old prices triggered calls."""
    house = House().open("a")
    house.deposit("a", MILLION)
    began = house.now
    queue: list[Command] = [queued_cycle(house, number, number) for number in range(1, 31)]
    house.now += timedelta(minutes=30)
    house.accept(ReadClock(house.id(), "loop", house.now))
    for command in queue:
        house.accept(command)
    recorded = [event for event in house.events if isinstance(event, CycleRecorded)]
    assert [one.number for one in recorded] == list(range(25, 31))
    assert len([e for e in house.events if e.log_kind == "alarm"]) == 1 + 24
    assert all(house.now - one.valued_at <= timedelta(minutes=5) for one in recorded)
    (issued,) = house.calls_changed()
    assert issued.after.tranches[0].due == began + timedelta(minutes=90)
    late = replace(queue[28], id="late")  # type: ignore[type-var]
    assert house.refused(late) == "old_cycle"


def test_data_that_are_filled_in_later_leave_past_entries_as_they_are() -> None:
    """19 May 2021: doubtful data were filled in after an outage."""
    house = House().open("a")
    house.deposit("a", MILLION)
    house.cycle({"a": 1_500_000})
    house.step(4)
    log = list(house.log)
    corrected = queued_cycle(house, 1, -4)
    assert house.refused(corrected) == "old_cycle"
    house.step(1)
    house.accept(queued_cycle(house, 2, 0))
    assert house.log[: len(log)] == log
    (first, _) = (event for event in house.events if isinstance(event, CycleRecorded))
    assert first.requirement_cents == (150_000_000,)


def test_there_is_no_exemption_without_two_people_and_all_are_listed() -> None:
    """November 2022: a flag exempted one account."""
    house = House().open("a")
    house.deposit("a", MILLION)
    act = GrantExemption(ExemptionKind.CALLS, "a", house.now + timedelta(days=1), "agreed")
    proposed = house.accept(ProposeAct(house.id(), "ann", act))
    assert proposed.reply is not None
    (name,) = proposed.reply.subjects
    assert house.refused(ExecuteAct(house.id(), "ann", name)) == "not_approved"
    house.cycle({"a": 2_000_000})
    assert house.call("a").status is CallStatus.ISSUED
    house.step(60)
    assert house.call("a").status is CallStatus.OVERDUE
    house.enact(replace(act, reason="agreed again"), people="CD")
    (listed,) = house.state.exemptions.values()
    assert (listed.subject, listed.people) == ("a", ("C", "D"))


def test_an_outage_of_the_way_of_deposits_extends_open_deadlines() -> None:
    """10 October 2025: deposits were restricted for a time."""
    house = House().open("a", "b")
    for account in ("a", "b"):
        house.deposit(account, MILLION)
    house.cycle({"a": 1_500_000, "b": 0})
    due = house.call("a").tranches[0].due
    house.step(20)
    outage = Outage(house.now - timedelta(minutes=15), house.now)
    reply = house.accept(ReportOutage(house.id(), "ops", "bank", outage)).reply
    assert reply is not None
    assert reply.subjects == (house.call("a").call_id,)
    assert house.call("a").tranches[0].due == due + timedelta(minutes=15)
    number = house.state.number
    house.accept(ReportOutage(house.id(), "other", "bank", outage))
    assert house.call("a").tranches[0].due == due + timedelta(minutes=15)
    assert house.state.number == number + 2  # the report and its command, no call
    house.accept(
        ReportOutage(house.id(), "ops", "bank", Outage(house.now - timedelta(minutes=1), house.now))
    )
    assert house.call("a").tranches[0].due == due + timedelta(minutes=15)


def test_a_service_that_was_lost_for_five_hours_extends_deadlines() -> None:
    """May 2026: a venue was dark for more than five hours."""
    house = House().open("a")
    house.deposit("a", MILLION)
    house.cycle({"a": 1_500_000})
    due = house.call("a").tranches[0].due
    house.step(50)
    house.now += timedelta(hours=5)
    house.accept(ReadClock(house.id(), "loop", house.now))
    assert house.call("a").tranches[0].due == due + timedelta(hours=5)
    house.step(9)
    assert house.call("a").status is CallStatus.ISSUED
    house.step(1)
    assert house.call("a").status is CallStatus.OVERDUE


def cancelled_day(trades: int) -> House:
    """Return a house that booked trades, called and was paid; it checks the cancellation."""
    house = House().open("a", "b")
    for account in ("a", "b"):
        house.deposit(account, MILLION)
    price = Decimal(50_000)
    names = tuple(f"t{number}" for number in range(trades))
    option = "BTC_USDC-26JUN26-60000-C"
    bookings = [
        TradeBooking(option, Trade(n, "a", "b", Decimal("0.01"), Decimal(100), price, house.now))
        if number % 2
        else TradeBooking(PERPETUAL, Trade(n, "a", "b", Decimal("0.01"), price, price, house.now))
        for number, n in enumerate(names)
    ]
    command = BookTrades("book", "matching", tuple(bookings))
    decision = decide(house.state, command, house.now)
    assert decision.reply is not None
    house.state = decision.state
    house.events += decision.events
    house.cycle({"a": 1_500_000, "b": 0})
    house.deposit("a", 510_000)
    assert house.call("a").status is CallStatus.MET
    paid = house.call("a").payments
    house.enact(CancelTrades(names, "the market was disorderly"))
    assert not quantities(house.state, "a")
    assert not quantities(house.state, "b")
    assert balances(house.state, "b")[0].cash == balances(house.state, "a")[0].cash == 0
    assert house.call("a").payments == paid
    assert house.call("a").status is CallStatus.MET
    house.cycle({"a": 0, "b": 0})
    assert resources_of(house.state, "a").total_cents == 151_000_000
    assert not shortfalls(house.state)
    name = house.id()
    units = 510_000 * MILLION
    house.accept(RequestWithdrawal(house.id(), "ann", name, "a", USDC, units, "bank"))
    return house


def test_trades_are_cancelled_after_calls_were_paid() -> None:
    """Nickel, March 2022: a day of trades was cancelled."""
    cancelled_day(40)


@pytest.mark.slow
def test_ten_thousand_trades_are_cancelled_in_one_decision() -> None:
    house = cancelled_day(10_000)
    (group,) = (event for event in house.groups() if event.id.startswith("cancellation:"))
    assert len(group.positions) == 20_000


def test_a_default_before_an_expiry_lets_the_settlement_complete() -> None:
    """Default at 07:55, expiry at 08:00: losses are booked, gains retained, payouts stopped."""
    house = House().open("a", "b", "c")
    for account in ("a", "b", "c"):
        house.deposit(account, MILLION)
    book(house, FUTURE, "a", "b", 4, 50_000)
    house.step(50)
    house.cycle({"a": 1_500_000, "b": 0, "c": 0})
    house.step(65)
    assert house.call("a").status is CallStatus.OVERDUE
    house.four_eyes("a", DeclareDefault(house.call("a").call_id, "not paid"))
    assert house.now == EXPIRY - timedelta(minutes=5)
    house.step(5)
    price = delivery(55_000)
    house.accept(RecordDeliveryPrice(house.id(), "loop", price))
    house.accept(settle(house, expiry(house.state, price)))
    assert balances(house.state, "a")[0].collateral == 1_020_000 * MILLION
    assert balances(house.state, "b")[0].collateral == 980_000 * MILLION
    gain = RequestWithdrawal(house.id(), "ann", "w1", "a", USDC, 20_000 * MILLION, "bank")
    assert house.refused(gain) == "frozen"
    house.cycle({"a": 9_000_000, "b": 0, "c": 0})
    assert house.call("a").status is CallStatus.DEFAULT_DECLARED
    assert house.call("a").number == 1
