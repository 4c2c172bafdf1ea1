"""Calls through the raw stubs: every method of the contract by name, timed, counted and logged."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from margin_protos.v1 import (
    margin_service_pb2_grpc,
    market_data_service_pb2_grpc,
    operations_service_pb2_grpc,
    portfolio_service_pb2_grpc,
    scenario_service_pb2_grpc,
)
from soak.record import Record

STUBS = {
    "MarginService": margin_service_pb2_grpc.MarginServiceStub,
    "MarketDataService": market_data_service_pb2_grpc.MarketDataServiceStub,
    "PortfolioService": portfolio_service_pb2_grpc.PortfolioServiceStub,
    "ScenarioService": scenario_service_pb2_grpc.ScenarioServiceStub,
    "OperationsService": operations_service_pb2_grpc.OperationsServiceStub,
}
SERVICE_OF = {
    "CalculateMargin": "MarginService",
    "CalculateBook": "MarginService",
    "SimulateMargin": "MarginService",
    "ExplainMargin": "MarginService",
    "ExportMargin": "MarginService",
    "GetCalculation": "MarginService",
    "ListCalculations": "MarginService",
    "PublishSnapshot": "MarketDataService",
    "ListSnapshots": "MarketDataService",
    "GetSurface": "MarketDataService",
    "UploadPositions": "PortfolioService",
    "ApplyTrades": "PortfolioService",
    "GetPortfolio": "PortfolioService",
    "BuildScenarioSet": "ScenarioService",
    "ListScenarioSets": "ScenarioService",
    "ActivateScenarioSet": "ScenarioService",
    "GetStatus": "OperationsService",
}
RESPONSE_STREAMS = {"CalculateBook", "BuildScenarioSet", "ExportMargin"}
CALL_SECONDS = 60.0
"""Deadline of ordinary calls: far beyond what any may take."""
NEVER = {"INTERNAL", "UNKNOWN", "DATA_LOSS"}
"""Statuses that no call may end with."""
SHOWN, SHOWN_MESSAGES = 3_000, 4
"""Characters of a request, and messages of a stream, that the step log keeps."""
OPTIONS = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500))


@dataclass
class Outcome:
    """How a call ended."""

    method: str
    code: str
    seconds: float
    messages: list[Any]
    message: str = ""
    reasons: str = ""
    """Field violations of the status, joined."""
    retry_seconds: float | None = None
    request: str = ""
    """What was sent, as text, shortened."""

    @property
    def is_ok(self) -> bool:
        return self.code == "OK"

    @property
    def answer(self) -> Any:
        """The one response, or the last of a stream."""
        return self.messages[-1]


class Caller:
    """One channel to one gateway."""

    def __init__(self, target: str, name: str, record: Record) -> None:
        self.target, self.name, self.record = target, name, record
        self.channel = grpc.insecure_channel(
            target, options=(*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
        )
        self._stubs = {service: make(self.channel) for service, make in STUBS.items()}
        self._health = health_pb2_grpc.HealthStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def method(self, name: str) -> Callable[..., Any]:
        return getattr(self._stubs[SERVICE_OF[name]], name)

    def healthy(self, seconds: float) -> str:
        """Return the state that the health service reports, or the status of the failed call."""
        try:
            found = self._health.Check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.RpcError as error:
            return error.code().name  # pyright: ignore[reportAttributeAccessIssue]
        return health_pb2.HealthCheckResponse.ServingStatus.Name(found.status)

    def call(
        self,
        method: str,
        request: Message | Iterable[Message],
        *,
        seconds: float = CALL_SECONDS,
        request_id: str = "",
        cancel_after: float | None = None,
        between: Callable[[Any], None] | None = None,
    ) -> Outcome:
        """Make a call and return how it ended; `between` sees each message of a stream."""
        metadata = (("x-request-id", request_id),) if request_id else ()
        shown: list[Message] = []
        sent: Any = request
        if isinstance(request, Message):
            shown.append(request)
        else:
            sent = _remembered(request, shown)
        started = time.monotonic()
        messages: list[Any] = []
        code, text, reasons, delay = "OK", "", "", None
        arguments: dict[str, Any] = {"timeout": seconds, "metadata": metadata}
        try:
            if method in RESPONSE_STREAMS:
                call = self.method(method)(sent, **arguments)
                with _cancelled_after(call, cancel_after):
                    for message in call:
                        messages.append(message)
                        if between is not None:
                            between(message)
            else:
                call = self.method(method).future(sent, **arguments)
                with _cancelled_after(call, cancel_after):
                    messages.append(call.result())
        except grpc.FutureCancelledError:
            code = "CANCELLED"
        except ValueError as error:  # the channel was closed by another thread
            code, text = "CANCELLED", str(error)
        except grpc.RpcError as error:
            code = error.code().name  # pyright: ignore[reportAttributeAccessIssue]
            text = error.details() or ""  # pyright: ignore[reportAttributeAccessIssue]
            reasons, delay = _details(error)
        seconds_taken = time.monotonic() - started
        outcome = Outcome(method, code, seconds_taken, messages, text, reasons, delay)
        self._note(outcome, shown, request_id)
        return outcome

    def _note(self, outcome: Outcome, requests: list[Message], request_id: str) -> None:
        self.record.call(outcome.method, outcome.code)
        texts = [MessageToString(r, as_one_line=True)[:SHOWN] for r in requests[:SHOWN_MESSAGES]]
        shown = outcome.request = " | ".join(texts)
        fields: dict[str, Any] = {"gateway": self.name, "code": outcome.code}
        fields["ms"] = round(outcome.seconds * 1000, 1)
        if shown:
            fields["request"] = shown[:500]
        if request_id:
            fields["id"] = request_id
        if outcome.message:
            fields["message"] = outcome.message[:300]
            fields["reasons"] = outcome.reasons[:300]
        self.record.step(outcome.method, **fields)
        if outcome.code in NEVER:
            self.record.violation(
                f"{outcome.method} ended with {outcome.code}",
                request=shown[:3000],
                message=outcome.message,
                gateway=self.name,
            )


def _remembered(messages: Iterable[Message], sent: list[Message]) -> Iterator[Message]:
    """Yield messages and keep the first of them."""
    for message in messages:
        if len(sent) < SHOWN_MESSAGES:
            sent.append(message)
        yield message


class _cancelled_after:  # noqa: N801
    """Cancels a call after some seconds unless the block has ended."""

    def __init__(self, call: Any, seconds: float | None) -> None:
        self._timer = None
        if seconds is not None:
            self._timer = threading.Timer(seconds, call.cancel)

    def __enter__(self) -> None:
        if self._timer is not None:
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _details(error: grpc.RpcError) -> tuple[str, float | None]:
    trailers = error.trailing_metadata() or ()  # pyright: ignore[reportAttributeAccessIssue]
    for key, value in trailers:
        if key != "grpc-status-details-bin":
            continue
        status = Status.FromString(value)
        reasons: list[str] = []
        delay = None
        for item in status.details:
            if item.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                found = error_details_pb2.BadRequest.FromString(item.value)
                reasons += [f"{v.field}: {v.description}" for v in found.field_violations]
            elif item.Is(error_details_pb2.PreconditionFailure.DESCRIPTOR):
                lacking = error_details_pb2.PreconditionFailure.FromString(item.value)
                reasons += [f"{v.subject}: {v.description}" for v in lacking.violations]
            elif item.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                info = error_details_pb2.RetryInfo.FromString(item.value)
                delay = info.retry_delay.ToMilliseconds() / 1000
        return "; ".join(reasons), delay
    return "", None
