"""How the asyncio client makes calls; `blocking_calls.py` is generated from this module."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TypeVar

import grpc

from margin_client import _calls
from margin_client._calls import PagedCall, StreamingCall, UnaryCall
from margin_client._channels import Compression, Tls
from margin_client._clearing_calls import WatchingCall
from margin_client._retries import Attempts, RetryPolicy
from margin_client._status import error_of
from margin_client._transport import AsyncTransport

T = TypeVar("T")


class AsyncCaller:
    """A connection with the policy by which calls are repeated; see `AsyncMarginClient`."""

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | None = None,
        timeout_seconds: float = 30.0,
        long_timeout_seconds: float = 3_600.0,
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008  (frozen)
        compression: Compression = "none",
        in_flight_max: int = 32,
    ) -> None:
        self._transport = AsyncTransport(
            target, tls=tls, compression=compression, in_flight_max=in_flight_max
        )
        self._seconds, self._long_seconds = timeout_seconds, long_timeout_seconds
        self._retries = retries

    async def close(self) -> None:
        """Close the connection and cancel the calls in progress."""
        await self._transport.close()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _attempts(self, usual: float, limit: float | None, request_id: str | None) -> Attempts:
        seconds = usual if limit is None else limit
        return Attempts(self._retries, timeout_seconds=seconds, request_id=request_id)

    async def _send(
        self, call: UnaryCall[T], timeout_seconds: float | None, request_id: str | None
    ) -> T:
        method = self._transport.method(call.stub, call.method)
        usual = self._long_seconds if call.is_long else self._seconds
        attempts = self._attempts(usual, timeout_seconds, request_id)
        while True:
            try:
                async with self._transport.in_flight(attempts):
                    response = await method(
                        call.request(), timeout=attempts.seconds_left, metadata=attempts.metadata
                    )
            except grpc.RpcError as fault:
                error = error_of(fault, request_id=attempts.request_id)
                await self._transport.sleep(attempts.wait_or_raise(error, fault))
            else:
                return call.read(response)

    async def _stream(
        self, call: StreamingCall[T], timeout_seconds: float | None, request_id: str | None
    ) -> T:
        method = self._transport.method(call.stub, call.method)
        attempts = self._attempts(self._long_seconds, timeout_seconds, request_id)
        while True:
            reader = call.reader()
            try:
                async with self._transport.in_flight(attempts):
                    messages = method(
                        call.request, timeout=attempts.seconds_left, metadata=attempts.metadata
                    )
                    try:
                        async for message in messages:
                            reader.add(message)
                    finally:
                        messages.cancel()  # no effect if the call has ended
            except grpc.RpcError as fault:
                error = error_of(fault, request_id=attempts.request_id)
                await self._transport.sleep(attempts.wait_or_raise(error, fault))
                continue
            result = reader.result()
            if result is not None:
                return result
            cut = _calls.cut_short(attempts.request_id)
            await self._transport.sleep(attempts.wait_after(cut))

    async def _pages(
        self, listing: PagedCall[T], timeout_seconds: float | None
    ) -> AsyncIterator[T]:
        token = ""
        while True:
            items, token = await self._send(listing.page(token), timeout_seconds, None)
            for item in items:
                yield item
            if not token:
                return

    async def _watch(
        self, call: WatchingCall[T], timeout_seconds: float | None
    ) -> AsyncIterator[T]:
        """Yield the messages of a stream, continuing it after every interruption.

        The limits on retries apply to attempts without any message. Without a time limit the
        stream never ends by itself.
        """
        method = self._transport.method(call.stub, call.method)
        token, until = call.token, None
        if timeout_seconds is not None:
            until = time.monotonic() + timeout_seconds
        attempts = self._attempts(self._long_seconds, timeout_seconds, None)
        while until is None or time.monotonic() < until:
            try:
                messages = method(
                    call.request(token), timeout=attempts.seconds_left, metadata=attempts.metadata
                )
                try:
                    async for message in messages:
                        token = message.resume_token
                        left = None if until is None else max(until - time.monotonic(), 0.001)
                        attempts = self._attempts(self._long_seconds, left, attempts.request_id)
                        yield call.read(message)
                finally:
                    messages.cancel()  # no effect if the call has ended
            except grpc.RpcError as fault:
                if until is not None and time.monotonic() >= until:
                    return
                error = error_of(fault, request_id=attempts.request_id)
                await self._transport.sleep(attempts.wait_or_raise(error, fault))
            else:
                await self._transport.sleep(self._retries.first_seconds)
