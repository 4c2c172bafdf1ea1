"""The decision on a command: a pure function of the state, the command and the time."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from margin_actors.clearing.calls.times import require_utc
from margin_actors.clearing.house.account_events import AccountOpened
from margin_actors.clearing.house.commands import (
    ApproveWithdrawal,
    ArchiveContract,
    AttestPayment,
    BookSettlement,
    BookTrades,
    CancelReservation,
    Command,
    ConfirmPayout,
    Deposit,
    FireTimers,
    ListContract,
    OpenAccount,
    RaiseAlarm,
    ReadClock,
    RecordDeliveryPrice,
    RecordParameters,
    ReportOutage,
    RequestWithdrawal,
    Reserve,
    ReturnPayout,
)
from margin_actors.clearing.house.cycle_command import RecordCycle
from margin_actors.clearing.house.cycles import on_cycle
from margin_actors.clearing.house.decisions import Decision, HouseRule, Refusal
from margin_actors.clearing.house.draft import HouseDraft, RefusedCommand, refuse
from margin_actors.clearing.house.events import CommandDecided, ParametersRecorded, Reply
from margin_actors.clearing.house.money import (
    on_attestation,
    on_deposit,
    on_payout,
    on_return,
    on_withdrawal_approval,
    on_withdrawal_request,
)
from margin_actors.clearing.house.people import (
    on_approval,
    on_call,
    on_execution,
    on_exemption_end,
    on_proposal,
)
from margin_actors.clearing.house.people_commands import (
    AcknowledgeCall,
    ApproveAct,
    ApproveAction,
    EndExemption,
    ExecuteAct,
    ExecuteAction,
    ProposeAct,
    ProposeAction,
    ReleaseHold,
)
from margin_actors.clearing.house.settling import on_archiving, on_delivery_price, on_settlement
from margin_actors.clearing.house.state import HouseState
from margin_actors.clearing.house.timing import on_clock, on_outage, on_timers
from margin_actors.clearing.house.trading import (
    on_cancellation,
    on_listing,
    on_reservation,
    on_trades,
)
from margin_actors.clearing.journal import MARGIN, AccountKind, Group, margin_accounts, open_account
from margin_actors.clearing.journal.canonical import id_fault
from margin_actors.clearing.journal.deficits import AccountType
from margin_actors.errors import (
    InvalidMarketData,
    InvalidRequest,
    KeyReused,
    MarginError,
    MissingMarketData,
    NotReady,
    Problem,
    raise_if_any,
)

COMMAND_ID_LENGTH_MAX = 200
"""Largest number of characters of the id of a command, which is part of other ids."""
_RULES: Mapping[type[MarginError], HouseRule] = {
    MissingMarketData: HouseRule.MISSING_DATA,
    InvalidMarketData: HouseRule.MISSING_DATA,
    NotReady: HouseRule.NOT_READY,
}
_UNRECORDED = (FireTimers, ReadClock)
"""Commands that change nothing when they are repeated, so that their ids are not recorded."""


def decide(state: HouseState, command: Command, now: datetime) -> Decision:
    """Return what a command causes: events to record, the state after them, and a reply.

    Parameters
    ----------
    state : HouseState
        The fold of the whole log.
    command : Command
    now : datetime
        Time at which the events will be recorded, UTC, not before that of the last entry. The
        time by which is decided is that of the ledger clock (`calls.read_clock`), which does not
        follow an unconfirmed jump of `now`.

    Returns
    -------
    Decision
        A repeated command returns its former reply without events; a refusal has no events.

    Raises
    ------
    KeyReused
        If the id of the command, or of a group that it books, was used with other content.
    InvalidRequest
        If `now` is not in UTC.
    """
    require_utc(now=now)
    is_recorded = not isinstance(command, _UNRECORDED)
    known = state.commands.get(command.id) if is_recorded else None
    if known is not None:
        if known.command_hash != command.payload_hash:
            problem = Problem("command id", f"{command.id!r} was used with other content")
            raise KeyReused("the id of the command is in use", [problem])
        return Decision(state, reply=known.reply, is_repeat=True)
    draft = HouseDraft(state, now, command_id=command.id, actor=command.actor)
    try:
        _check_names(command)
        subjects = _HANDLERS[type(command)](draft, command)
    except RefusedCommand as refused:
        return Decision(state, refusal=refused.refusal)
    except KeyReused:
        raise
    except MarginError as error:
        rule = _RULES.get(type(error), HouseRule.INVALID)
        return Decision(state, refusal=Refusal(rule.value, str(error)))
    return _concluded(draft, command, subjects) if is_recorded else _unrecorded(draft, subjects)


def _concluded(draft: HouseDraft, command: Command, subjects: tuple[str, ...]) -> Decision:
    count = len(draft.events)
    draft.log(
        CommandDecided(
            command.id, command.log_kind, command.payload_hash, command.actor, count, subjects
        )
    )
    reply = draft.state.commands[command.id].reply
    return Decision(draft.state, tuple(draft.events), reply)


def _unrecorded(draft: HouseDraft, subjects: tuple[str, ...]) -> Decision:
    count, last = len(draft.events), draft.state.number
    reply = Reply(subjects, last - count + 1, last) if count else Reply(subjects)
    return Decision(draft.state, tuple(draft.events), reply)


def _check_names(command: Command) -> None:
    problems = [
        Problem(name, fault)
        for name, text in (("command id", command.id), ("actor", command.actor))
        if (fault := id_fault(text))
    ]
    if len(command.id) > COMMAND_ID_LENGTH_MAX:
        what = f"has {len(command.id)} characters, more than {COMMAND_ID_LENGTH_MAX}"
        problems.append(Problem("command id", what))
    raise_if_any(problems, InvalidRequest, "the command is not valid")


def _on_opening(draft: HouseDraft, command: OpenAccount) -> tuple[str, ...]:
    account = command.account
    if fault := id_fault(account.name) or id_fault(account.member):
        refuse(HouseRule.INVALID, fault)
    if account.nets and account.type is not AccountType.HOUSE:
        refuse(HouseRule.INVALID, f"{account.name} is a client account, which stands alone")
    known = draft.state.accounts.get(account.name)
    if known is not None and known != account:
        refuse(HouseRule.KNOWN, f"{account.name} is open as {known}")
    if known is None:
        draft.log(AccountOpened(account))
        limit = open_account(AccountKind.MARGIN_LIMIT, MARGIN)
        opened = (*margin_accounts(account.name), limit)
        draft.group(Group(f"account:{account.name}", accounts=opened))
    return (account.name,)


def _on_parameters(draft: HouseDraft, command: RecordParameters) -> tuple[str, ...]:
    if draft.state.are_parameters_recorded:
        refuse(HouseRule.TWO_PEOPLE, "parameters are recorded; two people can change them")
    draft.log(ParametersRecorded(command.parameters, command.id))
    return (command.parameters.id,)


def _on_alarm(draft: HouseDraft, command: RaiseAlarm) -> tuple[str, ...]:
    draft.alarm(command.alarm, command.subject, command.what)
    return (command.subject,)


_HANDLERS: Mapping[type[Command], Callable[[HouseDraft, Any], tuple[str, ...]]] = {
    OpenAccount: _on_opening,
    RecordParameters: _on_parameters,
    AttestPayment: on_attestation,
    Deposit: on_deposit,
    RequestWithdrawal: on_withdrawal_request,
    ApproveWithdrawal: on_withdrawal_approval,
    ConfirmPayout: on_payout,
    ReturnPayout: on_return,
    BookTrades: on_trades,
    Reserve: on_reservation,
    CancelReservation: on_cancellation,
    RecordCycle: on_cycle,
    FireTimers: on_timers,
    ReadClock: on_clock,
    AcknowledgeCall: on_call,
    ReleaseHold: on_call,
    ProposeAction: on_call,
    ApproveAction: on_call,
    ExecuteAction: on_call,
    ProposeAct: on_proposal,
    ApproveAct: on_approval,
    ExecuteAct: on_execution,
    EndExemption: on_exemption_end,
    ReportOutage: on_outage,
    ListContract: on_listing,
    RecordDeliveryPrice: on_delivery_price,
    ArchiveContract: on_archiving,
    BookSettlement: on_settlement,
    RaiseAlarm: _on_alarm,
}
"""The function that decides on each kind of command; it returns the subjects of the reply."""
