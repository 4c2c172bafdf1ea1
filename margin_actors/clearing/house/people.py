"""Decisions of people: on calls, and acts that require two of them."""

from dataclasses import replace
from datetime import datetime, timedelta

from margin_actors.clearing.calls import (
    Acknowledged,
    ActionApproved,
    ActionExecuted,
    ActionProposed,
    Approval,
    CallEvent,
    HoldReleased,
    ReservationsVoided,
    action_hash,
)
from margin_actors.clearing.calls.approvals import approved
from margin_actors.clearing.house.acts import (
    Act,
    CancelTrades,
    ChangeParameters,
    DecidePrice,
    ExemptionKind,
    GrantExemption,
    act_hash,
)
from margin_actors.clearing.house.decisions import HouseRule
from margin_actors.clearing.house.draft import HouseDraft, refuse
from margin_actors.clearing.house.events import (
    ApprovalChanged,
    ApprovalStep,
    ExemptionChanged,
    ParametersRecorded,
)
from margin_actors.clearing.house.money import cancel_requests
from margin_actors.clearing.house.people_commands import (
    AcknowledgeCall,
    ApproveAct,
    ApproveAction,
    EndExemption,
    ExecuteAct,
    ExecuteAction,
    ProposeAct,
    ProposeAction,
    ReleaseHold,
)
from margin_actors.clearing.house.reversals import cancellation
from margin_actors.clearing.house.settling import decide_price
from margin_actors.clearing.house.state import OpenAct, exemption_key
from margin_actors.clearing.house.trading import void_reservations

CallCommand = AcknowledgeCall | ReleaseHold | ProposeAction | ApproveAction | ExecuteAction
"""A command of a person on one call."""


def on_call(draft: HouseDraft, command: CallCommand) -> tuple[str, ...]:
    """Pass the command to the call, and carry out at once what a default requires."""
    draft.account(command.account)
    event, subject = _call_event(command)
    outcome = draft.call(command.account, command.call_class, event)
    for effect in outcome.effects:
        if isinstance(effect, ReservationsVoided):
            for account in draft.state.netted(effect.account):
                void_reservations(draft, account, effect.call_id)
                cancel_requests(draft, account)
    return (subject,)


def _call_event(command: CallCommand) -> tuple[CallEvent, str]:
    match command:
        case AcknowledgeCall():
            return Acknowledged(command.call_id), command.call_id
        case ReleaseHold():
            return HoldReleased(command.call_id, command.actor), command.call_id
        case ProposeAction():
            return ActionProposed(command.action, command.actor), action_hash(command.action)
        case ApproveAction():
            return ActionApproved(command.action_hash, command.actor), command.action_hash
        case ExecuteAction():
            return ActionExecuted(command.action), action_hash(command.action)


def on_proposal(draft: HouseDraft, command: ProposeAct) -> tuple[str, ...]:
    """Record the proposal of an act."""
    name = act_hash(command.act)
    former = draft.state.acts.get(name)
    if former is not None and draft.time < former.approval.expires:
        if former.approval.proposer != command.actor:
            refuse(HouseRule.ALREADY_PROPOSED, f"{former.approval.proposer} has proposed {name}")
        return (name,)
    _check_act(draft, command.act)
    expires = draft.time + timedelta(minutes=draft.state.parameters.calls.approval_minutes)
    approval = Approval(name, command.actor, expires, is_declaration=False)
    draft.log(ApprovalChanged(ApprovalStep.PROPOSED, command.act, approval, command.id))
    return (name,)


def on_approval(draft: HouseDraft, command: ApproveAct) -> tuple[str, ...]:
    """Record the approval of an act by a second person."""
    proposed = _open_act(draft, command.act_hash)
    if proposed.approval.proposer == command.actor:
        refuse(HouseRule.SAME_PERSON, f"{command.actor} proposed {command.act_hash}")
    if not proposed.approval.approver:
        approval = approved(proposed.approval, command.actor)
        draft.log(ApprovalChanged(ApprovalStep.APPROVED, proposed.act, approval, command.id))
    return (command.act_hash,)


def on_execution(draft: HouseDraft, command: ExecuteAct) -> tuple[str, ...]:
    """Execute an act that two people have approved; its approval is used up."""
    proposed = _open_act(draft, command.act_hash)
    approval = proposed.approval
    if not approval.is_complete(draft.time):
        refuse(HouseRule.NOT_APPROVED, f"{command.act_hash} is not approved by two people")
    _execute(draft, proposed.act, approval)
    draft.log(ApprovalChanged(ApprovalStep.EXECUTED, proposed.act, approval, command.id))
    return (command.act_hash,)


def on_exemption_end(draft: HouseDraft, command: EndExemption) -> tuple[str, ...]:
    """End an exemption: one person is enough, because the rule applies again."""
    known = draft.state.exemptions.get(exemption_key(command.kind.value, command.subject))
    if known is None:
        what = f"there is no exemption of {command.subject!r} from {command.kind.value}"
        refuse(HouseRule.UNKNOWN, what)
    draft.log(replace(known, people=(command.actor,), is_granted=False, cause=command.id))
    return (command.subject,)


def _open_act(draft: HouseDraft, name: str) -> OpenAct:
    found = draft.state.acts.get(name)
    if found is None or draft.time >= found.approval.expires:
        refuse(HouseRule.NOT_PROPOSED, f"{name} is not proposed at {draft.time}")
    return found


def _check_act(draft: HouseDraft, act: Act) -> None:
    """Refuse a proposal that could not be executed as things are."""
    if isinstance(act, GrantExemption):
        _require_later(draft, act.until)
        if act.kind is ExemptionKind.CALLS:
            draft.account(act.subject)
    if isinstance(act, CancelTrades):
        cancellation(draft.state, act, draft.time, name="proposal")


def _execute(draft: HouseDraft, act: Act, approval: Approval) -> None:
    match act:
        case ChangeParameters():
            draft.log(ParametersRecorded(act.parameters, draft.command_id))
        case GrantExemption():
            _require_later(draft, act.until)
            people = (approval.proposer, approval.approver)
            draft.log(
                ExemptionChanged(
                    act.kind, act.subject, act.until, act.reason, people, True, draft.command_id
                )
            )
        case DecidePrice():
            decide_price(draft, act, approval)
        case CancelTrades():
            draft.group(cancellation(draft.state, act, draft.time, name=draft.command_id))


def _require_later(draft: HouseDraft, until: datetime) -> None:
    if until <= draft.time:
        refuse(HouseRule.INVALID, f"the exemption would end at {until}, not after {draft.time}")
