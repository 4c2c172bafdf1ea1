"""Tranches of a call: payments fill the oldest due time first, reductions take the latest."""

from dataclasses import replace
from datetime import datetime

from margin_actors.clearing.calls.effects import (
    Effect,
    PaymentAllocated,
    TimerSet,
    TimerVoided,
    TrancheReduced,
    WithdrawalsAllowed,
    WithdrawalsBlocked,
)
from margin_actors.clearing.calls.events import PaymentPosted, Timer, TimerKind
from margin_actors.clearing.calls.state import CallState, CallStatus, Tranche


def due_timer(state: CallState, tranche: Tranche) -> Timer:
    """Return the timer of the due time of a tranche."""
    subject = state.tranche_id(tranche.number)
    return Timer(TimerKind.DUE, subject, tranche.timer_version, tranche.due)


def has_timer(tranche: Tranche) -> bool:
    """Return whether the timer of the tranche is still to fire."""
    return tranche.unpaid_cents > 0 and not tranche.is_late and not tranche.passed_under_hold


def allocated(
    state: CallState, payment: PaymentPosted
) -> tuple[tuple[Tranche, ...], list[PaymentAllocated]]:
    """Return the tranches after a payment, and what each of them takes of it."""
    rest = payment.amount_cents
    paid: dict[int, int] = {}
    effects: list[PaymentAllocated] = []
    for tranche in sorted(state.tranches, key=_by_due):
        part = min(rest, tranche.unpaid_cents)
        if part > 0:
            rest -= part
            paid[tranche.number] = part
            is_timely = payment.received_at <= tranche.due
            subject = state.tranche_id(tranche.number)
            effects.append(PaymentAllocated(subject, payment.payment_id, part, is_timely))
    tranches = tuple(
        replace(t, paid_cents=t.paid_cents + paid[t.number]) if t.number in paid else t
        for t in state.tranches
    )
    return tranches, effects


def reduced(state: CallState, cents: int) -> tuple[tuple[Tranche, ...], list[TrancheReduced]]:
    """Return the tranches after their unpaid amounts were reduced by `cents` in all."""
    cuts: dict[int, int] = {}
    for tranche in sorted(state.tranches, key=_by_due, reverse=True):
        part = min(cents, tranche.unpaid_cents)
        if part > 0:
            cents -= part
            cuts[tranche.number] = part
    tranches = tuple(
        replace(t, amount_cents=t.amount_cents - cuts[t.number]) if t.number in cuts else t
        for t in state.tranches
    )
    return tranches, [TrancheReduced(state.tranche_id(n), part) for n, part in cuts.items()]


def rearranged(state: CallState, tranches: tuple[Tranche, ...]) -> tuple[CallState, list[Effect]]:
    """Return an open call with other tranches, its status, and the effects that follow from them.

    Timers of tranches that are paid, or that have another timer, are voided, and new ones are set.
    When the last late tranche is paid or extended, withdrawals are allowed, and approvals of a
    default end.
    """
    after = replace(state, tranches=tranches)
    after = replace(after, status=_open_status(after))
    effects = _timer_effects(state, after)
    if state.status is CallStatus.OVERDUE and after.status is not CallStatus.OVERDUE:
        approvals = tuple(a for a in state.approvals if not a.is_declaration)
        after = replace(after, approvals=approvals)
        effects.append(WithdrawalsAllowed(state.account, state.call_id))
    if state.status is not CallStatus.OVERDUE and after.status is CallStatus.OVERDUE:
        effects.append(WithdrawalsBlocked(state.account, state.call_id))
    return after, effects


def concluded(state: CallState, status: CallStatus) -> tuple[CallState, list[Effect]]:
    """Return a call that ends with `status`: no timers of due times, no approvals, no hold.

    Attested payments stay, because they arrive nevertheless.
    """
    effects: list[Effect] = [
        TimerVoided(due_timer(state, tranche)) for tranche in state.tranches if has_timer(tranche)
    ]
    if state.status is CallStatus.OVERDUE and status is not CallStatus.DEFAULT_DECLARED:
        effects.append(WithdrawalsAllowed(state.account, state.call_id))
    after = replace(state, status=status, is_held=False, approvals=(), cycles_at_release=0)
    return after, effects


def with_due_time(tranche: Tranche, due: datetime, *, now: datetime, version: int) -> Tranche:
    """Return a tranche with a later due time and a new timer; it is no longer late before it."""
    is_past = due <= now
    return replace(
        tranche,
        due=due,
        timer_version=version,
        is_late=tranche.is_late and is_past,
        passed_under_hold=tranche.passed_under_hold and is_past,
    )


def _by_due(tranche: Tranche) -> tuple[datetime, int]:
    return tranche.due, tranche.number


def _open_status(state: CallState) -> CallStatus:
    if any(tranche.is_late and tranche.unpaid_cents > 0 for tranche in state.tranches):
        return CallStatus.OVERDUE
    if any(tranche.paid_cents for tranche in state.tranches):
        return CallStatus.PARTLY_MET
    return CallStatus.ACKNOWLEDGED if state.is_acknowledged else CallStatus.ISSUED


def _timer_effects(before: CallState, after: CallState) -> list[Effect]:
    former = {t.number: t for t in before.tranches if has_timer(t)}
    current = {t.number: t for t in after.tranches if has_timer(t)}
    effects: list[Effect] = []
    for number, tranche in former.items():
        later = current.get(number)
        # A timer that has just fired is not voided, it is done.
        has_fired = later is None and after.tranches[number - 1].unpaid_cents > 0
        if not has_fired and (later is None or later.timer_version != tranche.timer_version):
            effects.append(TimerVoided(due_timer(before, tranche)))
    for number, tranche in current.items():
        earlier = former.get(number)
        if earlier is None or earlier.timer_version != tranche.timer_version:
            effects.append(TimerSet(due_timer(after, tranche)))
    return effects
