"""The connections of the two clients: all that differs between them.

`client.py` is generated from `aio.py`, which uses `AsyncTransport`; the generated client uses
`Transport` in its place.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from margin_client._channels import (
    Compression,
    Tls,
    open_asyncio_channel,
    open_blocking_channel,
)
from margin_client._retries import Attempts

C = TypeVar("C")
Stub: TypeAlias = Callable[[Any], object]
"""Class of a gRPC stub; takes the channel."""


class Method(Protocol):
    """A method of a stub; returns the response, an awaitable of it, or an iterable call."""

    def __call__(
        self, request: object, *, timeout: float, metadata: tuple[tuple[str, str], ...]
    ) -> Any:
        """Start the call."""
        ...


class _Stubs(Generic[C]):
    """The stubs of one channel, each created when it is first used."""

    def __init__(self, channel: C) -> None:
        self.channel = channel
        self._stubs: dict[Stub, object] = {}

    def method(self, stub: Stub, name: str) -> Method:
        instance = self._stubs.get(stub)
        if instance is None:
            instance = self._stubs[stub] = stub(self.channel)
        return getattr(instance, name)


class AsyncTransport:
    """The connection of an asyncio client; belongs to one event loop.

    Raises
    ------
    ValueError
        If `in_flight_max` is less than 1.
    """

    def __init__(
        self, target: str, *, tls: Tls | None, compression: Compression, in_flight_max: int
    ) -> None:
        if in_flight_max < 1:
            raise ValueError(f"in_flight_max: {in_flight_max}; give at least 1")
        self._in_flight = asyncio.Semaphore(in_flight_max)
        channel = open_asyncio_channel(target, tls=tls, compression=compression)
        self._stubs = _Stubs(channel)

    def method(self, stub: Stub, name: str) -> Method:
        """Return a method of a service."""
        return self._stubs.method(stub, name)

    @asynccontextmanager
    async def in_flight(self, attempts: Attempts) -> AsyncGenerator[None]:
        """Count a call in flight during the block; wait while `in_flight_max` calls are.

        Raises
        ------
        DeadlineError
            If the call cannot start within its time limit.
        """
        try:
            async with asyncio.timeout(attempts.seconds_left):
                await self._in_flight.acquire()
        except TimeoutError:
            raise attempts.passed() from None
        try:
            yield
        finally:
            self._in_flight.release()

    async def sleep(self, seconds: float) -> None:
        """Wait before the next attempt."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Close the connection and cancel the calls in progress."""
        await self._stubs.channel.close()


class Transport:
    """The connection of a blocking client; may be shared between threads."""

    def __init__(self, target: str, *, tls: Tls | None, compression: Compression) -> None:
        channel = open_blocking_channel(target, tls=tls, compression=compression)
        self._stubs = _Stubs(channel)

    def method(self, stub: Stub, name: str) -> Method:
        """Return a method of a service."""
        return self._stubs.method(stub, name)

    @contextmanager
    def in_flight(self, _attempts: Attempts) -> Generator[None]:
        """Do nothing: the caller's threads limit the number of calls in flight."""
        yield

    def sleep(self, seconds: float) -> None:
        """Wait before the next attempt."""
        time.sleep(seconds)

    def close(self) -> None:
        """Close the connection and cancel the calls in progress."""
        self._stubs.channel.close()
