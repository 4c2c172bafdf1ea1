"""The rows of the transition table of a margin call, except payments: one or more tests per row."""

from datetime import timedelta

import pytest
from margin_calls import HOUR, START, THOUSAND, Desk, overdue_desk

from margin_actors.clearing.calls import (
    AccountFrozen,
    Alarm,
    AlarmKind,
    Announcement,
    News,
    ReservationsVoided,
    TimerSet,
    TimerVoided,
    TrancheIssued,
    TrancheReduced,
    WithdrawalsAllowed,
    WithdrawalsBlocked,
)

# -- none, met, cancelled | requirement ------------------------------------------------------------


def test_a_deficit_above_trigger_and_minimum_transfer_issues_a_call() -> None:
    desk = Desk()
    desk.require(1300)
    (tranche,) = desk.state.tranches
    assert (desk.status, desk.out) == ("issued", 300)
    assert tranche.due == START + HOUR
    assert desk.kinds == [TrancheIssued, TimerSet, Announcement]
    assert desk.timer().at == tranche.due
    assert desk.news == [News.ISSUED]


@pytest.mark.parametrize(
    ("requirement", "resources"),
    [
        (1099.99, 1000),  # minimum transfer not reached
        (11000, 10000),  # at the trigger of 110 %, not above it
        (0, 0),
    ],
)
def test_at_or_below_trigger_or_minimum_transfer_nothing_is_called(
    requirement: float, resources: float
) -> None:
    desk = Desk()
    desk.require(requirement, resources)
    assert desk.status == "none"
    assert not desk.effects


@pytest.mark.parametrize(
    ("requirement", "resources", "called"),
    [(11000.01, 10000, 1010), (1100.01, 1000, 110), (100, 0, 100), (0, -100, 100), (300, -5, 310)],
)
def test_the_whole_deficit_is_called_rounded_up_to_the_unit(
    requirement: float, resources: float, called: float
) -> None:
    desk = Desk()
    desk.require(requirement, resources)
    assert desk.out == called


def test_a_frozen_account_is_not_called() -> None:
    desk = Desk()
    desk.require(1300, frozen=True)
    assert desk.status == "none"


@pytest.mark.parametrize("end", ["pay", "cancel"])
def test_after_the_end_of_a_call_a_deficit_issues_the_next_one(end: str) -> None:
    desk = Desk()
    desk.require(1300)
    first = desk.state.call_id
    if end == "pay":
        desk.pay("p1", 300)
    else:
        desk.cancel()
    assert desk.status == {"pay": "met", "cancel": "cancelled"}[end]
    desk.require(1500, 1300)
    assert desk.state.call_id != first
    assert (desk.status, desk.out, len(desk.state.tranches)) == ("issued", 200, 1)
    assert not desk.state.is_acknowledged


# -- issued | acknowledgement ----------------------------------------------------------------------


def test_acknowledgement_of_an_issued_call() -> None:
    desk = Desk()
    desk.require(1300)
    desk.acknowledge()
    assert (desk.status, desk.news) == ("acknowledged", [News.ACKNOWLEDGED])
    version = desk.state.version
    desk.acknowledge()
    assert (desk.state.version, desk.effects) == (version, ())


def test_acknowledgement_changes_no_later_status() -> None:
    desk = Desk()
    desk.require(1300)
    desk.pay("p1", 100)
    desk.acknowledge()
    assert (desk.status, desk.state.is_acknowledged) == ("partly_met", True)
    late = overdue_desk()
    late.acknowledge()
    assert late.status == "overdue"


# -- open | requirement ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["issued", "acknowledged", "partly_met", "overdue"])
def test_a_larger_deficit_adds_a_tranche_with_its_own_due_time(status: str) -> None:
    desk = Desk()
    desk.require(1300)
    if status == "acknowledged":
        desk.acknowledge()
    if status == "partly_met":
        desk.pay("p1", 50)
    desk.wait(minutes=60 if status == "overdue" else 20)
    assert desk.status == status
    paid = 50 if status == "partly_met" else 0
    desk.require(1400, 1000 + paid)
    first, second = desk.state.tranches
    assert desk.status == status
    assert (first.due, second.due) == (START + HOUR, desk.now + HOUR)
    assert second.amount_cents == 100 * THOUSAND
    assert desk.news == [News.TOPPED_UP]


def test_a_deficit_that_is_larger_by_less_than_the_minimum_transfer_changes_nothing() -> None:
    desk = Desk()
    desk.require(1300)
    desk.require(1399.99)
    assert (desk.out, len(desk.state.tranches), desk.effects) == (300, 1, ())


def test_a_smaller_deficit_reduces_the_latest_tranche_first() -> None:
    desk = Desk()
    desk.require(1300)
    desk.wait(minutes=10)
    desk.require(1500)
    desk.require(1354.99)
    assert [t.amount_cents // THOUSAND for t in desk.state.tranches] == [300, 60]
    assert desk.kinds == [TrancheReduced, Announcement]
    desk.require(1150)
    assert [t.amount_cents // THOUSAND for t in desk.state.tranches] == [150, 0]
    assert desk.kinds == [TrancheReduced, TrancheReduced, TimerVoided, Announcement]
    assert (desk.status, desk.out, desk.news) == ("issued", 150, [News.REDUCED])


def test_a_reduction_never_takes_what_has_been_paid() -> None:
    desk = Desk()
    desk.require(1300)
    desk.pay("p1", 250)
    desk.require(1260, 1250)
    (tranche,) = desk.state.tranches
    assert (tranche.amount_cents, tranche.paid_cents) == (260 * THOUSAND, 250 * THOUSAND)
    assert desk.status == "partly_met"


def test_a_reduction_is_exact_to_the_cent() -> None:
    desk = Desk()
    desk.require(1300)
    desk.pay("p1", 279.99999)
    desk.require(1400, 1279.99999)
    assert [t.unpaid_cents for t in desk.state.tranches] == [20 * THOUSAND + 1, 100 * THOUSAND]
    desk.require(1299.99999, 1279.99999)
    assert [t.unpaid_cents for t in desk.state.tranches] == [20 * THOUSAND, 0]


def test_two_cycles_at_or_below_release_cancel_the_call() -> None:
    desk = Desk()
    desk.require(1300)
    desk.require(1000)
    assert (desk.status, desk.out, desk.effects) == ("issued", 300, ())
    desk.require(900)
    assert (desk.status, desk.out, desk.timers) == ("cancelled", 0, {})
    assert desk.kinds == [TimerVoided, Announcement]


def test_the_cycles_at_release_are_consecutive() -> None:
    desk = Desk()
    desk.require(1300)
    for requirement in (1000, 1250, 1000):
        desk.require(requirement)
        assert desk.status == "issued"
    desk.require(1000)
    assert desk.status == "cancelled"


def test_a_repeated_cycle_does_not_count_twice() -> None:
    desk = Desk()
    desk.require(1300)
    desk.require(900)
    version = desk.state.version
    desk.require(900, cycle=desk.state.last_cycle)
    desk.require(900, cycle=desk.state.last_cycle - 1)
    assert (desk.status, desk.state.version) == ("issued", version)


def test_an_overdue_call_that_is_released_allows_withdrawals() -> None:
    desk = overdue_desk()
    desk.require(900)
    desk.require(900)
    assert desk.status == "cancelled"
    assert desk.kinds == [WithdrawalsAllowed, Announcement]


# -- timers, hold ----------------------------------------------------------------------------------


def test_an_unpaid_tranche_is_overdue_at_its_due_time() -> None:
    desk = Desk()
    desk.require(1300)
    timer = desk.timer()
    desk.wait(minutes=59)
    assert desk.status == "issued"
    desk.wait(minutes=1)
    assert desk.status == "overdue"
    assert desk.kinds == [WithdrawalsBlocked, Announcement, Alarm]
    assert desk.effects[-1] == Alarm(AlarmKind.OVERDUE, desk.state.call_id, timer.subject)


def test_a_due_time_that_passes_under_a_hold_is_noted_without_consequence() -> None:
    desk = Desk()
    desk.require(1300)
    desk.hold()
    timer = desk.timer()
    desk.wait(hours=1)
    assert (desk.status, desk.state.is_held) == ("issued", True)
    assert desk.news == [News.DEADLINE_PASSED_UNDER_HOLD]
    before = desk.state
    desk.fire(timer)
    assert (desk.state, desk.effects) == (before, ())


def test_after_a_hold_the_timer_runs_again() -> None:
    desk = Desk()
    desk.require(1300)
    due = desk.timer().at
    desk.hold()
    desk.wait(minutes=90)
    desk.release()
    assert desk.status == "issued"
    assert desk.timer().at == due  # a hold does not move the deadline
    desk.wait(minutes=0)
    assert desk.status == "overdue"


def test_a_hold_that_ends_before_the_due_time_leaves_the_timer() -> None:
    desk = Desk()
    desk.require(1300)
    timer = desk.timer()
    desk.hold()
    desk.release()
    assert desk.timer() == timer
    assert desk.kinds == [Announcement]


# -- declaration, cancellation ---------------------------------------------------------------------


def test_two_people_declare_the_default_of_an_overdue_call() -> None:
    desk = overdue_desk()
    desk.declare()
    assert desk.status == "default_declared"
    assert desk.kinds == [AccountFrozen, ReservationsVoided, Announcement]
    assert desk.out == 300


def test_two_people_cancel_an_open_call_with_a_reason() -> None:
    desk = Desk()
    desk.require(1300)
    desk.cancel()
    assert (desk.status, desk.out, desk.timers) == ("cancelled", 0, {})
    assert desk.kinds == [TimerVoided, Announcement]


def test_nothing_leaves_a_declared_default() -> None:
    desk = overdue_desk()
    desk.declare()
    declared = desk.state
    desk.require(0)
    desk.require(5000)
    desk.attest("p1", 300)
    desk.acknowledge()
    desk.cancel()
    desk.hold()
    desk.report_outage(desk.now - timedelta(hours=3), desk.now)
    assert desk.state == declared
    desk.pay("p1", 300)
    assert desk.status == "default_declared"
    assert desk.effects == (Alarm(AlarmKind.PAYMENT_AFTER_DEFAULT, desk.state.call_id, "p1"),)
