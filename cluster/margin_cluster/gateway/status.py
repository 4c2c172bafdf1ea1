"""Conversion of the project's errors to gRPC statuses with google.rpc details, by one table."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from margin_actors import errors

DOMAIN = "margin-cluster"
DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"
SUMMARY_LENGTH_MAX = 400
VIOLATIONS_BYTES_MAX = 5_000
"""Violations beyond this size are counted and not listed, because trailers are limited to 8 KB."""

Detail: TypeAlias = Literal["fields", "precondition", "retry", "none"]


@dataclass(frozen=True, slots=True)
class Row:
    """Status code and kind of details of a class of errors."""

    code: grpc.StatusCode
    detail: Detail = "none"


TABLE: dict[type[errors.MarginError], Row] = {
    errors.InvalidRequest: Row(grpc.StatusCode.INVALID_ARGUMENT, "fields"),
    errors.InvalidPortfolio: Row(grpc.StatusCode.INVALID_ARGUMENT, "fields"),
    errors.InvalidScenario: Row(grpc.StatusCode.INVALID_ARGUMENT, "fields"),
    errors.InvalidParameters: Row(grpc.StatusCode.INVALID_ARGUMENT, "fields"),
    errors.InvalidMarketData: Row(grpc.StatusCode.INVALID_ARGUMENT, "fields"),
    errors.UnknownAccount: Row(grpc.StatusCode.NOT_FOUND, "fields"),
    errors.UnknownCalculation: Row(grpc.StatusCode.NOT_FOUND, "fields"),
    errors.UnknownScenarioSet: Row(grpc.StatusCode.NOT_FOUND, "fields"),
    errors.MissingMarketData: Row(grpc.StatusCode.FAILED_PRECONDITION, "precondition"),
    errors.DataQualityFailure: Row(grpc.StatusCode.FAILED_PRECONDITION, "precondition"),
    errors.NotReady: Row(grpc.StatusCode.FAILED_PRECONDITION, "precondition"),
    errors.RefusedByRule: Row(grpc.StatusCode.FAILED_PRECONDITION, "precondition"),
    errors.OutdatedSnapshot: Row(grpc.StatusCode.FAILED_PRECONDITION, "precondition"),
    errors.KeyReused: Row(grpc.StatusCode.ALREADY_EXISTS, "fields"),
    errors.Overloaded: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, "retry"),
    errors.ClusterUnavailable: Row(grpc.StatusCode.UNAVAILABLE, "retry"),
    errors.SourceUnavailable: Row(grpc.StatusCode.UNAVAILABLE, "retry"),
    errors.LedgerUnavailable: Row(grpc.StatusCode.UNAVAILABLE, "retry"),
    errors.NotStarted: Row(grpc.StatusCode.UNAVAILABLE, "retry"),
    # Usually stops the start-up; returned only if damage is detected while the service runs.
    errors.LedgerDamaged: Row(grpc.StatusCode.DATA_LOSS, "fields"),
    errors.DeadlinePassed: Row(grpc.StatusCode.DEADLINE_EXCEEDED),
}
INTERNAL = Row(grpc.StatusCode.INTERNAL)
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Failure:
    """The status that ends a call."""

    code: grpc.StatusCode
    message: str
    status: bytes
    """A google.rpc.Status."""
    request_id: str

    @property
    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Return the trailers."""
        return ((DETAILS_KEY, self.status), (REQUEST_ID_KEY, self.request_id))


def row_of(error: errors.MarginError) -> Row:
    """Return the table's row for the class of an error, or INTERNAL if it has none."""
    return TABLE.get(type(error), INTERNAL)


def failure_of(error: BaseException, *, request_id: str) -> Failure:
    """Return the status of an error; an unexpected exception exposes only the request id."""
    if not isinstance(error, errors.MarginError) or row_of(error) is INTERNAL:
        message = f"internal error; see request id {request_id} in the service's log"
        return _failure(grpc.StatusCode.INTERNAL, message, [_info("Internal")], request_id)
    row = row_of(error)
    extra: list[Message] = [_info(type(error).__name__)]
    if row.detail == "fields" and error.problems:
        extra.append(details.BadRequest(field_violations=_violations(error.problems)))
    elif row.detail == "precondition" and error.problems:
        extra.append(
            details.PreconditionFailure(
                violations=[
                    details.PreconditionFailure.Violation(
                        type=type(error).__name__, subject=v.field, description=v.description
                    )
                    for v in _violations(error.problems)
                ]
            )
        )
    elif row.detail == "retry":
        delay = Duration()
        delay.FromMilliseconds(round(1000 * getattr(error, "retry_seconds", _RETRY_SECONDS)))
        extra.append(details.RetryInfo(retry_delay=delay))
    return _failure(row.code, error.summary[:SUMMARY_LENGTH_MAX], extra, request_id)


def rejection(summary: str, retry_seconds: float, *, request_id: str) -> Failure:
    """Return the failure of a rejected call; fast, because there are many under overload.

    Encoded protobuf messages can be concatenated, so only the request id is encoded for each call
    and the rest is cached.
    """
    prepared = _rejection(summary, round(100.0 * retry_seconds))
    packed = AnyMessage()
    packed.Pack(details.RequestInfo(request_id=request_id))
    status = prepared.status + Status(details=[packed]).SerializeToString()
    return Failure(prepared.code, prepared.message, status, request_id)


@lru_cache(maxsize=1024)
def _rejection(summary: str, hundredths: int) -> Failure:
    error = errors.Overloaded(summary)
    error.retry_seconds = hundredths / 100
    return failure_of(error, request_id="")


def _info(reason: str) -> Message:
    return details.ErrorInfo(reason=reason, domain=DOMAIN)


def _violations(
    problems: tuple[errors.Problem, ...],
) -> list[details.BadRequest.FieldViolation]:
    listed: list[details.BadRequest.FieldViolation] = []
    used = 0
    for number, problem in enumerate(problems):
        what = problem.what + (f" ({problem.remedy})" if problem.remedy else "")
        item = details.BadRequest.FieldViolation(field=problem.where[:200], description=what[:400])
        used += item.ByteSize()
        if used > VIOLATIONS_BYTES_MAX:
            rest = f"and {len(problems) - number:,} more of {len(problems):,} problems"
            listed.append(details.BadRequest.FieldViolation(field="…", description=rest))
            break
        listed.append(item)
    return listed


def _failure(code: grpc.StatusCode, message: str, extra: list[Message], request_id: str) -> Failure:
    status = Status(code=code.value[0], message=message)
    if request_id:
        extra = [*extra, details.RequestInfo(request_id=request_id)]
    for item in extra:
        packed = AnyMessage()
        packed.Pack(item)
        status.details.append(packed)
    return Failure(code, message, status.SerializeToString(), request_id)
