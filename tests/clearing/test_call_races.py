"""The races of a margin call: two events at nearly the same time, in both orders."""

from datetime import timedelta

import pytest
from margin_calls import HOUR, MINUTE, START, THOUSAND, Desk, overdue_desk

from margin_actors.clearing.calls import (
    AccountFrozen,
    Activity,
    Alarm,
    AlarmKind,
    LedgerClock,
    Outage,
    OutageEnded,
    PaymentAllocated,
    RequirementCycle,
    ReservationsVoided,
    TimerSet,
    Treatment,
    frozen_treatment,
    read_clock,
)


def is_timely(desk: Desk) -> list[bool]:
    return [effect.is_timely for effect in desk.effects if isinstance(effect, PaymentAllocated)]


# -- payment at the due time -----------------------------------------------------------------------


def test_a_payment_committed_before_the_timer_meets_the_call() -> None:
    desk = Desk()
    desk.require(1300)
    timer = desk.timer()
    desk.now = timer.at
    desk.pay("p1", 300)
    assert (desk.status, is_timely(desk)) == ("met", [True])
    desk.fire(timer)
    assert desk.status == "met"


def test_a_payment_committed_after_the_timer_ends_overdue_and_can_be_timely() -> None:
    desk = overdue_desk()
    desk.pay("p1", 300, received=START + HOUR)
    assert (desk.status, is_timely(desk)) == ("met", [True])


def test_a_payment_received_after_the_due_time_is_not_timely() -> None:
    desk = overdue_desk()
    desk.pay("p1", 300, received=START + HOUR + timedelta(microseconds=1))
    assert (desk.status, is_timely(desk)) == ("met", [False])


# -- requirement falls while a payment is pending --------------------------------------------------


def test_a_call_is_cancelled_while_a_payment_is_under_way_and_the_payment_still_posts() -> None:
    desk = Desk()
    desk.require(1300)
    desk.attest("p1", 300)
    desk.require(900)
    desk.require(900)
    assert desk.status == "cancelled"
    assert [p.payment_id for p in desk.state.attested] == ["p1"]
    desk.pay("p1", 300)
    assert desk.status == "cancelled"
    assert not is_timely(desk)  # it stays a deposit
    assert not desk.state.attested
    before = desk.state
    desk.pay("p1", 300)
    assert desk.state == before


def test_a_payment_of_a_cancelled_call_does_not_pay_the_next_one_twice() -> None:
    desk = Desk()
    desk.require(1300)
    desk.attest("p1", 300)
    desk.cancel()
    desk.require(1300)  # the payment is still under way, so that the deficit is called again
    desk.pay("p1", 300)
    assert desk.status == "met"
    desk.require(1600, 1300)
    desk.pay("p1", 300)
    assert (desk.status, desk.out) == ("issued", 300)


def test_money_that_was_just_paid_is_not_called_again() -> None:
    desk = Desk()
    desk.require(1300)
    desk.pay("p1", 300)
    # The requirement was calculated before the payment; the resources are those at commit.
    desk.require(1300, 1300)
    assert desk.status == "met"


# -- two calls on one account ----------------------------------------------------------------------


def test_a_scheduled_run_tops_up_the_ad_hoc_call() -> None:
    desk = Desk()
    desk.require(1300)
    call_id = desk.state.call_id
    desk.wait(minutes=15)
    desk.require(1450)
    assert desk.state.call_id == call_id
    assert [t.amount_cents // THOUSAND for t in desk.state.tranches] == [300, 150]
    assert desk.timer(1).at == START + HOUR


def test_two_runs_with_the_same_requirement_call_once() -> None:
    desk = Desk()
    desk.require(1300)
    desk.require(1300)
    assert desk.out == 300


# -- default during settlement ---------------------------------------------------------------------


def test_settlement_of_an_account_in_default_completes_and_pays_nothing_out() -> None:
    desk = overdue_desk()
    desk.declare()
    assert AccountFrozen("C1", desk.state.call_id) in desk.effects
    assert ReservationsVoided("C1", desk.state.call_id) in desk.effects
    treatments = {activity: frozen_treatment(activity) for activity in Activity}
    assert treatments == {
        Activity.SETTLEMENT_LOSS: Treatment.BOOK,
        Activity.SETTLEMENT_GAIN: Treatment.RETAIN,
        Activity.DEPOSIT: Treatment.RETAIN,
        Activity.PAYOUT: Treatment.REFUSE,
        Activity.WITHDRAWAL: Treatment.REFUSE,
        Activity.RESERVATION: Treatment.REFUSE,
        Activity.TRADE: Treatment.REFUSE,
    }


def test_a_requirement_after_the_default_calls_nothing() -> None:
    desk = overdue_desk()
    desk.declare()
    before = desk.state
    desk.require(9000)
    assert (desk.state, desk.effects) == (before, ())


# -- hold over a deadline --------------------------------------------------------------------------


def test_a_hold_suspends_the_consequence_and_not_the_deadline() -> None:
    desk = Desk()
    desk.require(1300)
    due = desk.state.tranches[0].due
    desk.hold()
    desk.wait(hours=3)
    assert (desk.status, desk.state.tranches[0].due) == ("issued", due)
    desk.pay("p1", 100)
    assert is_timely(desk) == [False]
    desk.release()
    desk.wait(minutes=0)
    assert desk.status == "overdue"


def test_extending_during_a_hold_is_a_separate_act() -> None:
    desk = Desk()
    desk.require(1300)
    desk.hold()
    desk.wait(hours=2)
    desk.extend(1, START + 4 * HOUR)
    desk.release()
    assert desk.timer().at == START + 4 * HOUR
    desk.wait(hours=1)
    assert desk.status == "issued"
    desk.wait(hours=1)
    assert desk.status == "overdue"


def test_a_top_up_during_a_hold_is_held_too() -> None:
    desk = Desk()
    desk.require(1300)
    desk.hold()
    desk.wait(minutes=30)
    desk.require(1500)
    desk.wait(hours=2)
    assert desk.status == "issued"
    desk.release()
    assert len(desk.timers) == 2
    desk.wait(minutes=0)
    assert [t.is_late for t in desk.state.tranches] == [True, True]


# -- clocks ----------------------------------------------------------------------------------------


def test_an_overdue_call_stays_overdue_when_the_clock_jumps_back() -> None:
    desk = overdue_desk()
    clock = LedgerClock(desk.now)
    reading = read_clock(clock, START, parameters=desk.parameters.clock)
    assert reading.clock.now == desk.now
    desk.now = START  # even if a caller ignores the ledger clock
    desk.acknowledge()
    desk.require(1350)
    assert desk.status == "overdue"
    assert desk.state.changed_at == START + HOUR


def test_a_top_up_after_the_clock_jumped_back_has_its_full_time() -> None:
    desk = Desk()
    desk.wait(hours=1)
    desk.require(1300)
    desk.now = START
    cents = 1600 * THOUSAND
    desk.send(RequirementCycle(2, cents, 1000 * THOUSAND, valued_at=START + HOUR))
    assert desk.state.tranches[1].due == START + 2 * HOUR


def test_a_jump_forward_suspends_deadlines_until_a_second_clock_confirms_it() -> None:
    desk = Desk()
    desk.require(1300)
    clock = LedgerClock(desk.now)
    reading = read_clock(clock, START + 2 * HOUR, parameters=desk.parameters.clock)
    assert reading.clock.is_suspended
    desk.now = reading.clock.now
    desk.wait(minutes=0)
    assert desk.status == "issued"
    confirmed = read_clock(
        reading.clock, START + 2 * HOUR, second=START + 2 * HOUR, parameters=desk.parameters.clock
    )
    # The service did not run for two hours, which therefore count as an outage.
    outage = Outage(START, START + 2 * HOUR)
    assert confirmed.outage == outage
    desk.now = confirmed.clock.now
    desk.send(OutageEnded(outage))
    assert desk.timer().at == START + 3 * HOUR
    desk.wait(minutes=0)
    assert desk.status == "issued"


# -- stale and repeated messages -------------------------------------------------------------------


def test_a_timer_of_a_former_due_time_is_ignored() -> None:
    desk = Desk()
    desk.require(1300)
    stale = desk.timer()
    desk.extend(1, START + 2 * HOUR)
    desk.wait(hours=1)
    before = desk.state
    desk.fire(stale)
    assert (desk.state, desk.effects) == (before, ())


def test_a_timer_of_a_former_call_is_ignored() -> None:
    desk = Desk()
    desk.require(1300)
    stale = desk.timer()
    desk.cancel()
    desk.require(1300)
    desk.now += 2 * HOUR
    desk.fire(stale)
    assert desk.status == "issued"


def test_a_timer_that_fires_early_is_set_again() -> None:
    desk = Desk()
    desk.require(1300)
    timer = desk.timer()
    desk.now = timer.at - timedelta(microseconds=1)
    before = desk.state
    desk.fire(timer)
    assert desk.state == before
    assert desk.effects == (TimerSet(timer),)


def test_a_timer_of_an_expired_attestation_does_not_end_a_later_one() -> None:
    desk = Desk()
    desk.require(1300)
    desk.attest("p1", 300, hours=0.5)
    (stale,) = [t for t in desk.timers.values() if t.subject == "p1"]
    desk.wait(minutes=30)
    desk.attest("p1", 300, hours=0.5, content="attested again")
    desk.wait(minutes=29)
    desk.fire(stale)
    assert len(desk.state.attested) == 1


def test_no_decision_is_made_on_stale_valuations_and_the_queue_drains_in_order() -> None:
    desk = Desk()
    desk.require(1300)
    queue = [(2, 5000, 1), (3, 900, 2), (4, 900, 24), (5, 900, 25), (6, 900, 29)]
    desk.now = START + 30 * MINUTE
    alarms: list[bool] = []
    statuses: list[str] = []
    for cycle, requirement, minute in queue:
        cents = requirement * THOUSAND
        desk.send(RequirementCycle(cycle, cents, 1000 * THOUSAND, START + minute * MINUTE))
        alarms.append(
            Alarm(AlarmKind.STALE_VALUATION, desk.state.call_id, str(cycle)) in desk.effects
        )
        statuses.append(desk.status)
    assert alarms == [True, True, True, False, False]
    assert statuses == ["issued", "issued", "issued", "issued", "cancelled"]


@pytest.mark.parametrize("order", ["payment first", "attestation first"])
def test_an_attestation_that_arrives_after_its_payment_does_not_block_a_default(
    order: str,
) -> None:
    desk = overdue_desk()
    steps = [lambda: desk.pay("p1", 100), lambda: desk.attest("p1", 100)]
    for step in steps if order == "payment first" else steps[::-1]:
        step()
    assert not desk.state.attested
    desk.declare()
    assert desk.status == "default_declared"
