"""Requirement cycles: the deficit is computed here, with the resources at the time of commit."""

from dataclasses import replace
from datetime import datetime, timedelta

from margin_actors.clearing.calls.effects import (
    Alarm,
    AlarmKind,
    Announcement,
    News,
    Outcome,
    TimerSet,
    TrancheIssued,
)
from margin_actors.clearing.calls.events import RequirementCycle
from margin_actors.clearing.calls.parameters import CallParameters, due_time_and_assets
from margin_actors.clearing.calls.state import CallState, CallStatus, Tranche
from margin_actors.clearing.calls.tranches import concluded, due_timer, rearranged, reduced

_ALL = 10_000


def on_requirement(
    state: CallState, event: RequirementCycle, now: datetime, parameters: CallParameters
) -> Outcome:
    """Issue, top up, reduce or cancel a call, as the deficit requires.

    A cycle that was decided already is ignored. A valuation that is too old decides nothing.
    """
    if event.cycle <= state.last_cycle or state.status is CallStatus.DEFAULT_DECLARED:
        return Outcome(state)
    seen = replace(state, last_cycle=event.cycle)
    if now - event.valued_at > timedelta(seconds=parameters.valuation_seconds_max):
        alarm = Alarm(AlarmKind.STALE_VALUATION, state.call_id, str(event.cycle))
        return Outcome(seen, (alarm,))
    if not state.is_open:
        if _requires_call(event, parameters):
            amount = rounded_up(event.deficit_cents, parameters.unit_cents)
            return _issued(_new_call(seen), amount, now, parameters)
        return Outcome(seen)
    if is_at_release(event, parameters):
        seen = replace(seen, cycles_at_release=state.cycles_at_release + 1)
        return (
            _cancelled(seen)
            if seen.cycles_at_release >= parameters.release_cycles
            else Outcome(seen)
        )
    seen = replace(seen, cycles_at_release=0)
    missing = event.deficit_cents - state.out_cents
    if missing >= parameters.minimum_transfer_cents:
        return _issued(seen, rounded_up(missing, parameters.unit_cents), now, parameters)
    return _reduced(seen, event.deficit_cents, parameters)


def is_at_release(event: RequirementCycle, parameters: CallParameters) -> bool:
    """Return whether the requirement is at or below the release level of the resources."""
    return event.requirement_cents * _ALL <= parameters.release_basis_points * event.resources_cents


def is_above_trigger(event: RequirementCycle, parameters: CallParameters) -> bool:
    """Return whether the requirement is above the trigger level of the resources."""
    return event.requirement_cents * _ALL > parameters.trigger_basis_points * event.resources_cents


def rounded_up(cents: int, unit: int) -> int:
    """Return the smallest multiple of `unit` that is at least `cents`, US cents.

    Examples
    --------
    >>> rounded_up(12_000_001, 1_000_000), rounded_up(12_000_000, 1_000_000)
    (13000000, 12000000)
    """
    return -(-cents // unit) * unit


def _requires_call(event: RequirementCycle, parameters: CallParameters) -> bool:
    return (
        not event.is_frozen
        and event.deficit_cents >= parameters.minimum_transfer_cents
        and is_above_trigger(event, parameters)
    )


def _new_call(state: CallState) -> CallState:
    return replace(
        state,
        number=state.number + 1,
        status=CallStatus.ISSUED,
        tranches=(),
        is_acknowledged=False,
        outages=(),
    )


def _issued(
    state: CallState, amount_cents: int, now: datetime, parameters: CallParameters
) -> Outcome:
    """Add a tranche with a due time of its own; earlier tranches stay as they are."""
    due, assets = due_time_and_assets(now, parameters)
    number = len(state.tranches) + 1
    tranche = Tranche(
        number,
        amount_cents,
        issued_at=now,
        due=due,
        granted_due=due,
        granted_at=now,
        assets=assets,
        timer_version=state.version + 1,
    )
    after = replace(state, tranches=(*state.tranches, tranche))
    subject = state.tranche_id(number)
    news = News.ISSUED if number == 1 else News.TOPPED_UP
    return Outcome(
        after,
        (
            TrancheIssued(subject, amount_cents, due, assets),
            TimerSet(due_timer(after, tranche)),
            Announcement(news, state.call_id, after.out_cents, subject),
        ),
    )


def _reduced(state: CallState, deficit_cents: int, parameters: CallParameters) -> Outcome:
    """Reduce the latest tranches to the deficit, but not to nothing: only a release ends a call."""
    # With a release level below 100 % the deficit of an open call can be negative.
    target = rounded_up(max(deficit_cents, 1), parameters.unit_cents)
    excess = state.out_cents - target
    if excess <= 0:
        return Outcome(state)
    tranches, cuts = reduced(state, excess)
    after, effects = rearranged(state, tranches)
    news = Announcement(News.REDUCED, state.call_id, after.out_cents)
    return Outcome(after, (*cuts, *effects, news))


def _cancelled(state: CallState) -> Outcome:
    after, effects = concluded(state, CallStatus.CANCELLED)
    return Outcome(after, (*effects, Announcement(News.CANCELLED, state.call_id, 0)))
