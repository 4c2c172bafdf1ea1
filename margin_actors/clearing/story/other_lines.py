"""Lines on openings, rules, withdrawals, exemptions, decisions, contracts and alarms."""

from margin_actors.clearing.house.account_events import (
    AccountOpened,
    WithdrawalChanged,
    WithdrawalStage,
)
from margin_actors.clearing.house.acts import (
    Act,
    CancelTrades,
    ChangeParameters,
    DecidePrice,
    ExemptionKind,
    GrantExemption,
)
from margin_actors.clearing.house.book_events import ContractChanged
from margin_actors.clearing.house.events import (
    AlarmRaised,
    ApprovalChanged,
    ApprovalStep,
    ExemptionChanged,
    HouseAlarm,
    ParametersRecorded,
)
from margin_actors.clearing.house.state import HouseState
from margin_actors.clearing.story.lines import (
    Statement,
    Tone,
    Topic,
    amount,
    listed,
    moment,
    money,
    number,
)

_STAGES = {
    WithdrawalStage.REQUESTED: ("Withdrawal requested", "was set aside at the request of"),
    WithdrawalStage.APPROVED: ("Withdrawal approved", "left the account, approved by"),
    WithdrawalStage.PAID: ("Withdrawal paid", "was paid out, confirmed by"),
    WithdrawalStage.RETURNED: ("Withdrawal returned", "could not be paid and was credited by"),
    WithdrawalStage.CANCELLED: ("Withdrawal cancelled", "was released; ended by"),
}
_STEPS = {
    ApprovalStep.PROPOSED: ("Decision proposed", "Proposed, and waiting for a second person: to"),
    ApprovalStep.APPROVED: ("Decision approved", "Approved by a second person: to"),
    ApprovalStep.EXECUTED: ("Decision carried out", "Decided by two people, and carried out: to"),
    ApprovalStep.LAPSED: ("Decision lapsed", "Not approved or not carried out in time: to"),
}
_PRICED = ("provisional", "final", "corrected")
_GENERAL_ALARMS = frozenset(
    {HouseAlarm.SILENT_SOURCE, HouseAlarm.OUTAGE, HouseAlarm.STALE_VALUATION}
)
"""Alarms that concern all accounts."""


def opening_line(event: AccountOpened) -> Statement:
    """Return the line on the opening of the account."""
    account = event.account
    nets = "; its excess and deficit are added to those of the member" if account.nets else ""
    text = f"{account.name}, a {account.type.value} account of member {account.member}{nets}."
    return Statement(Topic.ACCOUNT, "Account opened", text)


def rules_line(event: ParametersRecorded) -> Statement:
    """Return the line on the parameters that apply from now on."""
    calls = event.parameters.calls
    text = (
        f"Rules {event.parameters.version} apply: a call is issued above "
        f"{calls.trigger_basis_points / 100:g} % of the resources, from "
        f"{money(calls.minimum_transfer_cents)}, due after {calls.payment_minutes} minutes."
    )
    references = (("rules", event.parameters.id),)
    return Statement(Topic.RULES, "Rules recorded", text, references=references)


def withdrawal_line(event: WithdrawalChanged, state: HouseState) -> Statement:
    """Return the line on a stage of a withdrawal."""
    request = event.request
    title, what = _STAGES[event.stage]
    requester = state.requesters.get(request.id)
    people = (f"requested by {requester}",) if requester else ()
    if event.stage is WithdrawalStage.APPROVED:
        people = (*people, f"approved by {event.by}")
    shown = f"{amount(request.units, request.asset)} for {request.custodian}"
    tone = Tone.WARNING if event.stage is WithdrawalStage.CANCELLED else Tone.PLAIN
    references = (("withdrawal", request.id),)
    text = f"{shown} {what} {event.by}."
    return Statement(Topic.WITHDRAWAL, title, text, tone, people, references)


def approval_line(event: ApprovalChanged, account: str, state: HouseState) -> Statement | None:
    """Return the line on an act of two people; None if it does not concern the account."""
    what = _act(event.act, account, state)
    if what is None:
        return None
    approval = event.approval
    people = (f"proposed by {approval.proposer}",)
    if approval.approver:
        people = (*people, f"approved by {approval.approver}")
    title, text = _STEPS[event.step]
    return Statement(
        Topic.DECISION,
        title,
        f"{text} {what} (reason: {event.act.reason}).",
        people=people,
        references=(("act", approval.action_hash),),
    )


def _act(act: Act, account: str, state: HouseState) -> str | None:
    match act:
        case ChangeParameters():
            return f"replace the rules by version {act.parameters.version}"
        case GrantExemption():
            if act.kind is ExemptionKind.CALLS and act.subject != account:
                return None
            return f"exempt {act.subject} from {act.kind.value} until {moment(act.until)}"
        case DecidePrice():
            if not _holds_expiring(act, account, state):
                return None
            price = "the provisional price" if act.price is None else f"{number(act.price)}"
            return f"settle {act.underlying} contracts that expire {moment(act.expiry)} at {price}"
        case CancelTrades():
            own = [name for name in act.trades if _is_party(name, account, state)]
            return f"cancel trades of the account: {listed(own)}" if own else None


def _holds_expiring(act: DecidePrice, account: str, state: HouseState) -> bool:
    for instrument in state.held.get(account, ()):
        contract = state.contracts.get(instrument)
        life = None if contract is None else contract.life
        if life is not None and (life.underlying, life.expiry) == (act.underlying, act.expiry):
            return True
    return False


def _is_party(trade: str, account: str, state: HouseState) -> bool:
    booked = state.trades.get(trade)
    return booked is not None and any(e.account == account for e in booked.group.positions)


def contract_line(event: ContractChanged, account: str, state: HouseState) -> Statement | None:
    """Return the line on the delivery price of a contract that the account holds; else None."""
    life, former = event.life, state.contracts.get(event.instrument)
    if life is None or life.price is None or event.instrument not in state.held.get(account, ()):
        return None
    before = None if former is None or former.life is None else former.life.price
    if life.state not in _PRICED or before == life.price:
        return None
    decision = life.price.decision
    people: tuple[str, ...] = ()
    if decision is not None:
        people = (f"proposed by {decision.proposer}", f"approved by {decision.approver}")
    price = "no price" if life.price.price is None else number(life.price.price)
    text = (
        f"{event.instrument}: the delivery price is {life.price.status}, {price} "
        f"({float(life.price.missing_share):.1%} of the averaging window has no index)."
    )
    tone = Tone.WARNING if life.price.status == "provisional" else Tone.PLAIN
    return Statement(Topic.SETTLEMENT, "Delivery price", text, tone, people)


def exemption_line(event: ExemptionChanged, account: str) -> Statement | None:
    """Return the line on an exemption of the account, or of a gate; None if of another account."""
    if event.kind is ExemptionKind.CALLS and event.subject != account:
        return None
    if event.is_granted:
        text = (
            f"{event.subject} is exempt from {event.kind.value} until {moment(event.until)}. "
            f"Reason: {event.reason}."
        )
        roles = ("proposed by", "approved by")
        people = tuple(f"{role} {who}" for role, who in zip(roles, event.people, strict=False))
        return Statement(Topic.DECISION, "Exemption granted", text, Tone.WARNING, people)
    text = f"The exemption of {event.subject} from {event.kind.value} ended."
    people = tuple(f"ended by {who}" for who in event.people)
    return Statement(Topic.DECISION, "Exemption ended", text, people=people)


def alarm_line(event: AlarmRaised, account: str) -> Statement | None:
    """Return the line on an alarm of the account or of all accounts; None if of another one."""
    if event.subject != account and event.alarm not in _GENERAL_ALARMS:
        return None
    title = event.alarm.value.replace("_", " ").capitalize()
    text = f"{event.subject}: {event.what}."
    return Statement(Topic.ALARM, title, text, Tone.WARNING)
