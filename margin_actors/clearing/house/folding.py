"""The fold of the log: the state after an event follows from the state before it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from margin_actors.clearing.calls import (
    AccountFrozen,
    ClockReading,
    LedgerClock,
    WithdrawalsAllowed,
    WithdrawalsBlocked,
    read_clock,
)
from margin_actors.clearing.house.account_events import (
    AccountOpened,
    CallChanged,
    ReminderSent,
    ReservationQuoted,
    WithdrawalChanged,
    WithdrawalStage,
)
from margin_actors.clearing.house.acts import CancelTrades
from margin_actors.clearing.house.book_events import ContractChanged, CycleRecorded
from margin_actors.clearing.house.events import (
    AlarmRaised,
    ApprovalChanged,
    ApprovalStep,
    ClockRead,
    CommandDecided,
    ExemptionChanged,
    HouseEvent,
    ParametersRecorded,
    Reply,
)
from margin_actors.clearing.house.group_folding import after_group
from margin_actors.clearing.house.state import (
    CommandRecord,
    HouseState,
    OpenAct,
    call_key,
    exemption_key,
    margin_of_row,
)
from margin_actors.clearing.journal import Group, Refused, apply
from margin_actors.clearing.journal.reservations import open_reservations
from margin_actors.errors import LedgerDamaged, Problem


def fold(state: HouseState, event: HouseEvent, recorded_at: datetime) -> HouseState:
    """Return the state after an event.

    Parameters
    ----------
    state : HouseState
    event : HouseEvent
        The next one of the log.
    recorded_at : datetime
        Time at which the event was recorded, UTC.

    Raises
    ------
    LedgerDamaged
        If the event is a group that the journal refuses or that it has applied before, so that the
        log is not that of a clearing house.
    """
    second = event.second if isinstance(event, ClockRead) else None
    clock = clock_reading(state, recorded_at, second).clock
    if isinstance(event, Group):
        outcome = apply(state.journal, event, clock.now)
        if isinstance(outcome, Refused) or outcome.is_repeat:
            what = "was applied before" if not isinstance(outcome, Refused) else outcome.what
            problem = Problem(f"entry {state.number + 1}", f"group {event.id!r}: {what}")
            raise LedgerDamaged("the state cannot be rebuilt from the log", [problem])
        return after_group(state, event, outcome.state, clock)
    return _changed(replace(state, number=state.number + 1, clock=clock), event)


def clock_reading(
    state: HouseState, wall: datetime, second: datetime | None = None
) -> ClockReading:
    """Return the ledger clock after a reading of the wall clock.

    Parameters
    ----------
    state : HouseState
    wall, second : datetime
        As in `read_clock`, UTC.
    """
    if state.clock is None:
        return ClockReading(LedgerClock(wall))
    return read_clock(state.clock, wall, second=second, parameters=state.parameters.calls.clock)


def _changed(state: HouseState, event: HouseEvent) -> HouseState:
    """Return the state after an event that is not a group; number and clock are advanced."""
    match event:
        case CallChanged():
            return _after_call(state, event)
        case CycleRecorded():
            return _after_cycle(state, event)
        case CommandDecided():
            return _after_command(state, event)
        case AccountOpened():
            return _after_opening(state, event)
        case ApprovalChanged():
            return _after_approval(state, event)
        case ParametersRecorded():
            return replace(state, parameters=event.parameters, are_parameters_recorded=True)
        case ContractChanged():
            return replace(state, contracts=state.contracts.with_items({event.instrument: event}))
        case WithdrawalChanged():
            return _after_withdrawal(state, event)
        case ReminderSent():
            key = call_key(event.account, event.call_class)
            sent = (*state.reminders.get(key, ()), event)
            return replace(state, reminders=state.reminders.with_items({key: sent}))
        case ReservationQuoted():
            return _after_quote(state, event)
        case AlarmRaised():
            key = f"{event.alarm.value}:{event.subject}"
            return replace(state, alarms=state.alarms.with_items({key: event}))
        case ExemptionChanged():
            key = exemption_key(event.kind.value, event.subject)
            if event.is_granted:
                return replace(state, exemptions=state.exemptions.with_items({key: event}))
            return replace(state, exemptions=state.exemptions.without([key]))
        case ClockRead():
            return state
        case Group():
            raise AssertionError("groups are folded by the journal")
        case _:
            assert_never(event)


def _after_call(state: HouseState, event: CallChanged) -> HouseState:
    after = event.after
    key = call_key(event.account, event.call_class)
    timed, reminders = state.timed_calls, state.reminders
    if after.is_open or after.attested:
        timed = timed.with_items({key: event.account})
    elif key in timed:
        timed = timed.without([key])
    if not after.is_open and key in reminders:
        reminders = reminders.without([key])
    changed = replace(
        state, calls=state.calls.with_items({key: after}), timed_calls=timed, reminders=reminders
    )
    return _after_effects(changed, event) if event.effects else changed


def _after_effects(state: HouseState, event: CallChanged) -> HouseState:
    accounts = state.netted(event.account)
    frozen, blocked = state.frozen, state.blocked
    for effect in event.effects:
        if isinstance(effect, AccountFrozen):
            frozen = frozen.with_items({a: effect.call_id for a in accounts if a not in frozen})
        elif isinstance(effect, WithdrawalsBlocked):
            ids = {a: (*blocked.get(a, ()), effect.call_id) for a in accounts}
            blocked = blocked.with_items(ids)
        elif isinstance(effect, WithdrawalsAllowed):
            ids = {a: tuple(i for i in blocked.get(a, ()) if i != effect.call_id) for a in accounts}
            ended = [a for a, left in ids.items() if not left and a in blocked]
            blocked = blocked.with_items({a: i for a, i in ids.items() if i}).without(ended)
    return replace(state, frozen=frozen, blocked=blocked)


def _after_cycle(state: HouseState, event: CycleRecorded) -> HouseState:
    """Keep the cycle as a whole; only accounts that it leaves out are stored one by one."""
    earlier, former = state.earlier, state.cycle
    if former is not None:
        left_out = former.rows.keys() - event.rows.keys()
        earlier = earlier.with_items(
            {account: margin_of_row(former, former.rows[account]) for account in left_out}
        )
    return replace(state, cycle=event, earlier=earlier)


def _after_command(state: HouseState, event: CommandDecided) -> HouseState:
    first, last = state.number - event.count, state.number - 1
    reply = Reply(event.subjects, first, last) if event.count else Reply(event.subjects)
    known = CommandRecord(event.command_hash, reply)
    return replace(state, commands=state.commands.with_items({event.command_id: known}))


def _after_quote(state: HouseState, event: ReservationQuoted) -> HouseState:
    is_open = {one.quote for one in open_reservations(state.journal, event.account)}
    known = state.quotes.get(event.account, ())
    kept = (one for one in known if one.quote in is_open and one.quote != event.quote)
    return replace(state, quotes=state.quotes.with_items({event.account: (*kept, event)}))


def _after_opening(state: HouseState, event: AccountOpened) -> HouseState:
    account = event.account
    netting = state.netting
    if account.nets:
        members = (*netting.get(account.member, ()), account.name)
        netting = netting.with_items({account.member: members})
    accounts = state.accounts.with_items({account.name: account})
    return replace(state, accounts=accounts, netting=netting)


def _after_approval(state: HouseState, event: ApprovalChanged) -> HouseState:
    name = event.approval.action_hash
    if event.step in (ApprovalStep.PROPOSED, ApprovalStep.APPROVED):
        opened = OpenAct(event.act, event.approval)
        return replace(state, acts=state.acts.with_items({name: opened}))
    changed = replace(state, acts=state.acts.without([name] if name in state.acts else []))
    if event.step is ApprovalStep.EXECUTED and isinstance(event.act, CancelTrades):
        return _without_trades(changed, event.act.trades)
    return changed


def _without_trades(state: HouseState, trades: Iterable[str]) -> HouseState:
    cancelled = {name: replace(state.trades[name], is_cancelled=True) for name in trades}
    return replace(state, trades=state.trades.with_items(cancelled))


def _after_withdrawal(state: HouseState, event: WithdrawalChanged) -> HouseState:
    name = event.request.id
    requesters = state.requesters
    if event.stage is WithdrawalStage.REQUESTED:
        requesters = requesters.with_items({name: event.by})
    withdrawals = state.withdrawals.with_items({name: event})
    return replace(state, withdrawals=withdrawals, requesters=requesters)
