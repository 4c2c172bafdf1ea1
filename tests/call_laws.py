"""The laws of margin calls, checked on every transition from what its effects said so far.

A `World` is the state of the machine with what the service would have stored: the timers, the
payments and who signed what. It is kept from events and effects alone, so that a law does not rely
on the state that it judges.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from margin_actors.clearing.calls import (
    OPEN,
    ActionApproved,
    ActionExecuted,
    ActionProposed,
    Alarm,
    AlarmKind,
    CallEvent,
    CallParameters,
    CallState,
    CallStatus,
    DeclareDefault,
    ExtendDeadline,
    OutageEnded,
    Outcome,
    PaymentAllocated,
    PaymentPosted,
    RequirementCycle,
    Timer,
    TimerFired,
    TimerKind,
    TimerSet,
    TimerVoided,
    Tranche,
    TrancheIssued,
    TrancheReduced,
    WithdrawalsAllowed,
    WithdrawalsBlocked,
    transition,
)


class Violation(AssertionError):  # noqa: N818
    """A transition that breaks a law."""


@dataclass(frozen=True, slots=True)
class World:
    """The state of a machine, and what is known about it from outside."""

    state: CallState
    now: datetime
    timers: frozenset[Timer] = frozenset()
    """Timers that were set and neither voided nor fired."""
    stale: frozenset[Timer] = frozenset()
    """Timers that were voided or fired, and may be delivered again."""
    out_cents: int = 0
    """Issued less reduced less paid, of the current call."""
    posted: tuple[tuple[str, str, int], ...] = ()
    """Id, hash and amount of each payment that was posted."""
    signers: frozenset[tuple[str, datetime]] = frozenset()
    """People who signed a declaration of default since the call became overdue, and until when the
    signature is valid."""
    is_blocked: bool = False
    """Whether withdrawals are blocked."""
    low_cycles: int = 0
    """Consecutive cycles at or below release."""

    @property
    def credited_cents(self) -> int:
        """What the posted payments added to the resources."""
        return sum(cents for _, _, cents in self.posted)


def stepped(
    world: World,
    event: CallEvent,
    parameters: CallParameters,
    *,
    now: datetime | None = None,
) -> World:
    """Return the world after an event at `now`, by default that of the world.

    Raises
    ------
    Violation
        If the transition breaks a law.
    """
    now = world.now if now is None else now
    outcome = transition(world.state, event, now, parameters)
    if world.state.changed_at is not None:
        now = max(now, world.state.changed_at)
    after = _followed(world, event, outcome, now, parameters)
    _check_form(world, outcome)
    _check_money(world, after, event, outcome)
    _check_order(world.state, outcome.state)
    _check_time(world, after, event, now)
    _check_timers(after)
    _check_end(world, after, event, now, parameters)
    return after


def require(law: str, holds: bool) -> None:
    """Raise a violation unless the law holds."""
    if not holds:
        raise Violation(law)


def _followed(
    world: World, event: CallEvent, outcome: Outcome, now: datetime, parameters: CallParameters
) -> World:
    """Return the world after the effects were carried out."""
    timers, stale = set(world.timers), set(world.stale)
    out = world.out_cents if outcome.state.number == world.state.number else 0
    is_blocked = world.is_blocked
    if isinstance(event, TimerFired) and event.timer in timers:
        timers.remove(event.timer)
        stale.add(event.timer)
    for effect in outcome.effects:
        match effect:
            case TimerSet():
                is_early = isinstance(event, TimerFired) and event.timer == effect.timer
                is_new = effect.timer.version == outcome.state.version
                require("a new timer has the version that sets it", is_new or is_early)
                timers.add(effect.timer)
                stale.discard(effect.timer)
            case TimerVoided():
                require("only a timer that is set is voided", effect.timer in timers)
                timers.remove(effect.timer)
                stale.add(effect.timer)
            case TrancheIssued():
                out += effect.amount_cents
            case TrancheReduced():
                out -= effect.by_cents
            case PaymentAllocated():
                out -= effect.amount_cents
            case WithdrawalsBlocked():
                is_blocked = True
            case WithdrawalsAllowed():
                is_blocked = False
            case _:
                pass
    return World(
        state=outcome.state,
        now=max(world.now, now),
        timers=frozenset(timers),
        stale=frozenset(stale),
        out_cents=out,
        posted=_posted(world, event),
        signers=_signers(world, event, outcome, now, parameters),
        is_blocked=is_blocked,
        low_cycles=_low_cycles(world, event, outcome, parameters),
    )


def _posted(world: World, event: CallEvent) -> tuple[tuple[str, str, int], ...]:
    if not isinstance(event, PaymentPosted):
        return world.posted
    if any(name == event.payment_id for name, _, _ in world.posted):
        return world.posted
    return (*world.posted, (event.payment_id, event.content_hash, event.amount_cents))


def _signers(
    world: World, event: CallEvent, outcome: Outcome, now: datetime, parameters: CallParameters
) -> frozenset[tuple[str, datetime]]:
    if outcome.state.status is not CallStatus.OVERDUE:
        return frozenset()
    valid = frozenset((person, until) for person, until in world.signers if now < until)
    if outcome.refusal is not None or outcome.state == world.state:
        return valid
    if isinstance(event, ActionProposed) and isinstance(event.action, DeclareDefault):
        (until,) = {a.expires for a in outcome.state.approvals if a.is_declaration}
        require("a proposal expires", (until - now).seconds == 60 * parameters.approval_minutes)
        return frozenset({(event.by, until)})
    declarations = {a.action_hash for a in world.state.approvals if a.is_declaration}
    if isinstance(event, ActionApproved) and event.action_hash in declarations:
        return valid | {(event.by, min(until for _, until in valid))}
    return valid


def _low_cycles(
    world: World, event: CallEvent, outcome: Outcome, parameters: CallParameters
) -> int:
    if not isinstance(event, RequirementCycle) or event.cycle <= world.state.last_cycle:
        return world.low_cycles
    if any(isinstance(e, Alarm) for e in outcome.effects):  # stale: it decides nothing
        return world.low_cycles
    level = parameters.release_basis_points * event.resources_cents
    return world.low_cycles + 1 if event.requirement_cents * 10_000 <= level else 0


def _check_form(world: World, outcome: Outcome) -> None:
    before, after = world.state, outcome.state
    is_changed = after != before
    require("the version counts the changes", after.version == before.version + is_changed)
    if outcome.refusal is not None:
        require("a refusal changes nothing", not is_changed and not outcome.effects)
    require("open is one of four statuses", after.is_open == (after.status in OPEN))
    unpaid = sum(t.unpaid_cents for t in after.tranches)
    if after.is_open:
        require("an open call has something out", unpaid > 0)
    else:
        require("a hold and approvals end with the call", not (after.is_held or after.approvals))
    if after.status is CallStatus.MET:
        require("everything of a met call is paid", unpaid == 0)
    for tranche in after.tranches:
        require("a tranche is paid at most once", 0 <= tranche.paid_cents <= tranche.amount_cents)
    if after.number != before.number:
        require(
            "the next call begins when the last one has ended",
            after.number == before.number + 1 and not before.is_open and len(after.tranches) == 1,
        )
    if before.status is CallStatus.DEFAULT_DECLARED:
        require("a default is final", after.status is CallStatus.DEFAULT_DECLARED)


def _check_money(world: World, after: World, event: CallEvent, outcome: Outcome) -> None:
    state = after.state
    if state.is_open or state.status is CallStatus.DEFAULT_DECLARED:
        unpaid = sum(t.unpaid_cents for t in state.tranches)
        require(
            "what is out is the sum of the tranches less the payments",
            after.out_cents == unpaid == state.out_cents,
        )
    taken = sum(e.amount_cents for e in outcome.effects if isinstance(e, PaymentAllocated))
    if not isinstance(event, PaymentPosted):
        require("only a payment pays", taken == 0)
        return
    known = {name: content for name, content, _ in world.posted}
    require("no more is allocated than paid", taken <= event.amount_cents)
    if event.payment_id in known:
        is_other = known[event.payment_id] != event.content_hash
        alarms = [e for e in outcome.effects if isinstance(e, Alarm)]
        require("a known payment changes nothing", state == world.state)
        require(
            "another content raises an alarm",
            [a.kind for a in alarms] == [AlarmKind.PAYMENT_CHANGED] * is_other,
        )


def _check_order(before: CallState, after: CallState) -> None:
    """Payments fill the oldest due time, reductions take the latest."""
    if after.number != before.number:
        return
    pairs = list(zip(before.tranches, after.tranches, strict=False))
    for old, new in pairs:
        earlier = [n for o, n in pairs if _rank(o) < _rank(old)]
        later = [n for o, n in pairs if _rank(o) > _rank(old)]
        if new.paid_cents > old.paid_cents:
            require("the oldest is paid first", not any(t.unpaid_cents for t in earlier))
        if new.amount_cents < old.amount_cents:
            require("the latest is reduced first", not any(t.unpaid_cents for t in later))
        require("a tranche never grows", new.amount_cents <= old.amount_cents)


def _rank(tranche: Tranche) -> tuple[datetime, int]:
    return tranche.due, tranche.number


def _check_time(world: World, after: World, event: CallEvent, now: datetime) -> None:
    extends = isinstance(event, OutageEnded) or (
        isinstance(event, ActionExecuted) and isinstance(event.action, ExtendDeadline)
    )
    if isinstance(event, TimerFired) and event.timer not in world.timers:
        require("a stale timer changes nothing", after.state == world.state)
    if after.state.number == world.state.number:
        for old, new in zip(world.state.tranches, after.state.tranches, strict=False):
            require("a deadline moves only by extension", new.due == old.due or extends)
            require("a deadline never becomes earlier", new.due >= old.due)
            if new.is_late and not old.is_late:
                require(
                    "a tranche is late by its timer, at its due time, without a hold",
                    isinstance(event, TimerFired)
                    and event.timer.subject == world.state.tranche_id(old.number)
                    and now >= old.due
                    and not world.state.is_held,
                )
            if old.is_late and not new.is_late:
                require("a late tranche is late until it is extended", extends and new.due > now)
    if after.state.is_open:
        is_late = any(t.is_late and t.unpaid_cents for t in after.state.tranches)
        require(
            "overdue is a late tranche unpaid",
            is_late == (after.state.status is CallStatus.OVERDUE),
        )
    restricted = after.state.status in (CallStatus.OVERDUE, CallStatus.DEFAULT_DECLARED)
    require("withdrawals are blocked while a call is overdue", after.is_blocked == restricted)
    for payment in world.state.attested:
        if payment not in after.state.attested:
            is_posted = isinstance(event, PaymentPosted) and event.payment_id == payment.payment_id
            require("an attestation ends by posting or expiry", is_posted or now >= payment.expires)


def _check_timers(world: World) -> None:
    """Every deadline that can still pass has exactly one timer, and there are no others."""
    state = world.state
    expected = {(TimerKind.ATTESTATION, p.payment_id, p.expires) for p in state.attested}
    if state.is_open:
        expected |= {
            (TimerKind.DUE, state.tranche_id(t.number), t.due)
            for t in state.tranches
            if t.unpaid_cents and not t.is_late and not (state.is_held and t.passed_under_hold)
        }
    found = [(timer.kind, timer.subject, timer.at) for timer in world.timers]
    require("every deadline has its timer", len(found) == len(expected) and set(found) == expected)


def _check_end(
    world: World, after: World, event: CallEvent, now: datetime, parameters: CallParameters
) -> None:
    before, state = world.state, after.state
    if any(a.is_declaration for a in state.approvals):
        require("a default is proposed when overdue", state.status is CallStatus.OVERDUE)
    if state.status is before.status:
        return
    if state.status is CallStatus.DEFAULT_DECLARED:
        people = {person for person, until in world.signers if now < until}
        require(
            "a default is declared only after overdue",
            before.status is CallStatus.OVERDUE and isinstance(event, ActionExecuted),
        )
        require("a default is declared by two people", len(people) >= 2)
        require("no default is declared during a hold", not before.is_held)
        require(
            "no default is declared with a payment under way",
            not any(now < payment.expires for payment in before.attested),
        )
    if state.status is CallStatus.CANCELLED and isinstance(event, RequirementCycle):
        require(
            "a call is cancelled after two cycles at release",
            after.low_cycles >= parameters.release_cycles,
        )
    if before.is_open and not state.is_open:
        require(
            "a call ends by payment, release or people",
            isinstance(event, PaymentPosted | RequirementCycle | ActionExecuted),
        )


def forgotten(world: World) -> World:
    """Return the world with at most one stale timer of former calls, which all behave alike."""
    prefix = world.state.call_id + "/"
    kept = frozenset(
        t for t in world.stale if t.kind is not TimerKind.DUE or t.subject.startswith(prefix)
    )
    rest = sorted(world.stale - kept, key=lambda t: (t.at, t.subject))[:1]
    return replace(world, stale=kept | frozenset(rest))
