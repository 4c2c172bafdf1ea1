"""Payments: attested ones are shown, posted ones are credited and allocated, known ones ignored."""

from dataclasses import replace
from datetime import datetime

from margin_actors.clearing.calls.effects import (
    Alarm,
    AlarmKind,
    Announcement,
    Effect,
    News,
    Outcome,
    TimerSet,
    TimerVoided,
)
from margin_actors.clearing.calls.events import PaymentPending, PaymentPosted, Timer, TimerKind
from margin_actors.clearing.calls.state import AttestedPayment, CallState, CallStatus, KnownPayment
from margin_actors.clearing.calls.tranches import allocated, concluded, rearranged


def on_payment_pending(state: CallState, event: PaymentPending, now: datetime) -> Outcome:
    """Record an attested payment, also without an open call, which it can precede by a moment.

    A payment that has been posted, or an attestation that has expired, is ignored.
    """
    if state.status is CallStatus.DEFAULT_DECLARED or event.expires <= now:
        return Outcome(state)
    if any(known.payment_id == event.payment_id for known in state.payments):
        return Outcome(state)
    for attested in state.attested:
        if attested.payment_id == event.payment_id:
            return _repeated(state, attested.content_hash == event.content_hash, event.payment_id)
    payment = AttestedPayment(
        event.payment_id,
        event.content_hash,
        event.amount_cents,
        event.expires,
        timer_version=state.version + 1,
    )
    after = replace(state, attested=(*state.attested, payment))
    news = Announcement(News.PAYMENT_UNDER_WAY, state.call_id, state.out_cents, event.payment_id)
    return Outcome(after, (TimerSet(attestation_timer(payment)), news))


def on_payment_posted(state: CallState, event: PaymentPosted) -> Outcome:
    """Allocate a payment to the open call, oldest due time first; the rest stays a deposit."""
    for known in state.payments:
        if known.payment_id == event.payment_id:
            return _repeated(state, known.content_hash == event.content_hash, event.payment_id)
    after, effects = _no_longer_pending(state, event.payment_id)
    known = KnownPayment(event.payment_id, event.content_hash)
    after = replace(after, payments=(*state.payments, known))
    if state.status is CallStatus.DEFAULT_DECLARED:
        effects.append(Alarm(AlarmKind.PAYMENT_AFTER_DEFAULT, state.call_id, event.payment_id))
    if not state.is_open:
        return Outcome(after, tuple(effects))
    tranches, allocations = allocated(after, event)
    if any(tranche.unpaid_cents for tranche in tranches):
        after, following = rearranged(after, tranches)
        news = News.PAYMENT_POSTED
    else:
        after, following = concluded(after, CallStatus.MET)
        after = replace(after, tranches=tranches)
        news = News.MET
    announcement = Announcement(news, state.call_id, after.out_cents, event.payment_id)
    return Outcome(after, (*allocations, *effects, *following, announcement))


def on_attestation_timer(state: CallState, timer: Timer, now: datetime) -> Outcome:
    """Remove an attested payment whose attestation has expired; a stale timer is ignored."""
    for payment in state.attested:
        if attestation_timer(payment) == timer:
            if now < payment.expires:
                return Outcome(state, (TimerSet(timer),))
            after = replace(state, attested=tuple(p for p in state.attested if p is not payment))
            news = Announcement(
                News.ATTESTATION_EXPIRED, state.call_id, state.out_cents, payment.payment_id
            )
            return Outcome(after, (news,))
    return Outcome(state)


def attestation_timer(payment: AttestedPayment) -> Timer:
    """Return the timer of the expiry of an attestation."""
    return Timer(TimerKind.ATTESTATION, payment.payment_id, payment.timer_version, payment.expires)


def _repeated(state: CallState, is_same: bool, payment_id: str) -> Outcome:
    if is_same:
        return Outcome(state)
    return Outcome(state, (Alarm(AlarmKind.PAYMENT_CHANGED, state.call_id, payment_id),))


def _no_longer_pending(state: CallState, payment_id: str) -> tuple[CallState, list[Effect]]:
    effects: list[Effect] = [
        TimerVoided(attestation_timer(p)) for p in state.attested if p.payment_id == payment_id
    ]
    attested = tuple(p for p in state.attested if p.payment_id != payment_id)
    return replace(state, attested=attested), effects
