"""Lines on margin calls: issue, increase, acknowledgement, payment, lateness, decisions."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar, assert_never

from margin_actors.clearing.calls import (
    Acknowledged,
    Action,
    ActionApproved,
    ActionExecuted,
    ActionProposed,
    Alarm,
    Announcement,
    CallState,
    CancelCall,
    DeclareDefault,
    Effect,
    ExtendDeadline,
    HoldCall,
    HoldReleased,
    News,
    OutageEnded,
    PaymentAllocated,
    PaymentPending,
    PaymentPosted,
    RequirementCycle,
    TimerFired,
    TrancheIssued,
    TrancheReduced,
    action_hash,
)
from margin_actors.clearing.house.account_events import CallChanged, ReminderSent
from margin_actors.clearing.house.parameters import HouseParameters
from margin_actors.clearing.story.lines import Statement, Tone, Topic, listed, moment, money

E = TypeVar("E")


def call_lines(
    event: CallChanged, before: CallState, rules: HouseParameters, actions: dict[str, Action]
) -> list[Statement]:
    """Return the lines on a change of a call.

    Parameters
    ----------
    event : CallChanged
    before : CallState
        The calls of the account before the change.
    rules : HouseParameters
        Those that applied.
    actions : dict of str to Action
        Proposed actions by hash; a proposal is added.
    """
    cause = event.event
    match cause:
        case RequirementCycle():
            return _on_cycle(event, before, cause, rules)
        case Acknowledged():
            text = f"The member confirmed that it has read call {event.after.call_id}."
            return [_told(event, "Call acknowledged", text)]
        case PaymentPending():
            text = (
                f"A custodian attests payment {cause.payment_id}, worth "
                f"{money(cause.amount_cents)}. It is shown and not credited; the attestation "
                f"expires at {moment(cause.expires)}."
            )
            reference = ("payment", cause.payment_id)
            return [_told(event, "Payment under way", text, more=[reference])]
        case PaymentPosted():
            return [_on_payment(event, before, cause)]
        case TimerFired():
            return _on_timer(event, before, cause)
        case OutageEnded():
            return [_on_outage(event, cause)]
        case ActionProposed():
            actions[action_hash(cause.action)] = cause.action
            text = f"{cause.by} proposed {_action(cause.action)}. A second person must approve it."
            return [_told(event, "Decision proposed", text)]
        case ActionApproved():
            known = actions.get(cause.action_hash)
            what = f"action {cause.action_hash}" if known is None else _action(known)
            people = _people(event.after, cause.action_hash)
            text = f"{cause.by} approved {what}."
            return [_told(event, "Decision approved", text, people=people)]
        case ActionExecuted():
            return [_on_action(event, before, cause.action)]
        case HoldReleased():
            text = f"{cause.by} ended the hold. Deadlines have their consequences again."
            return [_told(event, "Hold ended", text)]
        case _:
            assert_never(cause)


def reminder_line(event: ReminderSent) -> Statement:
    """Return the line on a reminder."""
    text = (
        f"The member was reminded, {event.minutes} minutes before the deadline: "
        f"{money(event.unpaid_cents)} of tranche {event.tranche_id} is unpaid and due at "
        f"{moment(event.due)}."
    )
    return Statement(Topic.CALL, "Reminder sent", text, references=(("tranche", event.tranche_id),))


def call_in_words(call: CallState) -> str:
    """Return the state of a call as a clause."""
    if call.number == 0:
        return "no call was issued so far"
    words = call.status.value.replace("_", " ")
    if not call.is_open:
        return f"no call is open; the last one, {call.call_id}, is {words}"
    due = min((t.due for t in call.tranches if t.unpaid_cents), default=None)
    when = "" if due is None else f", the first unpaid amount due at {moment(due)}"
    return f"call {call.call_id} is {words}: {money(call.out_cents)} is unpaid{when}"


def _on_cycle(
    event: CallChanged, before: CallState, cause: RequirementCycle, rules: HouseParameters
) -> list[Statement]:
    calls = rules.calls
    figures = (
        f"The requirement of {money(cause.requirement_cents)} exceeds the resources of "
        f"{money(cause.resources_cents)} by {money(cause.deficit_cents)}"
    )
    issued = _first(event.effects, TrancheIssued)
    if issued is not None:
        payable = (
            f"{money(issued.amount_cents)} is due at {moment(issued.due)}, payable in "
            f"{listed(issued.assets)}"
        )
        tranche = (("tranche", issued.tranche_id),)
        if not before.is_open:
            trigger = calls.trigger_basis_points / 100
            text = (
                f"{figures}, and is above {trigger:g} % of the resources. {payable}. The amount is "
                f"the deficit rounded up to a multiple of {money(calls.unit_cents)}."
            )
            return [_told(event, "Margin call issued", text, Tone.WARNING, more=tranche)]
        text = (
            f"{figures}; {money(before.out_cents)} was called before. A further {payable}. The "
            f"deadline of what was called before is unchanged."
        )
        return [_told(event, "Margin call increased", text, Tone.WARNING, more=tranche)]
    reduced = [e for e in event.effects if isinstance(e, TrancheReduced)]
    if reduced:
        by = sum(one.by_cents for one in reduced)
        text = f"{figures}. The call is reduced by {money(by)} to {money(event.after.out_cents)}."
        return [_told(event, "Margin call reduced", text, Tone.GOOD)]
    return _on_release(event, before, cause, rules)


def _on_release(
    event: CallChanged, before: CallState, cause: RequirementCycle, rules: HouseParameters
) -> list[Statement]:
    calls = rules.calls
    at = f"at or below {calls.release_basis_points / 100:g} % of the resources"
    figures = f"requirement {money(cause.requirement_cents)}, {money(cause.resources_cents)} held"
    if _news(event, News.CANCELLED):
        text = (
            f"The requirement was {at} in {calls.release_cycles} consecutive cycles ({figures}). "
            f"The unpaid {money(before.out_cents)} is no longer called."
        )
        return [_told(event, "Margin call cancelled", text, Tone.GOOD)]
    if event.after.cycles_at_release > before.cycles_at_release:
        text = (
            f"The requirement is {at} ({figures}). If it stays there for {calls.release_cycles} "
            "consecutive cycles, the call is cancelled."
        )
        return [_told(event, "Call near its release", text)]
    if event.after.cycles_at_release < before.cycles_at_release:
        text = f"The requirement is above release again ({figures}); the call stays open."
        return [_told(event, "Call remains open", text)]
    return []


def _on_payment(event: CallChanged, before: CallState, cause: PaymentPosted) -> Statement:
    after = event.after
    filled = [e for e in event.effects if isinstance(e, PaymentAllocated)]
    used = sum(one.amount_cents for one in filled)
    parts = [
        f"{money(one.amount_cents)} to tranche {one.tranche_id}, "
        + ("in time" if one.is_timely else "after its deadline")
        for one in filled
    ]
    received = f"The custodian received it at {moment(cause.received_at)}."
    reference = [("payment", cause.payment_id)]
    counts = f"Payment {cause.payment_id} counts with {money(cause.amount_cents)}. {received}"
    if not filled:
        text = f"{counts} No call was open; it is a deposit."
        return _told(event, "Payment without a call", text, more=reference)
    rest = cause.amount_cents - used
    if rest:
        parts.append(f"{money(rest)} remains a deposit")
    text = f"{counts} Allocated: {'; '.join(parts)}."
    is_late = not all(one.is_timely for one in filled)
    if _news(event, News.MET):
        ending = " The call is met." if not is_late else " The call is met, late."
        title = "Margin call met late" if is_late else "Margin call met"
        return _told(event, title, text + ending, Tone.GOOD, more=reference)
    text += f" {money(after.out_cents)} of {money(before.out_cents)} remains to be paid."
    tone = Tone.WARNING if is_late else Tone.PLAIN
    return _told(event, "Part of the call paid", text, tone, more=reference)


def _on_timer(event: CallChanged, before: CallState, cause: TimerFired) -> list[Statement]:
    after = event.after
    if _news(event, News.ATTESTATION_EXPIRED):
        name = cause.timer.subject
        text = f"The attestation of payment {name} expired, and the payment was not received."
        more = [("payment", name)]
        return [_told(event, "Attestation expired", text, Tone.WARNING, more=more)]
    late = {t.number for t in after.tranches if t.is_late or t.passed_under_hold} - {
        t.number for t in before.tranches if t.is_late or t.passed_under_hold
    }
    what = [
        f"{money(t.unpaid_cents)} of tranche {after.tranche_id(t.number)}, due at {moment(t.due)}"
        for t in after.tranches
        if t.number in late
    ]
    if not what:
        return []
    text = f"The deadline passed unpaid: {listed(what)}."
    if _news(event, News.OVERDUE) or any(isinstance(e, Alarm) for e in event.effects):
        text += " Withdrawals of the account are blocked, and the risk desk is alarmed."
        return [_told(event, "Margin call overdue", text, Tone.BAD)]
    text += " The call is held, so this has no consequence while the hold lasts."
    return [_told(event, "Deadline passed under a hold", text, Tone.WARNING)]


def _on_outage(event: CallChanged, cause: OutageEnded) -> Statement:
    text = (
        f"Members could not pay from {moment(cause.outage.began)} to {moment(cause.outage.ended)}. "
        f"{_dues(event.after)}"
    )
    return _told(event, "Deadline extended by an outage", text)


def _on_action(event: CallChanged, before: CallState, action: Action) -> Statement:
    people = _people(before, action_hash(action))
    text = f"Decided by two people: {_action(action)}."
    match action:
        case DeclareDefault():
            text += " The account is frozen: losses are booked, gains and deposits are retained."
            return _told(event, "Default declared", text, Tone.BAD, people=people)
        case CancelCall():
            return _told(event, "Margin call cancelled by decision", text, people=people)
        case HoldCall():
            text += " Deadlines continue, and have no consequence during the hold."
            return _told(event, "Call held", text, Tone.WARNING, people=people)
        case ExtendDeadline():
            text += f" {_dues(event.after)}"
            return _told(event, "Deadline extended", text, people=people)


def _action(action: Action) -> str:
    match action:
        case DeclareDefault():
            what = f"to declare the default on {action.call_id}"
        case CancelCall():
            what = f"to cancel {action.call_id}"
        case HoldCall():
            what = f"to hold {action.call_id}"
        case ExtendDeadline():
            what = f"to extend {action.call_id}, tranche {action.tranche}, to {moment(action.due)}"
    return f"{what} (reason: {action.reason})"


def _dues(call: CallState) -> str:
    unpaid: list[tuple[datetime, int]] = [
        (t.due, t.unpaid_cents) for t in call.tranches if t.unpaid_cents
    ]
    parts = [f"{money(cents)} is due at {moment(due)}" for due, cents in unpaid]
    return f"Now {listed(parts)}." if parts else ""


def _people(call: CallState, name: str) -> tuple[str, ...]:
    for one in call.approvals:
        if one.action_hash == name:
            approver = (f"approved by {one.approver}",) if one.approver else ()
            return (f"proposed by {one.proposer}", *approver)
    return ()


def _told(
    event: CallChanged,
    title: str,
    text: str,
    tone: Tone = Tone.PLAIN,
    *,
    people: tuple[str, ...] = (),
    more: Iterable[tuple[str, str]] = (),
) -> Statement:
    call = event.after.call_id if event.after.number else ""
    references = (*((("call", call),) if call else ()), *more)
    return Statement(Topic.CALL, title, text, tone, people, references)


def _news(event: CallChanged, news: News) -> bool:
    return any(isinstance(e, Announcement) and e.news is news for e in event.effects)


def _first(effects: Iterable[Effect], kind: type[E]) -> E | None:
    return next((effect for effect in effects if isinstance(effect, kind)), None)
