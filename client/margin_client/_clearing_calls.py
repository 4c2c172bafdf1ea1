"""Descriptions of the calls of the clearing day; see `_calls`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from margin_protos.v1 import (
    clearing_types_pb2,
    collateral_service_pb2,
    collateral_service_pb2_grpc,
    margin_call_service_pb2,
    margin_call_service_pb2_grpc,
    portfolio_service_pb2,
    reservation_service_pb2,
    reservation_service_pb2_grpc,
)

from margin_client import _write, results
from margin_client._calls import PORTFOLIO, PagedCall, UnaryCall, key_or_new
from margin_client._read import read
from margin_client._transport import Stub
from margin_client._write import Quantities
from margin_client.results import CallClass
from margin_client.values import CallAction, ClearedTrade

T = TypeVar("T")
CALLS = margin_call_service_pb2_grpc.MarginCallServiceStub
COLLATERAL = collateral_service_pb2_grpc.CollateralServiceStub
RESERVATIONS = reservation_service_pb2_grpc.ReservationServiceStub
_CLASSES: dict[str, margin_call_service_pb2.CallClass] = {
    "initial": margin_call_service_pb2.CALL_CLASS_INITIAL,
    "variation": margin_call_service_pb2.CALL_CLASS_VARIATION,
    "default_fund": margin_call_service_pb2.CALL_CLASS_DEFAULT_FUND,
}


@dataclass(frozen=True, slots=True)
class WatchingCall(Generic[T]):
    """A stream of events that is continued after every interruption."""

    stub: Stub
    method: str
    request: Callable[[str], Message]
    """Returns the request message that continues from a token."""
    read: Callable[[Any], T]
    """Converts a message, which has a field resume_token."""
    token: str
    """Where to begin."""


def _unary(stub: Stub, method: str, request: Message, kind: type[T]) -> UnaryCall[T]:
    return UnaryCall(stub, method, lambda: request, lambda message: read(kind, message))


def as_of_to_wire(as_of: int | datetime | None) -> clearing_types_pb2.AsOf | None:
    """Return the field that selects a past state by number or time; None for the present.

    Raises
    ------
    ValueError
        If the time has no timezone.
    """
    if as_of is None:
        return None
    if isinstance(as_of, int):
        return clearing_types_pb2.AsOf(log_number=as_of)
    return clearing_types_pb2.AsOf(time=_write.timestamp(as_of, "as_of"))


def class_to_wire(call_class: CallClass | str | None) -> margin_call_service_pb2.CallClass:
    """Return the number of a class of calls; 0 for None.

    Raises
    ------
    ValueError
        If the class is not known.
    """
    if call_class is not None and call_class not in _CLASSES:
        raise ValueError(f"call_class: {call_class!r} is not one of {', '.join(_CLASSES)}")
    wire = margin_call_service_pb2.CallClass
    return wire.CALL_CLASS_UNSPECIFIED if call_class is None else _CLASSES[call_class]


def list_margin_calls(
    account_id: str,
    call_class: CallClass | None,
    as_of: int | datetime | None,
    page_size: int,
    page_token: str,
    *,
    is_open_only: bool,
) -> UnaryCall[results.MarginCallList]:
    """Return the call of `MarginClient.list_margin_calls`."""
    request = margin_call_service_pb2.ListMarginCallsRequest(
        account_id=account_id,
        call_class=class_to_wire(call_class),
        is_open_only=is_open_only,
        as_of=as_of_to_wire(as_of),
        page_size=page_size,
        page_token=page_token,
    )
    return _unary(CALLS, "ListMarginCalls", request, results.MarginCallList)


def watch_margin_calls(account_id: str, resume_token: str) -> WatchingCall[results.WatchedCall]:
    """Return the call of `MarginClient.watch_margin_calls`."""
    return WatchingCall(
        CALLS,
        "WatchMarginCalls",
        lambda token: margin_call_service_pb2.WatchMarginCallsRequest(
            account_id=account_id, resume_token=token
        ),
        lambda message: read(results.WatchedCall, message),
        resume_token,
    )


def acknowledge_margin_call(
    account_id: str, call_id: str, call_class: CallClass | None, person: str, key: str | None
) -> UnaryCall[results.DecidedCall]:
    """Return the call of `MarginClient.acknowledge_margin_call`."""
    request = margin_call_service_pb2.AcknowledgeMarginCallRequest(
        idempotency_key=key_or_new(key),
        account_id=account_id,
        call_class=class_to_wire(call_class),
        call_id=call_id,
        person=person,
    )
    return _unary(CALLS, "AcknowledgeMarginCall", request, results.DecidedCall)


def release_hold(
    account_id: str, call_id: str, call_class: CallClass | None, person: str, key: str | None
) -> UnaryCall[results.DecidedCall]:
    """Return the call of `MarginClient.release_hold`."""
    request = margin_call_service_pb2.ReleaseHoldRequest(
        idempotency_key=key_or_new(key),
        account_id=account_id,
        call_class=class_to_wire(call_class),
        call_id=call_id,
        person=person,
    )
    return _unary(CALLS, "ReleaseHold", request, results.DecidedCall)


def action_to_wire(action: CallAction) -> margin_call_service_pb2.CallAction:
    """Return the message of an action.

    Raises
    ------
    ValueError
        If the kind or the class is not known, or a due time has no timezone.
    """
    pb = margin_call_service_pb2
    message = pb.CallAction(
        account_id=action.account_id,
        call_class=class_to_wire(action.call_class),
        call_id=action.call_id,
        reason=action.reason,
    )
    if action.kind == "hold":
        message.hold.SetInParent()
    elif action.kind == "cancel":
        message.cancel.SetInParent()
    elif action.kind == "declare_default":
        message.declare_default.SetInParent()
    elif action.kind == "extend":
        message.extend.tranche = action.tranche
        if action.due_time is not None:
            message.extend.due_time.CopyFrom(_write.timestamp(action.due_time, "due_time"))
    else:
        raise ValueError(f"kind: {action.kind!r} is not hold, extend, cancel or declare_default")
    return message


def propose_action(
    action: CallAction, person: str, key: str | None
) -> UnaryCall[results.ProposedAction]:
    """Return the call of `MarginClient.propose_action`."""
    request = margin_call_service_pb2.ProposeActionRequest(
        idempotency_key=key_or_new(key), action=action_to_wire(action), person=person
    )
    return _unary(CALLS, "ProposeAction", request, results.ProposedAction)


def approve_action(
    action: CallAction, person: str, key: str | None
) -> UnaryCall[results.DecidedCall]:
    """Return the call of `MarginClient.approve_action`."""
    request = margin_call_service_pb2.ApproveActionRequest(
        idempotency_key=key_or_new(key), action=action_to_wire(action), person=person
    )
    return _unary(CALLS, "ApproveAction", request, results.DecidedCall)


def open_account(
    account_id: str, member_id: str, key: str | None, *, is_house: bool, nets: bool
) -> UnaryCall[results.Recorded]:
    """Return the call of `MarginClient.open_account`."""
    pb = collateral_service_pb2
    kind = pb.CLEARING_ACCOUNT_TYPE_HOUSE if is_house else pb.CLEARING_ACCOUNT_TYPE_CLIENT
    request = pb.OpenAccountRequest(
        idempotency_key=key_or_new(key),
        account_id=account_id,
        member_id=member_id,
        account_type=kind,
        nets=nets,
    )
    return _unary(COLLATERAL, "OpenAccount", request, results.Recorded)


def _amount(asset: str, units: int) -> clearing_types_pb2.AssetAmount:
    return clearing_types_pb2.AssetAmount(asset=asset, units=units)


def attest_deposit(
    account_id: str,
    payment_id: str,
    asset: str,
    units: int,
    custodian: str,
    expire_time: datetime,
    attest_time: datetime | None,
    call_class: CallClass | None,
    key: str | None,
) -> UnaryCall[results.AttestedDeposit]:
    """Return the call of `MarginClient.attest_deposit`."""
    request = collateral_service_pb2.AttestDepositRequest(
        idempotency_key=key_or_new(key),
        account_id=account_id,
        payment_id=payment_id,
        amount=_amount(asset, units),
        custodian=custodian,
        call_class=class_to_wire(call_class),
        attest_time=_write.timestamp(attest_time or datetime.now(UTC), "attest_time"),
        expire_time=_write.timestamp(expire_time, "expire_time"),
    )
    return _unary(COLLATERAL, "AttestDeposit", request, results.AttestedDeposit)


def deposit(
    account_id: str,
    payment_id: str,
    asset: str,
    units: int,
    custodian: str,
    receive_time: datetime | None,
    call_class: CallClass | None,
    key: str | None,
) -> UnaryCall[results.ReceivedDeposit]:
    """Return the call of `MarginClient.deposit`."""
    request = collateral_service_pb2.DepositRequest(
        idempotency_key=key_or_new(key),
        account_id=account_id,
        payment_id=payment_id,
        amount=_amount(asset, units),
        custodian=custodian,
        call_class=class_to_wire(call_class),
        receive_time=_write.timestamp(receive_time or datetime.now(UTC), "receive_time"),
    )
    return _unary(COLLATERAL, "Deposit", request, results.ReceivedDeposit)


def withdraw(
    account_id: str,
    withdrawal_id: str,
    asset: str,
    units: int,
    custodian: str,
    person: str,
    key: str | None,
) -> UnaryCall[results.RequestedWithdrawal]:
    """Return the call of `MarginClient.withdraw`."""
    request = collateral_service_pb2.WithdrawRequest(
        idempotency_key=key_or_new(key),
        account_id=account_id,
        withdrawal_id=withdrawal_id,
        amount=_amount(asset, units),
        custodian=custodian,
        person=person,
    )
    return _unary(COLLATERAL, "Withdraw", request, results.RequestedWithdrawal)


def approve_withdrawal(
    withdrawal_id: str, person: str, key: str | None
) -> UnaryCall[results.Recorded]:
    """Return the call of `MarginClient.approve_withdrawal`."""
    request = collateral_service_pb2.ApproveWithdrawalRequest(
        idempotency_key=key_or_new(key), withdrawal_id=withdrawal_id, person=person
    )
    return _unary(COLLATERAL, "ApproveWithdrawal", request, results.Recorded)


def confirm_withdrawal(withdrawal_id: str, key: str | None) -> UnaryCall[results.Recorded]:
    """Return the call of `MarginClient.confirm_withdrawal`."""
    request = collateral_service_pb2.ConfirmWithdrawalRequest(
        idempotency_key=key_or_new(key), withdrawal_id=withdrawal_id
    )
    return _unary(COLLATERAL, "ConfirmWithdrawal", request, results.Recorded)


def return_withdrawal(withdrawal_id: str, key: str | None) -> UnaryCall[results.Recorded]:
    """Return the call of `MarginClient.return_withdrawal`."""
    request = collateral_service_pb2.ReturnWithdrawalRequest(
        idempotency_key=key_or_new(key), withdrawal_id=withdrawal_id
    )
    return _unary(COLLATERAL, "ReturnWithdrawal", request, results.Recorded)


def list_movements(account_id: str, page_size: int) -> PagedCall[results.Movement]:
    """Return the listing of `MarginClient.list_movements`."""
    return PagedCall(
        COLLATERAL,
        "ListMovements",
        lambda token: collateral_service_pb2.ListMovementsRequest(
            account_id=account_id, page_size=page_size, page_token=token
        ),
        lambda m: [read(results.Movement, item) for item in m.movements],
    )


def get_resources(
    account_id: str, as_of: int | datetime | None
) -> UnaryCall[results.AccountHoldings]:
    """Return the call of `MarginClient.get_resources`."""
    request = collateral_service_pb2.GetResourcesRequest(
        account_id=account_id, as_of=as_of_to_wire(as_of)
    )
    return _unary(COLLATERAL, "GetResources", request, results.AccountHoldings)


def reserve_margin(
    account_id: str, quote_id: str, trades: Quantities, expire_time: datetime, key: str | None
) -> UnaryCall[results.ReservedMargin]:
    """Return the call of `MarginClient.reserve_margin`."""
    request = reservation_service_pb2.ReserveMarginRequest(
        idempotency_key=key_or_new(key),
        account_id=account_id,
        quote_id=quote_id,
        trades=_write.positions(trades, "trades"),
        expire_time=_write.timestamp(expire_time, "expire_time"),
    )
    return _unary(RESERVATIONS, "ReserveMargin", request, results.ReservedMargin)


def cancel_reservation(
    account_id: str, quote_id: str, key: str | None
) -> UnaryCall[results.CancelledReservation]:
    """Return the call of `MarginClient.cancel_reservation`."""
    request = reservation_service_pb2.CancelReservationRequest(
        idempotency_key=key_or_new(key), account_id=account_id, quote_id=quote_id
    )
    return _unary(RESERVATIONS, "CancelReservation", request, results.CancelledReservation)


def list_reservations(
    account_id: str, as_of: int | datetime | None
) -> UnaryCall[results.ReservationList]:
    """Return the call of `MarginClient.list_reservations`."""
    request = reservation_service_pb2.ListReservationsRequest(
        account_id=account_id, as_of=as_of_to_wire(as_of)
    )
    return _unary(RESERVATIONS, "ListReservations", request, results.ReservationList)


def book_trades(trades: Iterable[ClearedTrade], key: str | None) -> UnaryCall[results.Recorded]:
    """Return the call of `MarginClient.book_trades`."""
    request = portfolio_service_pb2.BookTradesRequest(
        idempotency_key=key_or_new(key),
        trades=[
            portfolio_service_pb2.ClearedTrade(
                trade_id=trade.trade_id,
                instrument_name=trade.instrument_name,
                buyer_account_id=trade.buyer_account_id,
                seller_account_id=trade.seller_account_id,
                quantity=trade.quantity,
                price=trade.price,
                buyer_quote_id=trade.buyer_quote_id,
                seller_quote_id=trade.seller_quote_id,
            )
            for trade in trades
        ],
    )
    return _unary(PORTFOLIO, "BookTrades", request, results.Recorded)
