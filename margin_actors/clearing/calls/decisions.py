"""Decisions of people: acknowledgement, hold, extension, cancellation, declaration of default."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from margin_actors.clearing.calls.approvals import (
    Action,
    Approval,
    CancelCall,
    DeclareDefault,
    ExtendDeadline,
    HoldCall,
    action_hash,
    approved,
    proposed,
)
from margin_actors.clearing.calls.effects import (
    AccountFrozen,
    Announcement,
    Effect,
    News,
    Outcome,
    Refusal,
    RefusalRule,
    ReservationsVoided,
)
from margin_actors.clearing.calls.events import (
    Acknowledged,
    ActionApproved,
    ActionExecuted,
    ActionProposed,
    HoldReleased,
)
from margin_actors.clearing.calls.parameters import CallParameters
from margin_actors.clearing.calls.state import CallState, CallStatus
from margin_actors.clearing.calls.tranches import concluded, rearranged, with_due_time


def on_acknowledged(state: CallState, event: Acknowledged) -> Outcome:
    """Record that the member has read the call; only the status of an issued call changes."""
    if event.call_id != state.call_id:
        return _other_call(state, event.call_id)
    if not state.is_open or state.is_acknowledged:
        return Outcome(state)
    after, effects = rearranged(replace(state, is_acknowledged=True), state.tranches)
    news = Announcement(News.ACKNOWLEDGED, state.call_id, state.out_cents)
    return Outcome(after, (*effects, news))


def on_proposed(
    state: CallState, event: ActionProposed, now: datetime, parameters: CallParameters
) -> Outcome:
    """Record the proposal of an action; a default can be proposed only when the call is overdue."""
    refusal = _refusal_of_call(state, event.action)
    if refusal is not None:
        return Outcome(state, refusal=refusal)
    proposal = proposed(event.action, event.by, now, minutes=parameters.approval_minutes)
    former = _approval_of(state, proposal.action_hash, now)
    if former is not None:
        if former.proposer == event.by:
            return Outcome(state)
        what = f"{former.proposer} has proposed {former.action_hash}"
        return _refused(state, RefusalRule.ALREADY_PROPOSED, what)
    valid = tuple(a for a in state.approvals if now < a.expires)
    after = replace(state, approvals=(*valid, proposal))
    news = Announcement(News.ACTION_PROPOSED, state.call_id, state.out_cents, proposal.action_hash)
    return Outcome(after, (news,))


def on_approved(state: CallState, event: ActionApproved, now: datetime) -> Outcome:
    """Record the approval of an action by a second person."""
    former = _approval_of(state, event.action_hash, now)
    if former is None:
        what = f"{event.action_hash} is not proposed at {now}"
        return _refused(state, RefusalRule.NOT_PROPOSED, what)
    if former.proposer == event.by:
        what = f"{event.by} proposed {event.action_hash}"
        return _refused(state, RefusalRule.SAME_PERSON, what)
    if former.approver:
        return Outcome(state)
    approvals = tuple(approved(a, event.by) if a is former else a for a in state.approvals)
    news = Announcement(News.ACTION_APPROVED, state.call_id, state.out_cents, event.action_hash)
    return Outcome(replace(state, approvals=approvals), (news,))


def on_executed(state: CallState, event: ActionExecuted, now: datetime) -> Outcome:
    """Execute an action that two people have approved; its approval is used up."""
    refusal = _refusal_of_call(state, event.action)
    if refusal is not None:
        return Outcome(state, refusal=refusal)
    number = action_hash(event.action)
    approval = _approval_of(state, number, now)
    if approval is None or not approval.is_complete(now):
        what = f"{number} has not been approved by two people at {now}"
        return _refused(state, RefusalRule.NOT_APPROVED, what)
    rest = tuple(a for a in state.approvals if a is not approval)
    outcome = _executed(replace(state, approvals=rest), event.action, now)
    # A refused action keeps its approval until that expires.
    return outcome if outcome.refusal is None else Outcome(state, refusal=outcome.refusal)


def on_hold_released(state: CallState, event: HoldReleased) -> Outcome:
    """End a hold; the timers of due times that have passed under it fire again, at once."""
    if event.call_id != state.call_id:
        return _other_call(state, event.call_id)
    if not state.is_held:
        return _refused(state, RefusalRule.NOT_HELD, f"{state.call_id} is not held")
    tranches = tuple(
        replace(t, passed_under_hold=False, timer_version=state.version + 1)
        if t.passed_under_hold
        else t
        for t in state.tranches
    )
    after, effects = rearranged(replace(state, is_held=False), tranches)
    news = Announcement(News.HOLD_RELEASED, state.call_id, state.out_cents)
    return Outcome(after, (*effects, news))


def _executed(state: CallState, action: Action, now: datetime) -> Outcome:
    match action:
        case HoldCall():
            if state.is_held:
                return _refused(state, RefusalRule.ALREADY_HELD, f"{state.call_id} is held")
            return _ended(replace(state, is_held=True), [], News.HELD)
        case ExtendDeadline():
            return _extended(state, action, now)
        case CancelCall():
            return _ended(*concluded(state, CallStatus.CANCELLED), News.CANCELLED)
        case DeclareDefault():
            return _declared(state, now)
        case _:
            assert_never(action)


def _extended(state: CallState, action: ExtendDeadline, now: datetime) -> Outcome:
    found = next((t for t in state.tranches if t.number == action.tranche), None)
    if found is None or not found.unpaid_cents:
        what = f"{state.tranche_id(action.tranche)} does not exist or is paid"
        return _refused(state, RefusalRule.NO_SUCH_TRANCHE, what)
    if action.due <= max(found.due, now):
        what = f"{action.due} is not after the due time {found.due} and the present time {now}"
        return _refused(state, RefusalRule.NOT_LATER, what)
    granted = replace(found, granted_due=action.due, granted_at=now)
    later = with_due_time(granted, action.due, now=now, version=state.version + 1)
    tranches = tuple(later if t is found else t for t in state.tranches)
    return _ended(*rearranged(state, tranches), News.EXTENDED)


def _declared(state: CallState, now: datetime) -> Outcome:
    if state.is_held:
        return _refused(state, RefusalRule.HELD, f"{state.call_id} is held")
    under_way = [p.payment_id for p in state.attested if now < p.expires]
    if under_way:
        what = f"payments are under way: {', '.join(under_way)}"
        return _refused(state, RefusalRule.PAYMENT_UNDER_WAY, what)
    after, effects = concluded(state, CallStatus.DEFAULT_DECLARED)
    effects += [
        AccountFrozen(state.account, state.call_id),
        ReservationsVoided(state.account, state.call_id),
    ]
    return _ended(after, effects, News.DEFAULT_DECLARED)


def _ended(state: CallState, effects: list[Effect], news: News) -> Outcome:
    return Outcome(state, (*effects, Announcement(news, state.call_id, state.out_cents)))


def _refusal_of_call(state: CallState, action: Action) -> Refusal | None:
    """Return why the action does not apply to the call, None if it does."""
    if action.call_id != state.call_id:
        return _other_call(state, action.call_id).refusal
    if not state.is_open:
        what = f"{state.call_id} is {state.status.value}"
        return Refusal(RefusalRule.NOT_OPEN, what)
    if isinstance(action, DeclareDefault) and state.status is not CallStatus.OVERDUE:
        return Refusal(RefusalRule.NOT_OVERDUE, f"{state.call_id} is {state.status.value}")
    return None


def _approval_of(state: CallState, number: str, now: datetime) -> Approval | None:
    valid = (a for a in state.approvals if a.action_hash == number and now < a.expires)
    return next(valid, None)


def _other_call(state: CallState, call_id: str) -> Outcome:
    what = f"{call_id} is not the current call, which is {state.call_id}"
    return _refused(state, RefusalRule.OTHER_CALL, what)


def _refused(state: CallState, rule: RefusalRule, what: str) -> Outcome:
    return Outcome(state, refusal=Refusal(rule, what))
