"""Conversions for margin_call_service.proto."""

from typing import TypeAlias

from margin_protos.v1 import margin_call_service_pb2 as pb

from margin_actors.clearing.calls import (
    Action,
    Announcement,
    CallClass,
    CallState,
    CallStatus,
    CancelCall,
    DeclareDefault,
    ExtendDeadline,
    HoldCall,
)
from margin_actors.clearing.house.account_events import CallChanged, ReminderSent
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_cluster.gateway.call_feed import Change, Watched
from margin_cluster.gateway.convert.clearing_types import position_to_proto, time_from_proto
from margin_cluster.gateway.convert.margin_types import check_id, check_key, timestamp_from_time
from margin_cluster.gateway.margin_calls import CallAddress, CallQuery, DecidedCall
from margin_cluster.gateway.paging import size_from_proto

_CLASSES: dict[int, CallClass] = {
    1: CallClass.INITIAL,
    2: CallClass.VARIATION,
    3: CallClass.DEFAULT_FUND,
}
_CLASS_NUMBERS = {value: number for number, value in _CLASSES.items()}
_STATUS_NUMBERS = {
    CallStatus.NONE: 0,
    CallStatus.ISSUED: 1,
    CallStatus.ACKNOWLEDGED: 2,
    CallStatus.PARTLY_MET: 3,
    CallStatus.OVERDUE: 4,
    CallStatus.MET: 5,
    CallStatus.CANCELLED: 6,
    CallStatus.DEFAULT_DECLARED: 7,
}
_REASON_LENGTH_MAX = 1_000
_Addressed: TypeAlias = pb.AcknowledgeMarginCallRequest | pb.ReleaseHoldRequest
_OfAction: TypeAlias = pb.ProposeActionRequest | pb.ApproveActionRequest


def call_class_from_proto(number: int, where: str, problems: list[Problem]) -> CallClass:
    """Return a class of calls; initial margin if it is not set."""
    if number not in (0, *_CLASSES):
        problems.append(Problem(where, f"{number} is not a CallClass", "give 0 to 3"))
    return _CLASSES.get(number, CallClass.INITIAL)


def call_to_proto(call: CallState) -> pb.MarginCall:
    """Return the wire form of the current or last call of an account and class."""
    return pb.MarginCall(
        call_id=call.call_id,
        account_id=call.account,
        call_class=_CLASS_NUMBERS[call.call_class],  # pyright: ignore[reportArgumentType]
        status=_STATUS_NUMBERS[call.status],  # pyright: ignore[reportArgumentType]
        out_cents=call.out_cents,
        tranches=[
            pb.CallTranche(
                number=tranche.number,
                amount_cents=tranche.amount_cents,
                paid_cents=tranche.paid_cents,
                issue_time=timestamp_from_time(tranche.issued_at),
                due_time=timestamp_from_time(tranche.due),
                assets=tranche.assets,
                is_late=tranche.is_late,
                passed_under_hold=tranche.passed_under_hold,
            )
            for tranche in call.tranches
        ],
        is_acknowledged=call.is_acknowledged,
        is_held=call.is_held,
        is_open=call.is_open,
        attested=[
            pb.AttestedPayment(
                payment_id=payment.payment_id,
                amount_cents=payment.amount_cents,
                expire_time=timestamp_from_time(payment.expires),
            )
            for payment in call.attested
        ],
        approvals=[
            pb.CallApproval(
                action_hash=approval.action_hash,
                proposer=approval.proposer,
                approver=approval.approver,
                expire_time=timestamp_from_time(approval.expires),
            )
            for approval in call.approvals
        ],
        version=call.version,
        change_time=None if call.changed_at is None else timestamp_from_time(call.changed_at),
    )


def known_call_to_proto(call: CallState) -> pb.MarginCall | None:
    """Return the wire form of a call; None if there never was one."""
    return call_to_proto(call) if call.number else None


def query_from_proto(request: pb.ListMarginCallsRequest) -> tuple[CallQuery, int]:
    """Return (which calls to list, rows to return).

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    if request.account_id:
        check_id(request.account_id, "account_id", problems)
    chosen = call_class_from_proto(request.call_class, "call_class", problems)
    size = size_from_proto(request.page_size, problems)
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    call_class = chosen if request.call_class else None
    return CallQuery(request.account_id, call_class, request.is_open_only), size


def address_from_proto(request: _Addressed) -> tuple[str, CallAddress]:
    """Return (idempotency key, the call concerned).

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    key = check_key(request.idempotency_key, problems, is_required=True)
    check_id(request.account_id, "account_id", problems)
    call_class = call_class_from_proto(request.call_class, "call_class", problems)
    _check_call_id(request.call_id, "call_id", problems)
    _check_person(request.person, problems)
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    return key, CallAddress(request.account_id, call_class, request.call_id)


def action_from_proto(request: _OfAction) -> tuple[str, CallAddress, Action]:
    """Return (idempotency key, the call concerned, the action).

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    key = check_key(request.idempotency_key, problems, is_required=True)
    message = request.action
    check_id(message.account_id, "action.account_id", problems)
    call_class = call_class_from_proto(message.call_class, "action.call_class", problems)
    _check_call_id(message.call_id, "action.call_id", problems)
    _check_person(request.person, problems)
    if not message.reason.strip() or len(message.reason) > _REASON_LENGTH_MAX:
        remedy = f"give 1 to {_REASON_LENGTH_MAX:,} characters"
        problems.append(Problem("action.reason", f"{message.reason[:40]!r}", remedy))
    which = message.WhichOneof("action")
    due = None
    if which is None:
        remedy = "give hold, extend, cancel or declare_default"
        problems.append(Problem("action.action", "is not set", remedy))
    elif which == "extend":
        is_set = message.extend.HasField("due_time")
        where = "action.extend.due_time"
        due = time_from_proto(message.extend.due_time, where, problems, is_set=is_set)
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    address = CallAddress(message.account_id, call_class, message.call_id)
    if due is not None:
        tranche = message.extend.tranche
        return key, address, ExtendDeadline(message.call_id, tranche, due, message.reason)
    kinds = {"hold": HoldCall, "cancel": CancelCall, "declare_default": DeclareDefault}
    return key, address, kinds[str(which)](message.call_id, message.reason)


def watched_to_proto(watched: Watched) -> pb.WatchMarginCallsResponse:
    """Return the wire form of one message of a watch."""
    change = None if watched.change is None else _change(watched.change)
    return pb.WatchMarginCallsResponse(resume_token=watched.token, change=change)


def _change(change: Change) -> pb.CallChange:
    event = change.event
    message = pb.CallChange(
        log_number=change.number,
        record_time=timestamp_from_time(change.recorded_at),
        account_id=change.account,
    )
    if isinstance(event, CallChanged):
        message.call.CopyFrom(call_to_proto(event.after))
        message.announcements.extend(
            pb.CallAnnouncement(news=effect.news.value, subject=effect.subject)
            for effect in event.effects
            if isinstance(effect, Announcement)
        )
    elif isinstance(event, ReminderSent):
        message.reminder.CopyFrom(
            pb.CallReminder(
                tranche_id=event.tranche_id,
                due_time=timestamp_from_time(event.due),
                minutes=event.minutes,
                unpaid_cents=event.unpaid_cents,
            )
        )
    return message


def acknowledged_to_proto(decided: DecidedCall) -> pb.AcknowledgeMarginCallResponse:
    """Return the wire form of an acknowledgement."""
    return pb.AcknowledgeMarginCallResponse(
        call=call_to_proto(decided.call),
        position=position_to_proto(decided.done.committed.at),
        was_repeated=decided.done.was_repeated,
    )


def released_to_proto(decided: DecidedCall) -> pb.ReleaseHoldResponse:
    """Return the wire form of the end of a hold."""
    return pb.ReleaseHoldResponse(
        call=call_to_proto(decided.call),
        position=position_to_proto(decided.done.committed.at),
        was_repeated=decided.done.was_repeated,
    )


def proposed_to_proto(decided: DecidedCall) -> pb.ProposeActionResponse:
    """Return the wire form of a proposal."""
    return pb.ProposeActionResponse(
        action_hash=decided.done.reply.subjects[0],
        call=call_to_proto(decided.call),
        position=position_to_proto(decided.done.committed.at),
        was_repeated=decided.done.was_repeated,
    )


def approved_to_proto(decided: DecidedCall) -> pb.ApproveActionResponse:
    """Return the wire form of an approval."""
    return pb.ApproveActionResponse(
        call=call_to_proto(decided.call),
        position=position_to_proto(decided.done.committed.at),
        was_repeated=decided.done.was_repeated,
    )


def _check_call_id(text: str, where: str, problems: list[Problem]) -> None:
    if not 1 <= len(text) <= 300 or not text.isprintable():
        problems.append(Problem(where, f"{text[:40]!r}", "give the id of the call"))


def _check_person(text: str, problems: list[Problem]) -> None:
    if text:
        check_id(text, "person", problems)
