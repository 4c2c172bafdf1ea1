"""Timers, reminders and the clock."""

from datetime import timedelta

from clearing_house import MILLION, PARAMETERS, T0, USDC, House

from margin_actors.clearing.calls import CallStatus, Outage
from margin_actors.clearing.house.account_events import ReminderSent
from margin_actors.clearing.house.commands import (
    AttestPayment,
    FireTimers,
    ReadClock,
    ReportOutage,
    Reserve,
)
from margin_actors.clearing.house.parameters import HouseParameters
from margin_actors.clearing.house.schedule import TimerTask, next_timer, timers_due
from margin_actors.clearing.journal.reservations import Reservation


def called() -> House:
    house = House().open("a", "b")
    house.deposit("a", MILLION)
    house.cycle({"a": 1_500_000, "b": 0})
    return house


def reminders(house: House) -> list[tuple[int, int]]:
    """Return (minutes before the due time, unpaid whole dollars)."""
    sent = [event for event in house.events if isinstance(event, ReminderSent)]
    return [(one.minutes, one.unpaid_cents // 100) for one in sent]


def test_reminders_are_sent_thirty_and_ten_minutes_before_the_due_time() -> None:
    house = called()
    house.step(29)
    assert reminders(house) == []
    house.step(1)
    assert reminders(house) == [(30, 500_000)]
    house.deposit("a", 200_000)
    house.step(30, every=2)
    assert reminders(house) == [(30, 500_000), (10, 300_000)]
    assert house.call("a").status is CallStatus.OVERDUE


def test_no_reminder_is_sent_for_what_is_paid_or_cancelled() -> None:
    house = called()
    house.deposit("a", 500_000)
    house.step(60)
    assert reminders(house) == []
    house = called()
    house.cycle({"a": 1, "b": 0})
    house.cycle({"a": 1, "b": 0})
    house.step(60)
    assert reminders(house) == []


def test_of_reminders_that_were_missed_only_the_last_is_sent() -> None:
    house = called()
    house.step(28)
    house.now += timedelta(minutes=4.9)
    house.do(ReadClock(house.id(), "loop", house.now))
    house.now += timedelta(minutes=4.9)
    house.do(ReadClock(house.id(), "loop", house.now))
    house.now += timedelta(minutes=4.9)
    house.do(ReadClock(house.id(), "loop", house.now))
    house.now += timedelta(minutes=4.9)
    house.do(ReadClock(house.id(), "loop", house.now))
    house.now += timedelta(minutes=4.9)
    house.accept(FireTimers(house.id(), "loop"))
    assert reminders(house) == [(10, 500_000)]


def test_an_extended_deadline_is_reminded_again() -> None:
    house = called()
    house.step(31)
    house.accept(
        ReportOutage(
            house.id(), "ops", "bank", Outage(house.now - timedelta(minutes=20), house.now)
        )
    )
    house.step(50, every=1)
    assert [minutes for minutes, _ in reminders(house)] == [30, 30, 10]


def test_timers_fire_by_time_and_then_by_id() -> None:
    house = House().open("b", "a")
    for account in ("a", "b"):
        house.deposit(account, MILLION)
    house.cycle({"a": 1_500_000, "b": 1_500_000})
    expires = house.now + timedelta(minutes=60)
    units = 100 * MILLION
    for account in ("b", "a"):
        house.accept(
            AttestPayment(
                house.id(), "bank", account, f"wire-{account}", USDC, units, "bank", T0, expires
            )
        )
    at = house.now + timedelta(minutes=60)
    due = timers_due(house.state, at)
    assert [(timer.at, timer.id) for timer in due] == sorted((t.at, t.id) for t in due)
    assert {timer.task for timer in due} == {
        TimerTask.CALL,
        TimerTask.REMINDER,
        TimerTask.TRANSFER,
    }
    house.step(59)
    before = len(house.events)
    house.step(1)
    fired = [(event.log_kind, getattr(event, "account", "")) for event in house.events[before:]]
    assert fired == [("call", "a"), ("call", "a"), ("call", "b"), ("call", "b"), ("group", "")]
    assert timers_due(house.state, at) == ()


def test_firing_again_changes_nothing() -> None:
    house = called()
    house.step(60)
    number = house.state.number
    assert house.accept(FireTimers("same", "loop")).events == ()
    assert house.accept(FireTimers("same", "loop")).events == ()
    assert house.state.number == number


def test_the_next_timer_is_the_first_thing_that_happens() -> None:
    house = House().open("a")
    assert next_timer(house.state) is None
    house.deposit("a", MILLION)
    house.cycle({"a": 0})
    expires = house.now + timedelta(minutes=5)
    house.accept(Reserve(house.id(), "desk", "a", Reservation("q1", 100, expires)))
    house.cycle({"a": 1_500_000})
    first = next_timer(house.state)
    assert first is not None
    assert (first.at, first.task) == (house.now + timedelta(minutes=30), TimerTask.REMINDER)


def test_a_jump_of_the_clock_suspends_deadlines_until_a_second_clock_confirms_it() -> None:
    house = called()
    began = house.now
    house.now += timedelta(hours=5)
    house.accept(FireTimers(house.id(), "loop"))
    assert house.state.clock is not None
    assert (house.state.clock.now, house.state.clock.is_suspended) == (began, True)
    assert house.call("a").status is CallStatus.ISSUED
    house.accept(ReadClock(house.id(), "loop", house.now))
    assert house.state.clock is not None
    assert (house.state.clock.now, house.state.clock.is_suspended) == (house.now, False)
    (tranche,) = house.call("a").tranches
    assert tranche.due == began + timedelta(hours=6)
    house.step(60)
    assert house.call("a").status is CallStatus.OVERDUE


def test_a_contradicted_jump_moves_nothing() -> None:
    house = called()
    began = house.now
    house.now += timedelta(hours=5)
    house.accept(ReadClock(house.id(), "loop", began + timedelta(seconds=1)))
    assert house.state.clock is not None
    assert house.state.clock.now == began
    house.now = began + timedelta(minutes=1)
    house.deposit("a", 500_000)
    assert house.state.clock is not None
    assert house.state.clock.now == house.now
    assert house.call("a").status is CallStatus.MET


def test_a_quiet_day_is_not_a_jump() -> None:
    house = House().open("a")
    house.step(24 * 60)
    assert house.state.clock is not None
    assert not house.state.clock.is_suspended
    assert house.now - house.state.clock.now < timedelta(minutes=5)


def test_time_never_runs_backwards() -> None:
    house = called()
    now = house.now
    house.now -= timedelta(minutes=3)
    house.deposit("a", 500_000)
    assert house.state.clock is not None
    assert house.state.clock.now == now
    assert house.call("a").changed_at == now


def test_no_reminder_is_sent_at_or_after_the_due_time() -> None:
    house = called()
    house.step(28, every=4)
    house.now += timedelta(minutes=4)
    house.do(ReadClock(house.id(), "loop", house.now))
    for _ in range(7):
        house.now += timedelta(minutes=4)
        house.do(ReadClock(house.id(), "loop", house.now))
    house.accept(FireTimers(house.id(), "loop"))
    assert house.call("a").status is CallStatus.OVERDUE
    assert reminders(house) == []


def test_a_tranche_that_is_due_soon_after_its_issue_has_no_early_reminder() -> None:
    house = House().open("a", parameters=short_deadlines(20))
    house.deposit("a", MILLION)
    house.cycle({"a": 1_500_000})
    house.step(19, every=1)
    assert reminders(house) == [(10, 500_000)]
    house = House().open("a", parameters=short_deadlines(10))
    house.deposit("a", MILLION)
    house.cycle({"a": 1_500_000})
    house.step(9, every=1)
    assert reminders(house) == []


def short_deadlines(minutes: int) -> HouseParameters:
    calls = PARAMETERS.calls.model_copy(update={"payment_minutes": minutes})
    return PARAMETERS.model_copy(update={"calls": calls})


def test_reminders_of_a_call_that_ended_are_forgotten() -> None:
    house = called()
    house.step(31)
    assert len(house.state.reminders) == 1
    house.deposit("a", 500_000)
    assert not house.state.reminders
