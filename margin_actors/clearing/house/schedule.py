"""Timers of the clearing house: everything that happens because a time has passed.

Timers are not stored. They follow from the state, so that none is lost and none fires twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from margin_actors.clearing.calls import CallState, Timer
from margin_actors.clearing.calls.payments import attestation_timer
from margin_actors.clearing.calls.state import Tranche
from margin_actors.clearing.calls.tranches import due_timer, has_timer
from margin_actors.clearing.house.account_events import ReminderSent
from margin_actors.clearing.house.state import HouseState


class TimerTask(StrEnum):
    """What happens at the time of a timer."""

    TRANSFER = "transfer"
    """A pending transfer expires: a reservation, an announced deposit, a withdrawal request."""
    CALL = "call"
    """A timer of a call fires: a due time, or the end of an attestation."""
    REMINDER = "reminder"
    """The member is reminded of a due time."""
    CONTRACT = "contract"
    """The averaging of a delivery price begins."""
    ACT = "act"
    """The approval of an act lapses."""
    EXEMPTION = "exemption"
    """An exemption ends."""


@dataclass(frozen=True, slots=True, order=True)
class HouseTimer:
    """A time at which something happens; ordered by time, then by id."""

    at: datetime
    """UTC."""
    id: str
    task: TimerTask
    key: str
    """Key in the map of the state: call, contract, act, exemption, transfer."""
    timer: Timer | None = field(default=None, compare=False)
    """The timer of the call."""
    reminder: ReminderSent | None = field(default=None, compare=False)


def timers_due(state: HouseState, now: datetime) -> tuple[HouseTimer, ...]:
    """Return the timers whose time has passed at `now` (UTC), by time and then by id."""
    return tuple(sorted(timer for timer in _timers(state) if timer.at <= now))


def next_timer(state: HouseState) -> HouseTimer | None:
    """Return the first timer; None if there is none."""
    return min(_timers(state), default=None)


def reminders_open(state: HouseState, key: str) -> tuple[ReminderSent, ...]:
    """Return the reminders of a call that are not sent yet, those of the last minutes last.

    A reminder is not sent again, nor after one closer to the due time. There is none for a tranche
    that is paid, late, or due sooner after its issue than the reminder would be sent.
    """
    call = state.calls[key]
    found: list[ReminderSent] = []
    for tranche in call.tranches if call.is_open else ():
        if has_timer(tranche):
            found += _reminders(state, key, call, tranche)
    return tuple(found)


def _reminders(
    state: HouseState, key: str, call: CallState, tranche: Tranche
) -> Iterator[ReminderSent]:
    name = call.tranche_id(tranche.number)
    sent = [
        reminder.minutes
        for reminder in state.reminders.get(key, ())
        if (reminder.tranche_id, reminder.due) == (name, tranche.due)
    ]
    for minutes in sorted(set(state.parameters.reminder_minutes), reverse=True):
        at = tranche.due - timedelta(minutes=minutes)
        if at > tranche.granted_at and minutes < min(sent, default=minutes + 1):
            yield ReminderSent(
                call.account, call.call_class, name, tranche.due, minutes, tranche.unpaid_cents
            )


def _timers(state: HouseState) -> Iterator[HouseTimer]:
    for name, pending in state.journal.pending.items():
        if pending.expires_at is not None:
            yield HouseTimer(pending.expires_at, f"transfer:{name}", TimerTask.TRANSFER, name)
    for key in state.timed_calls:
        yield from _call_timers(state, key)
    for name, contract in state.contracts.items():
        life = contract.life
        if life is not None and life.state == "listed":
            yield HouseTimer(life.averaging_from, f"contract:{name}", TimerTask.CONTRACT, name)
    for name, act in state.acts.items():
        yield HouseTimer(act.approval.expires, f"act:{name}", TimerTask.ACT, name)
    for name, exemption in state.exemptions.items():
        yield HouseTimer(exemption.until, f"exemption:{name}", TimerTask.EXEMPTION, name)


def _call_timers(state: HouseState, key: str) -> Iterator[HouseTimer]:
    call = state.calls[key]
    timers = [attestation_timer(payment) for payment in call.attested]
    if call.is_open:
        timers += [due_timer(call, tranche) for tranche in call.tranches if has_timer(tranche)]
    for timer in timers:
        name = f"call:{key}:{timer.kind.value}:{timer.subject}"
        yield HouseTimer(timer.at, name, TimerTask.CALL, key, timer)
    for reminder in reminders_open(state, key):
        at = reminder.due - timedelta(minutes=reminder.minutes)
        name = f"reminder:{key}:{reminder.tranche_id}"
        yield HouseTimer(at, name, TimerTask.REMINDER, key, reminder=reminder)
