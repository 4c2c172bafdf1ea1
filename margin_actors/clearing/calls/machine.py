"""The state machine of the margin calls of one account and class."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from margin_actors.clearing.calls.deadlines import on_due_timer, on_outage
from margin_actors.clearing.calls.decisions import (
    on_acknowledged,
    on_approved,
    on_executed,
    on_hold_released,
    on_proposed,
)
from margin_actors.clearing.calls.effects import Outcome
from margin_actors.clearing.calls.events import (
    Acknowledged,
    ActionApproved,
    ActionExecuted,
    ActionProposed,
    CallEvent,
    HoldReleased,
    OutageEnded,
    PaymentPending,
    PaymentPosted,
    RequirementCycle,
    TimerFired,
    TimerKind,
)
from margin_actors.clearing.calls.parameters import CallParameters
from margin_actors.clearing.calls.payments import (
    on_attestation_timer,
    on_payment_pending,
    on_payment_posted,
)
from margin_actors.clearing.calls.requirements import on_requirement
from margin_actors.clearing.calls.state import CallState
from margin_actors.clearing.calls.times import require_utc


def transition(
    state: CallState, event: CallEvent, now: datetime, parameters: CallParameters
) -> Outcome:
    """Return the state after an event, and the effects that the service has to carry out.

    Parameters
    ----------
    state : CallState
        As read in the transaction that commits the outcome.
    event : CallEvent
    now : datetime
        Time of the ledger clock, UTC. A time before the last change of the state counts as that
        time.
    parameters : CallParameters

    Returns
    -------
    Outcome
        The version of the state is larger by one if anything changed, and equal otherwise. An
        event that is repeated, stale or without consequence changes nothing; that of a person
        which is not allowed is refused with its reason.

    Raises
    ------
    InvalidRequest
        If `now` is not in UTC.
    InvalidParameters
        If a payment calendar is not open within 60 days.
    """
    require_utc(now=now)
    if state.changed_at is not None:
        now = max(now, state.changed_at)
    outcome = _decided(state, event, now, parameters)
    if outcome.state == state:
        return outcome
    changed = replace(outcome.state, version=state.version + 1, changed_at=now)
    return replace(outcome, state=changed)


def _decided(
    state: CallState, event: CallEvent, now: datetime, parameters: CallParameters
) -> Outcome:
    match event:
        case RequirementCycle():
            return on_requirement(state, event, now, parameters)
        case PaymentPosted():
            return on_payment_posted(state, event)
        case PaymentPending():
            return on_payment_pending(state, event, now)
        case TimerFired():
            if event.timer.kind is TimerKind.DUE:
                return on_due_timer(state, event.timer, now)
            return on_attestation_timer(state, event.timer, now)
        case Acknowledged():
            return on_acknowledged(state, event)
        case ActionProposed():
            return on_proposed(state, event, now, parameters)
        case ActionApproved():
            return on_approved(state, event, now)
        case ActionExecuted():
            return on_executed(state, event, now)
        case HoldReleased():
            return on_hold_released(state, event)
        case OutageEnded():
            return on_outage(state, event.outage, now, parameters)
        case _:
            assert_never(event)
