"""The interceptor around every call: admission, id, deadline, errors, log line, metrics.

The order of the steps matters. A call is admitted or rejected before its message is read. A unary
request is read before the call waits for its turn, so that a slow sender does not hold a slot. A
stream of requests holds a slot only while one of its messages is processed. Every handler is
registered as one that takes a stream of requests, because gRPC would otherwise read the message
before the interceptor has identified the caller.

An exception of a handler is converted to a status by the table in `status`. An unexpected exception
is logged with its traceback, and the caller receives only the request id.
"""

import asyncio
import random
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import NoReturn

import grpc
import structlog

from margin_actors.errors import DeadlinePassed, InvalidRequest, LedgerUnavailable, Problem
from margin_cluster.gateway.admission import PriorityClass
from margin_cluster.gateway.call import Call, current
from margin_cluster.gateway.caller import Caller, caller_of
from margin_cluster.gateway.gate import Admission, AdmissionGate, Rejected, UploadSlot
from margin_cluster.gateway.health import HealthMonitor
from margin_cluster.gateway.messages import CallerWaits, Received, tolerant
from margin_cluster.gateway.metrics import Metrics
from margin_cluster.gateway.rpc import Behaviour, Context, RpcHandler, behaviour_of
from margin_cluster.gateway.status import REQUEST_ID_KEY, Failure, failure_of, rejection

_REQUEST_ID = re.compile(r"[\w.:\-]{1,128}")
_PACKAGE = "/margin_protos.v1."
_CONTROL = frozenset({"OperationsService/GetStatus"})
_WATCHING = frozenset({"MarginCallService/WatchMarginCalls"})
"""Streams that wait for events and calculate nothing; they take no slot of a gate."""
_CHANGING = frozenset(
    {
        "CollateralService/ApproveWithdrawal",
        "CollateralService/AttestDeposit",
        "CollateralService/ConfirmWithdrawal",
        "CollateralService/Deposit",
        "CollateralService/OpenAccount",
        "CollateralService/ReturnWithdrawal",
        "CollateralService/Withdraw",
        "MarginCallService/AcknowledgeMarginCall",
        "MarginCallService/ApproveAction",
        "MarginCallService/ProposeAction",
        "MarginCallService/ReleaseHold",
        "PortfolioService/BookTrades",
        "ReservationService/CancelReservation",
        "ReservationService/ReserveMargin",
        "MarginService/CalculateMargin",
        "MarginService/CalculateBook",
        "MarketDataService/PublishSnapshot",
        "PortfolioService/ApplyTrades",
        "PortfolioService/UploadPositions",
        "ScenarioService/ActivateScenarioSet",
        "ScenarioService/BuildScenarioSet",
    }
)
"""Methods that write to the ledger or change what is in use."""
_REJECTIONS_LOG_SECONDS = 1.0
LOGGED_PROBLEMS_MAX = 3
"""Problems of a failed call that are written to its log line."""


@dataclass(frozen=True, slots=True)
class _Method:
    """One RPC method."""

    name: str
    priority: PriorityClass
    behaviour: Behaviour
    is_request_streaming: bool
    seconds_max: float


@dataclass(frozen=True, slots=True)
class _Running:
    """One call in progress."""

    method: _Method
    call: Call
    caller: Caller
    context: Context
    number: int
    """Number of the call in the order in which gRPC handed the calls over."""


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Admits, runs, logs and counts every call; see the module's docstring."""

    def __init__(
        self,
        admission: Admission,
        waits: CallerWaits,
        health: HealthMonitor,
        metrics: Metrics,
        *,
        unary_seconds_max: float,
        streaming_seconds_max: float,
        has_certificates: bool,
    ) -> None:
        self._admission, self._waits = admission, waits
        self._health, self._metrics = health, metrics
        self._unary_seconds_max = unary_seconds_max
        self._streaming_seconds_max = streaming_seconds_max
        self._has_certificates = has_certificates
        self._log = structlog.get_logger("gateway")
        self._rejection_logged = float("-inf")
        self._handlers: dict[str, RpcHandler] = {}
        self._in_progress = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    # The wrapped handler takes `Received` in place of the request, which the base does not foresee.
    async def intercept_service(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[RpcHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> RpcHandler | None:
        """Return the handler of a method, wrapped in the steps that the module describes."""
        method = handler_call_details.method
        known = self._handlers.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith(_PACKAGE):
            return handler  # health and reflection, which are never queued or rejected
        known = self._handlers[method] = self._wrapped(handler, method.removeprefix(_PACKAGE))
        return known

    async def idle(self) -> None:
        """Return when no call is in progress."""
        await self._is_idle.wait()

    def _wrapped(self, handler: RpcHandler, name: str) -> RpcHandler:
        is_stream = handler.request_streaming or handler.response_streaming
        priority = PriorityClass.STREAMING if is_stream else PriorityClass.UNARY
        seconds_max = self._streaming_seconds_max if is_stream else self._unary_seconds_max
        method = _Method(
            name,
            PriorityClass.CONTROL if name in _CONTROL else priority,
            behaviour_of(handler),
            handler.request_streaming,
            seconds_max,
        )

        async def serve_call(_requests: object, context: Context) -> object:
            return await self._serve_call(method, self._admission.backlog.handed_over(), context)

        parse = handler.request_deserializer
        assert parse is not None, "generated handlers parse their requests"
        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        return make(serve_call, tolerant(parse), handler.response_serializer)

    async def _serve_call(self, method: _Method, number: int, context: Context) -> object:
        started, remaining = time.monotonic(), context.time_remaining()
        seconds = method.seconds_max if remaining is None else min(remaining, method.seconds_max)
        caller = caller_of(context, has_certificates=self._has_certificates)
        is_known = self._has_certificates and caller.key.startswith("tls:")
        call = Call(
            method.name, _request_id(context), started, started + seconds, caller.name, is_known
        )
        current.set(call)
        running = _Running(method, call, caller, context, number)
        self._in_progress += 1
        self._is_idle.clear()
        try:
            answer = await self._serve(running)
        except Rejected as error:
            await self._reject(call, error, context)
        except (asyncio.CancelledError, grpc.aio.BaseError) as error:
            # gRPC raises its own error when a message can no longer be exchanged.
            self._finished(call, "CANCELLED")
            raise asyncio.CancelledError from error
        except Exception as error:
            await self._fail(call, error, context)
        else:
            self._finished(call, "OK")
            return answer
        finally:
            self._admission.backlog.confirm(number)
            self._in_progress -= 1
            if not self._in_progress:
                self._is_idle.set()

    async def _serve(self, running: _Running) -> object:
        """Admit a call and run it within its deadline: reading, waiting for its turn, handling."""
        method, admission = running.method, self._admission
        deadline = asyncio.timeout_at(_loop_time(running.call.until))
        if method.priority is PriorityClass.CONTROL:
            with admission.control():
                async with deadline:
                    return await self._run(running, (await self._read_one(running)).message)
        if method.name in _WATCHING:
            with admission.watch(running.caller.key):
                async with deadline:
                    return await self._run(running, (await self._read_one(running)).message)
        if method.name in _CHANGING:
            self._health.require_started()
        if method.is_request_streaming:
            with admission.upload(running.caller.key) as slot:
                async with deadline, aclosing(self._messages(running, slot)) as messages:
                    return await self._run(running, messages)
        is_unary = method.priority is PriorityClass.UNARY
        gate = admission.unary if is_unary else admission.streaming
        gate.admit(running.caller.key)
        async with deadline:
            return await self._serve_admitted(running, gate)

    async def _serve_admitted(self, running: _Running, gate: AdmissionGate) -> object:
        """Serve an admitted call with one request message."""
        caller = running.caller.key
        try:
            received = await self._read_one(running)
        except BaseException:
            gate.give_up(caller)
            raise
        await self._admission.enter(gate, caller, received.size)
        started = time.monotonic()
        try:
            return await self._run(running, received.message)
        finally:
            gate.queue.note_duration(time.monotonic() - started)
            gate.leave(caller)

    async def _run(self, running: _Running, request: object) -> object:
        answers = running.method.behaviour(request, running.context)
        if isinstance(answers, Awaitable):
            return await answers
        return await self._waits.write_all(answers, running.context)

    async def _read(self, running: _Running, *, is_first: bool) -> Received | None:
        received = await self._waits.read(running.context, is_first=is_first)
        self._admission.backlog.confirm(running.number)
        return received

    async def _read_one(self, running: _Running) -> Received:
        received = await self._read(running, is_first=True)
        if received is None:
            problems = [Problem("request", "is missing", "send one message")]
            raise InvalidRequest("the request has no message", problems)
        return received

    async def _messages(self, running: _Running, slot: UploadSlot) -> AsyncGenerator[object]:
        """Yield the messages of a stream; the slot is held except while waiting for a message."""
        is_first = True
        while True:
            slot.give_back()
            received = await self._read(running, is_first=is_first)
            await slot.take()
            if received is None:
                return
            is_first = False
            yield received.message

    async def _reject(self, call: Call, error: Rejected, context: Context) -> NoReturn:
        now = time.monotonic()
        self._metrics.rejected(call.method, error.priority, error.reason)
        if now - self._rejection_logged > _REJECTIONS_LOG_SECONDS:
            self._rejection_logged = now
            self._log.warning(
                "rejected",
                method=call.method,
                caller=call.caller,
                reason=error.reason.value,
                rejected_total=self._admission.rejected,
            )
        failure = rejection(error.summary, error.retry_seconds, request_id=call.request_id)
        await _abort(context, failure)

    async def _fail(self, call: Call, error: Exception, context: Context) -> NoReturn:
        if isinstance(error, TimeoutError):
            error = DeadlinePassed("the deadline passed before the answer was ready")
        if isinstance(error, LedgerUnavailable):
            self._health.ledger_failed(error)
        failure = failure_of(error, request_id=call.request_id)
        if failure.code is grpc.StatusCode.INTERNAL:
            self._log.error(
                "internal", request_id=call.request_id, method=call.method, exc_info=error
            )
        problems = getattr(error, "problems", ())[:LOGGED_PROBLEMS_MAX]
        self._finished(call, failure.code.name, failure.message, [str(p) for p in problems])
        await _abort(context, failure)

    def _finished(
        self, call: Call, code: str, message: str | None = None, problems: Sequence[str] = ()
    ) -> None:
        seconds = call.seconds
        self._metrics.finished(call.method, code, seconds)
        fields: dict[str, object] = {
            "method": call.method,
            "code": code,
            "ms": round(seconds * 1000, 2),
            "request_id": call.request_id,
            "caller": call.caller,
        }
        if message is not None:
            fields["message"] = message
        if problems:
            fields["problems"] = problems
        self._log.info("call", **fields)


def _loop_time(until: float) -> float:
    return asyncio.get_running_loop().time() + until - time.monotonic()


def _request_id(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return f"{random.getrandbits(128):032x}"


async def _abort(context: Context, failure: Failure) -> NoReturn:
    """End a call with a status by raising the exception that gRPC expects."""
    try:
        await context.abort(failure.code, failure.message, failure.metadata)
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError as error:
        raise asyncio.CancelledError from error  # the caller has disconnected
    raise AssertionError("abort always raises")
