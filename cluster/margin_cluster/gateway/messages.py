"""Reading and writing of a call's messages, with limits on how long the caller may take."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import DecodeError

from margin_actors.errors import ClusterUnavailable, InvalidRequest, Problem
from margin_cluster.gateway.rpc import Context

T = TypeVar("T")
DRAINING_SECONDS_MAX = 1.0
"""Longest wait for a caller to send or read a message while the gateway drains."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request message as it was received."""

    message: object
    """None if the bytes cannot be parsed."""
    size: int
    """Bytes."""
    fault: str = ""
    """Why the bytes cannot be parsed."""


def tolerant(parse: Callable[[bytes], object]) -> Callable[[bytes], Received]:
    """Return a deserializer that reports a parse error as a value.

    gRPC would turn an exception of a deserializer into INTERNAL.
    """

    def read(data: bytes) -> Received:
        try:
            return Received(parse(data), len(data))
        except DecodeError as error:
            return Received(None, len(data), str(error))

    return read


class CallerWaits:
    """Reads and writes that wait for a caller, each with a time limit.

    Parameters
    ----------
    first_seconds_max, stall_seconds_max, unread_seconds_max : float
        Longest wait, in seconds, for the first message of a call, for a later message, and for the
        caller to read a message.
    """

    def __init__(
        self, *, first_seconds_max: float, stall_seconds_max: float, unread_seconds_max: float
    ) -> None:
        self._first, self._stall = first_seconds_max, stall_seconds_max
        self._unread = unread_seconds_max
        self._limits: set[asyncio.Timeout] = set()
        self._is_draining = False

    def drain(self) -> None:
        """Shorten the limits of all current and later waits to `DRAINING_SECONDS_MAX`."""
        self._is_draining = True
        soon = asyncio.get_running_loop().time() + DRAINING_SECONDS_MAX
        for limit in self._limits:
            when = limit.when()
            if when is not None and when > soon:
                limit.reschedule(soon)

    async def read(self, context: Context, *, is_first: bool) -> Received | None:
        """Return the next message, or None at the end of the stream.

        Raises
        ------
        InvalidRequest
            If the caller sends nothing for too long, or the bytes cannot be parsed.
        ClusterUnavailable
            If the caller sends nothing while the gateway drains.
        """
        seconds = self._first if is_first else self._stall
        received = await self._limited(context.read(), seconds, "no message was received", "send")
        if not isinstance(received, Received):
            return None  # gRPC's marker of the end
        if received.message is None:
            problems = [
                Problem("request", received.fault, "send a message of the type in the .proto file")
            ]
            raise InvalidRequest("the request cannot be parsed", problems)
        return received

    async def write_all(self, responses: AsyncIterator[object], context: Context) -> None:
        """Write all responses, and close the iterator.

        Raises
        ------
        InvalidRequest
            If the caller does not read a response for too long.
        ClusterUnavailable
            If the caller does not read a response while the gateway drains.
        """
        try:
            async for response in responses:
                await self._limited(
                    context.write(response), self._unread, "the response was not read", "read"
                )
        finally:
            if isinstance(responses, AsyncGenerator):
                await responses.aclose()

    async def _limited(self, waiting: Awaitable[T], seconds: float, what: str, verb: str) -> T:
        if self._is_draining:
            seconds = min(seconds, DRAINING_SECONDS_MAX)
        try:
            async with asyncio.timeout(seconds) as limit:
                self._limits.add(limit)
                try:
                    return await waiting
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            if self._is_draining:
                raise ClusterUnavailable("this gateway is stopping; retry") from None
            problems = [
                Problem(
                    "stream", f"{what} for {seconds:g} s", f"{verb} messages at shorter intervals"
                )
            ]
            raise InvalidRequest("the stream stalled", problems) from None
