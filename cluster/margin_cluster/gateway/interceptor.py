"""The one interceptor around every call: admission, id, deadline, errors, log line, metrics.

The steps are in one place and in this order on purpose. A call that finds its lane full is told so
before its message is even parsed. Whatever a handler raises becomes a status by the one table; what
was not raised on purpose is logged with its traceback and told without innards.
"""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from margin_actors.errors import DeadlinePassed, InvalidRequest, Problem
from margin_cluster.gateway.admission import Lane, Lanes
from margin_cluster.gateway.backlog import Backlog
from margin_cluster.gateway.call import Call, current
from margin_cluster.gateway.door import Door
from margin_cluster.gateway.metrics import Metrics
from margin_cluster.gateway.status import REQUEST_ID_KEY, Failure, failure_of, rejection

_REQUEST_ID = re.compile(r"[\w.:\-]{1,128}")
_UNWATCHED = ("/grpc.health.", "/grpc.reflection.")
_REJECTIONS_TOLD_SECONDS = 1.0


class Conduct(grpc.aio.ServerInterceptor):
    """See the module."""

    def __init__(
        self,
        lanes: Lanes,
        metrics: Metrics,
        backlog: Backlog,
        *,
        quick_seconds_max: float,
        long_seconds_max: float,
        stall_seconds_max: float,
    ) -> None:
        self._lanes, self._metrics = lanes, metrics
        self._seconds_max = {False: quick_seconds_max, True: long_seconds_max}
        self._stall = stall_seconds_max
        self._log = structlog.get_logger("gateway")
        self._backlog = backlog
        self._doors = {lane.name: Door(lane, backlog) for lane in (lanes.quick, lanes.long)}
        self._rejections_told = 0.0

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        """Return the handler with everything around it."""
        self._backlog.handed_over()
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or method.startswith(_UNWATCHED):
            return handler
        is_stream = handler.request_streaming or handler.response_streaming
        lane = self._lanes.of(is_stream=is_stream)
        name = method.removeprefix("/margin_protos.v1.")
        if lane.is_full(time.monotonic()):
            # As a stream of requests, none of which is read: gRPC would wait for a single one.
            return grpc.stream_unary_rpc_method_handler(self._rejecting(lane, name))
        behaviour = next(
            b
            for b in (
                handler.unary_unary,
                handler.unary_stream,
                handler.stream_unary,
                handler.stream_stream,
            )
            if b is not None
        )
        return _same_kind(handler, self._around(handler, behaviour, lane, name))

    def _rejecting(self, lane: Lane, name: str) -> Callable[[Any, Any], Awaitable[Any]]:
        async def reject(_requests: Any, context: Any) -> Any:
            now = time.monotonic()
            delay = lane.turn_away(now)
            failure = rejection(lane.name, delay, request_id=_request_id(context))
            self._metrics.rejected(name)
            if now - self._rejections_told > _REJECTIONS_TOLD_SECONDS:
                self._rejections_told = now
                self._log.warning("rejected", method=name, lane=lane.name, count=lane.rejected)
            await _abort(context, failure)

        return reject

    def _around(
        self, handler: Any, behaviour: Callable[..., Any], lane: Lane, name: str
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        limit = self._seconds_max[handler.request_streaming or handler.response_streaming]

        async def conduct(request: Any, context: Any) -> Any:
            started = time.monotonic()
            left = context.time_remaining()
            call = Call(
                name,
                _request_id(context),
                started,
                started + (limit if left is None else min(left, limit)),
            )
            current.set(call)
            try:
                answer = await self._serve(handler, behaviour, lane, call, request, context)
            except asyncio.CancelledError:
                self._tell(call, lane, "CANCELLED", None)
                raise
            except Exception as error:
                failure = self._failure(error, call)
            else:
                lane.note_duration(call.seconds)
                self._tell(call, lane, "OK", None)
                return answer
            self._tell(call, lane, failure.code.name, failure.message)
            return await _abort(context, failure)

        return conduct

    async def _serve(
        self,
        handler: Any,
        behaviour: Callable[..., Any],
        lane: Lane,
        call: Call,
        request: Any,
        context: Any,
    ) -> Any:
        """Wait for a place, then run the handler within the deadline."""
        async with asyncio.timeout_at(_loop_time(call.until)):
            door = self._doors[lane.name]
            await door.enter()
            try:
                if handler.request_streaming:
                    request = self._unstalled(request)
                else:
                    _checked(request)
                if not handler.response_streaming:
                    return await behaviour(request, context)
                await self._write_all(behaviour(request, context), context)
            finally:
                door.leave()

    def _failure(self, error: Exception, call: Call) -> Failure:
        if isinstance(error, TimeoutError):
            error = DeadlinePassed("the deadline passed before the answer was ready")
        failure = failure_of(error, request_id=call.request_id)
        if failure.code is grpc.StatusCode.INTERNAL:
            self._log.error(
                "internal", request_id=call.request_id, method=call.method, exc_info=error
            )
        return failure

    def _tell(self, call: Call, lane: Lane, code: str, message: str | None) -> None:
        seconds = call.seconds
        self._metrics.finished(call.method, code, seconds, lane.active)
        fields: dict[str, Any] = {
            "method": call.method,
            "code": code,
            "ms": round(seconds * 1000, 2),
            "request_id": call.request_id,
        }
        if message is not None:
            fields["message"] = message
        self._log.info("call", **fields)

    async def _unstalled(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield requests; a caller that sends nothing for too long is let go."""
        source = aiter(requests)
        while True:
            try:
                yield _checked(await asyncio.wait_for(anext(source), self._stall))
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise InvalidRequest(
                    "the stream stalled",
                    [Problem("stream", f"nothing came for {self._stall:g} s", "send it at once")],
                ) from None

    async def _write_all(self, responses: AsyncIterator[Any], context: Any) -> None:
        """Write responses; a caller that reads nothing for too long is let go."""
        try:
            async for response in responses:
                try:
                    await asyncio.wait_for(context.write(response), self._stall)
                except TimeoutError:
                    raise InvalidRequest(
                        "the answer was not read",
                        [Problem("stream", f"nothing was read for {self._stall:g} s")],
                    ) from None
        finally:
            await responses.aclose()  # pyright: ignore[reportAttributeAccessIssue]


def _loop_time(until: float) -> float:
    return asyncio.get_running_loop().time() + until - time.monotonic()


def _request_id(context: Any) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return f"{random.getrandbits(128):032x}"


async def _abort(context: Any, failure: Failure) -> None:
    await context.abort(failure.code, failure.message, failure.metadata)


def _same_kind(handler: Any, behaviour: Callable[..., Any]) -> Any:
    """Return a handler of the same shape around another behaviour."""
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make = makers[handler.request_streaming, handler.response_streaming]
    return make(behaviour, _tolerant(handler.request_deserializer), handler.response_serializer)


@dataclass(frozen=True, slots=True)
class _NoMessage:
    """Bytes that are no message: known while they are parsed, told where errors are told."""

    fault: str


def _tolerant(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError as error:
            return _NoMessage(str(error))

    return read


def _checked(request: Any) -> Any:
    if isinstance(request, _NoMessage):
        raise InvalidRequest("the bytes are no message", [Problem("request", request.fault)])
    return request
