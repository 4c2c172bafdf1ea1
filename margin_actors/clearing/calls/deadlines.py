"""Deadlines: timers of due times, and outages, which extend due times."""

from dataclasses import replace
from datetime import datetime, timedelta

from margin_actors.clearing.calls.effects import (
    Alarm,
    AlarmKind,
    Announcement,
    News,
    Outcome,
    Refusal,
    RefusalRule,
    TimerSet,
)
from margin_actors.clearing.calls.events import Timer
from margin_actors.clearing.calls.outages import Outage, merged
from margin_actors.clearing.calls.parameters import CallParameters, extended_due_time
from margin_actors.clearing.calls.state import CallState, Tranche
from margin_actors.clearing.calls.tranches import (
    due_timer,
    has_timer,
    rearranged,
    with_due_time,
)


def on_due_timer(state: CallState, timer: Timer, now: datetime) -> Outcome:
    """Make a tranche late whose due time has passed unpaid, unless the call is held.

    Timers of other calls, of paid tranches and of former due times are ignored. A timer that fires
    early is set again.
    """
    found = next((t for t in state.tranches if has_timer(t) and due_timer(state, t) == timer), None)
    if not state.is_open or found is None:
        return Outcome(state)
    if now < found.due:
        return Outcome(state, (TimerSet(timer),))
    passed = replace(found, is_late=not state.is_held, passed_under_hold=state.is_held)
    tranches = tuple(passed if t is found else t for t in state.tranches)
    after, effects = rearranged(state, tranches)
    news = News.DEADLINE_PASSED_UNDER_HOLD if state.is_held else News.OVERDUE
    announcement = Announcement(news, state.call_id, state.out_cents, timer.subject)
    if state.is_held:
        return Outcome(after, (*effects, announcement))
    alarm = Alarm(AlarmKind.OVERDUE, state.call_id, timer.subject)
    return Outcome(after, (*effects, announcement, alarm))


def on_outage(
    state: CallState, outage: Outage, now: datetime, parameters: CallParameters
) -> Outcome:
    """Extend the due times after the beginning of an outage that is longer than the limit.

    A due time is that granted at the issue, or by an extension, plus the outages since then. It is
    computed from the union of all reported outages, so that repeated and overlapping reports count
    once and their order does not matter. A tranche that is late is no longer late if its new due
    time has not passed.
    """
    if outage.ended > now:
        what = f"the outage ends at {outage.ended}, after {now}"
        return Outcome(state, refusal=Refusal(RefusalRule.NOT_ENDED, what))
    if not state.is_open or outage.length <= timedelta(seconds=parameters.outage_seconds_min):
        return Outcome(state)
    after = replace(state, outages=merged((*state.outages, outage)))

    def extended(tranche: Tranche) -> Tranche:
        due = _due_after(after.outages, tranche, parameters)
        if not tranche.unpaid_cents or due == tranche.due:
            return tranche
        return with_due_time(tranche, due, now=now, version=state.version + 1)

    tranches = tuple(extended(tranche) for tranche in state.tranches)
    if tranches == state.tranches:
        return Outcome(after)
    after, effects = rearranged(after, tranches)
    news = Announcement(News.EXTENDED, state.call_id, state.out_cents)
    return Outcome(after, (*effects, news))


def _due_after(
    outages: tuple[Outage, ...], tranche: Tranche, parameters: CallParameters
) -> datetime:
    """Return the granted due time extended by each outage that began before it."""
    due = tranche.granted_due
    for outage in outages:
        length = outage.ended - max(outage.began, tranche.granted_at)
        if outage.began < due and length > timedelta(0):
            due = extended_due_time(due, length, tranche.assets, parameters)
    return due
