"""Decisions that two people make about a margin call, and every reason for which one is refused."""

from datetime import timedelta

import pytest
from margin_calls import HOUR, MINUTE, START, Desk, overdue_desk

from margin_actors.clearing.calls import (
    Acknowledged,
    Action,
    ActionApproved,
    ActionExecuted,
    ActionProposed,
    CallParameters,
    CancelCall,
    DeclareDefault,
    ExtendDeadline,
    HoldCall,
    HoldReleased,
    RefusalRule,
    action_hash,
)
from margin_actors.clearing.calls.approvals import approved, proposed
from margin_actors.errors import InvalidRequest

CALL = "call/C1/initial/1"
DEFAULT = DeclareDefault(CALL, "failure to pay")


def rule(desk: Desk) -> RefusalRule | None:
    """The rule of the last refusal; a refused event leaves no effect and no change."""
    refusal = desk.outcome.refusal
    if refusal is None:
        return None
    assert not desk.effects
    assert refusal.what
    return refusal.rule


def open_desk() -> Desk:
    desk = Desk()
    desk.require(1300)
    return desk


def propose(desk: Desk, action: Action, by: str = "ann") -> RefusalRule | None:
    desk.send(ActionProposed(action, by))
    return rule(desk)


def approve(desk: Desk, action: Action, by: str = "bob") -> RefusalRule | None:
    desk.send(ActionApproved(action_hash(action), by))
    return rule(desk)


def execute(desk: Desk, action: Action) -> RefusalRule | None:
    desk.send(ActionExecuted(action))
    return rule(desk)


ACTIONS = [
    HoldCall(CALL, "bank closed"),
    CancelCall(CALL, "wrong price"),
    ExtendDeadline(CALL, 1, START + 3 * HOUR, "bank closed"),
    DEFAULT,
]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda a: type(a).__name__)
def test_one_person_alone_executes_nothing(action: Action) -> None:
    desk = overdue_desk()
    before = desk.state
    assert execute(desk, action) is RefusalRule.NOT_APPROVED
    assert propose(desk, action) is None
    assert approve(desk, action, "ann") is RefusalRule.SAME_PERSON
    assert execute(desk, action) is RefusalRule.NOT_APPROVED
    assert desk.state.status is before.status
    assert desk.state.tranches == before.tranches
    assert approve(desk, action, "bob") is None
    assert execute(desk, action) is None


@pytest.mark.parametrize("action", ACTIONS, ids=lambda a: type(a).__name__)
def test_an_approval_is_used_once(action: Action) -> None:
    desk = overdue_desk()
    desk.two_people(action)
    assert rule(desk) is None
    assert execute(desk, action) is not None


def test_an_approval_covers_exactly_the_proposed_action() -> None:
    desk = open_desk()
    action = ExtendDeadline(CALL, 1, START + 3 * HOUR, "bank closed")
    propose(desk, action)
    approve(desk, action)
    for other in (
        ExtendDeadline(CALL, 1, START + 4 * HOUR, "bank closed"),
        ExtendDeadline(CALL, 1, START + 3 * HOUR, "bank  closed"),
        ExtendDeadline(CALL, 2, START + 3 * HOUR, "bank closed"),
        CancelCall(CALL, "bank closed"),
        HoldCall(CALL, "bank closed"),
    ):
        assert execute(desk, other) is RefusalRule.NOT_APPROVED
    assert execute(desk, action) is None


def test_actions_of_different_kinds_with_equal_fields_have_different_hashes() -> None:
    hashes = {action_hash(kind(CALL, "x")) for kind in (HoldCall, CancelCall, DeclareDefault)}
    assert len(hashes) == 3
    assert action_hash(HoldCall(CALL, "x")) == action_hash(HoldCall(CALL, "x"))


def test_a_proposal_expires() -> None:
    desk = overdue_desk()
    propose(desk, DEFAULT)
    desk.wait(minutes=60)
    assert approve(desk, DEFAULT) is RefusalRule.NOT_PROPOSED
    assert propose(desk, DEFAULT, "bob") is None
    assert len(desk.state.approvals) == 1
    assert approve(desk, DEFAULT, "ann") is None
    desk.wait(minutes=60)
    assert execute(desk, DEFAULT) is RefusalRule.NOT_APPROVED


def test_a_proposal_counts_until_just_before_it_expires() -> None:
    desk = overdue_desk()
    propose(desk, DEFAULT)
    desk.now += 60 * MINUTE - timedelta(microseconds=1)
    assert approve(desk, DEFAULT) is None
    assert execute(desk, DEFAULT) is None


def test_a_second_proposal_is_not_an_approval() -> None:
    desk = overdue_desk()
    propose(desk, DEFAULT, "ann")
    before = desk.state
    assert propose(desk, DEFAULT, "ann") is None
    assert desk.state == before
    assert propose(desk, DEFAULT, "bob") is RefusalRule.ALREADY_PROPOSED
    assert execute(desk, DEFAULT) is RefusalRule.NOT_APPROVED


def test_a_third_person_changes_nothing() -> None:
    desk = overdue_desk()
    propose(desk, DEFAULT)
    approve(desk, DEFAULT, "bob")
    before = desk.state
    assert approve(desk, DEFAULT, "eve") is None
    assert desk.state == before


def test_an_action_that_was_not_proposed_cannot_be_approved() -> None:
    assert approve(open_desk(), DEFAULT) is RefusalRule.NOT_PROPOSED


# -- the call and its status -----------------------------------------------------------------------


def test_events_that_name_another_call_are_refused() -> None:
    desk = open_desk()
    other = "call/C1/initial/2"
    assert propose(desk, HoldCall(other, "x")) is RefusalRule.OTHER_CALL
    assert execute(desk, HoldCall(other, "x")) is RefusalRule.OTHER_CALL
    desk.send(Acknowledged(other))
    assert rule(desk) is RefusalRule.OTHER_CALL
    desk.hold()
    desk.send(HoldReleased(other, "ann"))
    assert rule(desk) is RefusalRule.OTHER_CALL


def test_an_action_on_a_call_that_is_not_open_is_refused() -> None:
    desk = open_desk()
    desk.pay("p1", 300)
    assert propose(desk, HoldCall(CALL, "x")) is RefusalRule.NOT_OPEN
    assert execute(desk, CancelCall(CALL, "x")) is RefusalRule.NOT_OPEN


def test_approvals_end_with_the_call() -> None:
    desk = open_desk()
    action = CancelCall(CALL, "x")
    propose(desk, action)
    approve(desk, action)
    desk.pay("p1", 300)
    assert not desk.state.approvals
    desk.require(1600, 1300)
    assert execute(desk, action) is RefusalRule.OTHER_CALL


def test_a_hold_is_placed_once_and_released_once() -> None:
    desk = open_desk()
    desk.release()
    assert rule(desk) is RefusalRule.NOT_HELD
    desk.hold()
    desk.hold()
    assert rule(desk) is RefusalRule.ALREADY_HELD
    desk.release()
    assert rule(desk) is None
    assert not desk.state.is_held


def test_a_hold_ends_with_the_call() -> None:
    desk = open_desk()
    desk.hold()
    desk.pay("p1", 300)
    desk.require(1600, 1300)
    assert not desk.state.is_held


# -- default ---------------------------------------------------------------------------------------


def test_a_default_can_be_proposed_only_when_the_call_is_overdue() -> None:
    desk = open_desk()
    assert propose(desk, DEFAULT) is RefusalRule.NOT_OVERDUE
    desk.wait(minutes=60)
    assert propose(desk, DEFAULT) is None


def test_no_default_is_declared_while_a_payment_is_attested() -> None:
    desk = overdue_desk()
    desk.attest("p1", 300, hours=0.5)
    desk.declare()
    assert rule(desk) is RefusalRule.PAYMENT_UNDER_WAY
    desk.now += 30 * MINUTE  # the attestation has expired, even if its timer is late
    assert execute(desk, DEFAULT) is None
    assert desk.status == "default_declared"


def test_no_default_is_declared_during_a_hold() -> None:
    desk = overdue_desk()
    desk.hold()
    desk.declare()
    assert rule(desk) is RefusalRule.HELD
    desk.release()
    assert execute(desk, DEFAULT) is None


def test_approvals_of_a_default_are_cleared_when_the_late_tranche_is_paid() -> None:
    desk = overdue_desk()
    desk.require(1600)
    hold = HoldCall(CALL, "x")
    for action in (DEFAULT, hold):
        propose(desk, action)
        approve(desk, action)
    desk.pay("p1", 300)
    assert [a.action_hash for a in desk.state.approvals] == [action_hash(hold)]
    assert execute(desk, DEFAULT) is RefusalRule.NOT_OVERDUE
    desk.wait(minutes=60)
    assert desk.status == "overdue"
    assert execute(desk, DEFAULT) is RefusalRule.NOT_APPROVED


def test_a_payment_in_part_does_not_clear_the_approvals_of_a_default() -> None:
    """Otherwise a member could delay a declaration with one cent at a time."""
    desk = overdue_desk()
    propose(desk, DEFAULT)
    approve(desk, DEFAULT)
    desk.pay("p1", 0.01)
    assert execute(desk, DEFAULT) is None


# -- extension -------------------------------------------------------------------------------------


def test_an_extension_must_be_later_than_the_due_time_and_the_present() -> None:
    desk = open_desk()
    desk.extend(1, START + HOUR)
    assert rule(desk) is RefusalRule.NOT_LATER
    late = overdue_desk()
    late.wait(minutes=30)
    late.extend(1, late.now)
    assert rule(late) is RefusalRule.NOT_LATER


def test_an_extension_names_an_unpaid_tranche() -> None:
    desk = open_desk()
    desk.require(1600)
    desk.extend(3, START + 5 * HOUR)
    assert rule(desk) is RefusalRule.NO_SUCH_TRANCHE
    desk.pay("p1", 300)
    desk.extend(1, START + 5 * HOUR)
    assert rule(desk) is RefusalRule.NO_SUCH_TRANCHE


@pytest.mark.parametrize("status", ["issued", "acknowledged", "partly_met"])
def test_an_extension_of_the_late_tranche_returns_the_call_to_its_former_status(
    status: str,
) -> None:
    desk = open_desk()
    if status == "acknowledged":
        desk.acknowledge()
    if status == "partly_met":
        desk.pay("p1", 100)
    desk.wait(minutes=60)
    propose(desk, DEFAULT)
    approve(desk, DEFAULT)
    desk.extend(1, START + 2 * HOUR)
    assert desk.status == status
    assert desk.timer().at == START + 2 * HOUR
    assert not desk.state.approvals
    desk.wait(minutes=60)
    assert desk.status == "overdue"


def test_payments_fill_and_reductions_take_by_due_time_and_not_by_issue() -> None:
    desk = open_desk()
    desk.wait(minutes=10)
    desk.require(1500)
    desk.extend(1, START + 5 * HOUR)
    desk.pay("p1", 200)
    assert [t.paid_cents for t in desk.state.tranches] == [0, desk.state.tranches[1].amount_cents]
    desk.require(1290, 1200)
    assert desk.state.tranches[0].unpaid_cents == desk.state.out_cents
    assert desk.out == 90


# -- forms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["", "  "])
def test_an_action_needs_a_reason(reason: str) -> None:
    for action in (HoldCall, CancelCall, DeclareDefault):
        with pytest.raises(InvalidRequest, match="reason: is empty"):
            action(CALL, reason)
    with pytest.raises(InvalidRequest, match="reason: is empty"):
        ExtendDeadline(CALL, 1, START, reason)


@pytest.mark.parametrize("by", ["", " "])
def test_every_decision_names_its_person(by: str) -> None:
    for create in (
        lambda: ActionProposed(DEFAULT, by),
        lambda: ActionApproved(action_hash(DEFAULT), by),
        lambda: HoldReleased(CALL, by),
    ):
        with pytest.raises(InvalidRequest, match="by: names no person"):
            create()


def test_due_times_are_in_utc() -> None:
    with pytest.raises(InvalidRequest, match=r"due: .* is not a time in UTC"):
        ExtendDeadline(CALL, 1, START.replace(tzinfo=None), "x")


def test_the_function_of_approval_refuses_the_proposer() -> None:
    proposal = proposed(DEFAULT, "ann", START, minutes=60)
    assert not proposal.is_complete(START)
    with pytest.raises(InvalidRequest, match="ann proposed the action"):
        approved(proposal, "ann")
    assert approved(proposal, "bob").is_complete(START)


def test_the_life_of_a_proposal_is_a_parameter() -> None:
    desk = Desk(CallParameters(approval_minutes=5))
    desk.require(1300)
    propose(desk, HoldCall(CALL, "x"))
    desk.wait(minutes=5)
    assert approve(desk, HoldCall(CALL, "x")) is RefusalRule.NOT_PROPOSED
