"""Decisions that follow from time: timers, the clock, outages."""

from datetime import timedelta

from margin_actors.clearing.calls import ClockAlarm, Outage, OutageEnded, TimerFired
from margin_actors.clearing.house.account_events import WithdrawalChanged, WithdrawalStage
from margin_actors.clearing.house.book_events import ContractChanged
from margin_actors.clearing.house.commands import FireTimers, ReadClock, ReportOutage
from margin_actors.clearing.house.decisions import HouseRule
from margin_actors.clearing.house.draft import HouseDraft, refuse
from margin_actors.clearing.house.events import (
    AlarmRaised,
    ApprovalChanged,
    ApprovalStep,
    ClockRead,
    ExemptionChanged,
    HouseAlarm,
)
from margin_actors.clearing.house.folding import clock_reading
from margin_actors.clearing.house.schedule import (
    HouseTimer,
    TimerTask,
    reminders_open,
    timers_due,
)
from margin_actors.clearing.journal import TransferKind, due_expiries
from margin_actors.clearing.settlement import advance
from margin_actors.clearing.settlement.exact import utc_text
from margin_actors.clearing.settlement.life import TimePassed


def on_timers(draft: HouseDraft, _: FireTimers) -> tuple[str, ...]:
    """Carry out everything whose time has passed, by time and then by id.

    If nothing else is recorded for a while, the clock is, so that a quiet time is not a jump.
    """
    before = draft.state.clock
    reading = clock_reading(draft.state, draft.now)
    is_new = before is not None and not before.is_suspended
    if is_new and reading.alarm is ClockAlarm.JUMPED:
        draft.log(ClockRead(draft.state.number, draft.now))
    for timer in timers_due(draft.state, draft.time):
        _fire(draft, timer)
    limit = timedelta(seconds=draft.state.parameters.calls.clock.jump_seconds_max)
    if not draft.events and before is not None and draft.time - before.now > limit / 2:
        draft.log(ClockRead(draft.state.number, draft.now))
    return ()


def on_clock(draft: HouseDraft, command: ReadClock) -> tuple[str, ...]:
    """Record a reading of the clock; a confirmed jump is an outage of the service."""
    before = draft.state.clock
    reading = clock_reading(draft.state, draft.now, command.second)
    if before is not None and reading.clock != before:
        draft.log(ClockRead(draft.state.number, draft.now, command.second))
    if reading.outage is not None:
        cause = f"clock:{draft.state.number}"
        _extend(draft, "the clearing house", reading.outage, cause)
    return ()


def on_outage(draft: HouseDraft, command: ReportOutage) -> tuple[str, ...]:
    """Extend the due times of open calls by the rule of outages; subjects are their ids."""
    if command.outage.ended > draft.time:
        what = f"the outage ends at {command.outage.ended}, after {draft.time}"
        refuse(HouseRule.NOT_ENDED, what)
    return _extend(draft, command.source, command.outage, command.id)


def _extend(draft: HouseDraft, source: str, outage: Outage, cause: str) -> tuple[str, ...]:
    what = f"unavailable from {utc_text(outage.began)} to {utc_text(outage.ended)}"
    draft.log(AlarmRaised(HouseAlarm.OUTAGE, source, what, cause, outage))
    changed: list[str] = []
    for key, account in draft.state.timed_calls.items():
        call = draft.state.calls[key]
        if call.is_open:
            after = draft.call(account, call.call_class, OutageEnded(outage)).state
            changed += [call.call_id] if after is not call and after != call else []
    return tuple(changed)


def _fire(draft: HouseDraft, timer: HouseTimer) -> None:
    match timer.task:
        case TimerTask.TRANSFER:
            _expire(draft, timer)
        case TimerTask.CALL:
            assert timer.timer is not None
            call = draft.state.calls[timer.key]
            draft.call(call.account, call.call_class, TimerFired(timer.timer))
        case TimerTask.REMINDER:
            _remind(draft, timer)
        case TimerTask.CONTRACT:
            _start_averaging(draft, timer)
        case TimerTask.ACT:
            lapsed = draft.state.acts[timer.key]
            cause = f"{timer.key}/{utc_text(timer.at)}"
            step = ApprovalStep.LAPSED
            draft.log(ApprovalChanged(step, lapsed.act, lapsed.approval, cause))
        case TimerTask.EXEMPTION:
            ended = draft.state.exemptions[timer.key]
            cause = f"{ended.cause}/end"
            draft.log(
                ExemptionChanged(
                    ended.kind, ended.subject, ended.until, ended.reason, (), False, cause
                )
            )


def _expire(draft: HouseDraft, timer: HouseTimer) -> None:
    """Expire the pending transfers of the time of a timer, once for all of them."""
    group = due_expiries(draft.state.journal, timer.at)
    if group is None:
        return
    draft.group(group)
    for transfer in group.transfers:
        if transfer.kind is TransferKind.WITHDRAWAL:
            name = transfer.pending_id.removeprefix("withdrawal:").removesuffix(":request")
            request = draft.state.withdrawals[name].request
            draft.log(WithdrawalChanged(request, WithdrawalStage.CANCELLED, draft.actor))


def _remind(draft: HouseDraft, timer: HouseTimer) -> None:
    """Send a reminder, unless one closer to the due time or the due time itself has come."""
    reminder = timer.reminder
    assert reminder is not None
    still_open = [
        one
        for one in reminders_open(draft.state, timer.key)
        if (one.tranche_id, one.due) == (reminder.tranche_id, reminder.due)
        and one.due - timedelta(minutes=one.minutes) <= draft.time < one.due
    ]
    if still_open and still_open[-1].minutes == reminder.minutes:
        draft.log(still_open[-1])


def _start_averaging(draft: HouseDraft, timer: HouseTimer) -> None:
    contract = draft.state.contracts[timer.key]
    assert contract.life is not None
    life, effects = advance(contract.life, TimePassed(draft.time))
    if life != contract.life:
        draft.log(
            ContractChanged(contract.instrument, contract.multiplier, life, effects, "averaging")
        )
