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
from margin_actors.clearing.calls.outages import Outage, uncounted
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

    A tranche is extended by the part of the outage after its issue, and not again for a time that
    an earlier outage has extended. A tranche that became late during the outage is no longer late
    if its new due time has not passed.
    """
    if outage.ended > now:
        what = f"the outage ends at {outage.ended}, after {now}"
        return Outcome(state, refusal=Refusal(RefusalRule.NOT_ENDED, what))
    if not state.is_open or outage.length <= timedelta(seconds=parameters.outage_seconds_min):
        return Outcome(state)

    def extended(tranche: Tranche) -> Tranche:
        length = uncounted(outage, tranche.issued_at, state.outages)
        if not tranche.unpaid_cents or tranche.due <= outage.began or not length:
            return tranche
        due = extended_due_time(tranche.due, length, tranche.assets, parameters)
        return with_due_time(tranche, due, now=now, version=state.version + 1)

    tranches = tuple(extended(tranche) for tranche in state.tranches)
    if tranches == state.tranches:
        return Outcome(state)
    after, effects = rearranged(replace(state, outages=(*state.outages, outage)), tranches)
    news = Announcement(News.EXTENDED, state.call_id, state.out_cents)
    return Outcome(after, (*effects, news))
