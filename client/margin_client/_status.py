"""Conversion of a gRPC status to an error of the client; the inverse of the service's table."""

from collections.abc import Iterable

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from margin_client.errors import (
    AccessError,
    BusyError,
    ConflictError,
    DeadlineError,
    InvalidRequestError,
    MarginClientError,
    NotFoundError,
    NotReadyError,
    Problem,
    RefusedError,
    UnavailableError,
)

DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"

_REFUSED = "RefusedByRule"
"""Reason of the errors by which the clearing house refuses a request."""
TABLE: dict[grpc.StatusCode, type[MarginClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: NotReadyError,
    grpc.StatusCode.ALREADY_EXISTS: ConflictError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: BusyError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.UNAUTHENTICATED: AccessError,
    grpc.StatusCode.PERMISSION_DENIED: AccessError,
    grpc.StatusCode.DATA_LOSS: MarginClientError,
}


def error_of(fault: grpc.RpcError, *, request_id: str) -> MarginClientError:
    """Return the client's error for a failed call, with the details that the service sent."""
    code: grpc.StatusCode = fault.code()  # pyright: ignore[reportAttributeAccessIssue]
    message: str = fault.details() or code.name  # pyright: ignore[reportAttributeAccessIssue]
    trailers: Iterable[tuple[str, str | bytes]] = fault.trailing_metadata() or ()  # pyright: ignore[reportAttributeAccessIssue, reportAssignmentType]
    problems: list[Problem] = []
    retry_seconds: float | None = None
    reason = ""
    for detail in _details(trailers):
        info = details.ErrorInfo()
        bad, missing, retry = (
            details.BadRequest(),
            details.PreconditionFailure(),
            details.RetryInfo(),
        )
        if detail.Unpack(bad):
            problems += [Problem(v.field, v.description) for v in bad.field_violations]
        elif detail.Unpack(missing):
            problems += [Problem(v.subject, v.description) for v in missing.violations]
        elif detail.Unpack(retry):
            retry_seconds = retry.retry_delay.ToMilliseconds() / 1000
        elif detail.Unpack(info):
            reason = info.reason
    kind = TABLE.get(code, MarginClientError)
    if kind is BusyError and retry_seconds is None:
        # Without a suggested delay the cause is not load, but a message that exceeds a limit.
        kind = InvalidRequestError
    if reason == _REFUSED:
        kind = RefusedError
    return kind(
        message,
        code=code.name,
        problems=tuple(problems),
        request_id=request_id,
        retry_seconds=retry_seconds,
    )


def _details(trailers: Iterable[tuple[str, str | bytes]]) -> list[AnyMessage]:
    for key, value in trailers:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(Status.FromString(value).details)
            except DecodeError:
                return []
    return []
