"""Conversions for collateral_service.proto."""

from typing import TypeAlias

from margin_protos.v1 import collateral_service_pb2 as pb

from margin_actors.clearing.house import HouseState
from margin_actors.clearing.house.account_events import ClearingAccount
from margin_actors.clearing.house.commands import (
    ApproveWithdrawal,
    AttestPayment,
    ConfirmPayout,
    Deposit,
    OpenAccount,
    RequestWithdrawal,
    ReturnPayout,
)
from margin_actors.clearing.house.queries import balances, positions
from margin_actors.clearing.journal import Position
from margin_actors.clearing.journal.deficits import AccountType
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_cluster.gateway.collateral import AccountMovement
from margin_cluster.gateway.convert.clearing_types import (
    amount_from_proto,
    position_to_proto,
    resources_to_proto,
    time_from_proto,
)
from margin_cluster.gateway.convert.margin_calls import call_class_from_proto
from margin_cluster.gateway.convert.margin_types import check_id, check_key, timestamp_from_time
from margin_cluster.gateway.resources import AccountStanding
from margin_cluster.ledger.clearing_rows import LogPosition

_TYPES = {0: AccountType.CLIENT, 1: AccountType.CLIENT, 2: AccountType.HOUSE}
_INVALID = "the request is not valid"
_Paying: TypeAlias = pb.AttestDepositRequest | pb.DepositRequest
_Step: TypeAlias = (
    pb.ApproveWithdrawalRequest | pb.ConfirmWithdrawalRequest | pb.ReturnWithdrawalRequest
)


def opening_from_proto(request: pb.OpenAccountRequest, actor: str) -> OpenAccount:
    """Return the command that opens an account.

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    key = check_key(request.idempotency_key, problems, is_required=True)
    check_id(request.account_id, "account_id", problems)
    check_id(request.member_id, "member_id", problems)
    if request.account_type not in _TYPES:
        what = f"{request.account_type} is not a ClearingAccountType"
        problems.append(Problem("account_type", what, "give 0, 1 or 2"))
    raise_if_any(problems, InvalidRequest, _INVALID)
    kind = _TYPES[request.account_type]
    account = ClearingAccount(request.account_id, request.member_id, kind, request.nets)
    return OpenAccount(f"open:{key}", actor, account)


def attestation_from_proto(request: pb.AttestDepositRequest, actor: str) -> AttestPayment:
    """Return the command that records a payment under way.

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems = _payment_problems(request)
    asset, units = amount_from_proto(request.amount, "amount", problems)
    call_class = call_class_from_proto(request.call_class, "call_class", problems)
    attested, expires = (
        time_from_proto(getattr(request, name), name, problems, is_set=request.HasField(name))
        for name in ("attest_time", "expire_time")
    )
    raise_if_any(problems, InvalidRequest, _INVALID)
    return AttestPayment(
        f"attest:{request.idempotency_key}",
        actor,
        request.account_id,
        request.payment_id,
        asset,
        units,
        request.custodian,
        attested,
        expires,
        call_class,
    )


def deposit_from_proto(request: pb.DepositRequest, actor: str) -> Deposit:
    """Return the command that credits a received payment.

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems = _payment_problems(request)
    asset, units = amount_from_proto(request.amount, "amount", problems)
    call_class = call_class_from_proto(request.call_class, "call_class", problems)
    is_set = request.HasField("receive_time")
    received = time_from_proto(request.receive_time, "receive_time", problems, is_set=is_set)
    raise_if_any(problems, InvalidRequest, _INVALID)
    return Deposit(
        f"deposit:{request.idempotency_key}",
        actor,
        request.account_id,
        request.payment_id,
        asset,
        units,
        request.custodian,
        received,
        call_class,
    )


def withdrawal_from_proto(request: pb.WithdrawRequest, actor: str) -> RequestWithdrawal:
    """Return the command that requests a withdrawal.

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    key = check_key(request.idempotency_key, problems, is_required=True)
    for name in ("account_id", "withdrawal_id", "custodian"):
        check_id(getattr(request, name), name, problems)
    asset, units = amount_from_proto(request.amount, "amount", problems)
    raise_if_any(problems, InvalidRequest, _INVALID)
    return RequestWithdrawal(
        f"withdraw:{key}",
        actor,
        request.withdrawal_id,
        request.account_id,
        asset,
        units,
        request.custodian,
    )


def approval_from_proto(request: pb.ApproveWithdrawalRequest, actor: str) -> ApproveWithdrawal:
    """Return the command that approves a withdrawal; raises InvalidRequest as the others do."""
    key = _step_key(request)
    return ApproveWithdrawal(f"approve-withdrawal:{key}", actor, request.withdrawal_id)


def confirmation_from_proto(request: pb.ConfirmWithdrawalRequest, actor: str) -> ConfirmPayout:
    """Return the command that records a payout; raises InvalidRequest as the others do."""
    return ConfirmPayout(f"confirm:{_step_key(request)}", actor, request.withdrawal_id)


def return_from_proto(request: pb.ReturnWithdrawalRequest, actor: str) -> ReturnPayout:
    """Return the command that credits a payout again; raises InvalidRequest as the others do."""
    return ReturnPayout(f"return:{_step_key(request)}", actor, request.withdrawal_id)


def movement_to_proto(movement: AccountMovement) -> pb.Movement:
    """Return the wire form of a movement."""
    transfer = movement.transfer
    message = pb.Movement(
        log_number=movement.event.number,
        record_time=timestamp_from_time(movement.event.recorded_at),
        movement_id=transfer.id,
        kind=transfer.kind.value,
        phase=transfer.phase.value,
        balance=movement.balance,
        pending_id=transfer.pending_id,
        valid_time=timestamp_from_time(transfer.valid_time),
    )
    message.amount.asset, message.amount.units = movement.asset.name, movement.units
    return message


def holdings_to_proto(
    state: HouseState, account: str, found: AccountStanding | None, at: LogPosition, problem: str
) -> pb.GetResourcesResponse:
    """Return the wire form of an account in one state.

    Parameters
    ----------
    state : HouseState
        The state, in which the account is open.
    account : str
    found : AccountStanding or None
        Its resources; None if they cannot be valued, because of `problem`.
    at : LogPosition
    problem : str
    """
    return pb.GetResourcesResponse(
        account_id=account,
        member_id=state.accounts[account].member,
        resources=resources_to_proto(found),
        balances=[
            pb.AssetBalance(
                asset=b.asset.name,
                collateral=b.collateral,
                requested=b.requested,
                cash=b.cash,
                in_transit=b.in_transit,
                announced=b.announced,
            )
            for b in balances(state, account)
        ],
        positions=[_position(p) for p in positions(state, account) if p.quantity],
        position=position_to_proto(at),
        problem=problem,
    )


def _position(position: Position) -> pb.ClearedPosition:
    return pb.ClearedPosition(
        instrument_name=position.instrument,
        quantity=f"{position.quantity:f}",
        lots=[
            pb.PositionLot(
                quantity=f"{lot.quantity:f}",
                base_price="" if lot.base_price is None else f"{lot.base_price:f}",
            )
            for lot in position.lots
        ],
    )


def _payment_problems(request: _Paying) -> list[Problem]:
    problems: list[Problem] = []
    check_key(request.idempotency_key, problems, is_required=True)
    for name in ("account_id", "payment_id", "custodian"):
        check_id(getattr(request, name), name, problems)
    return problems


def _step_key(request: _Step) -> str:
    problems: list[Problem] = []
    key = check_key(request.idempotency_key, problems, is_required=True)
    check_id(request.withdrawal_id, "withdrawal_id", problems)
    raise_if_any(problems, InvalidRequest, _INVALID)
    return key
