"""The interface of market data feeds, and the clock that they receive."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Protocol

from margin_cluster.feeds.events import FeedEvent


class Clock(Protocol):
    """Time, and the only way in which a feed waits."""

    def time(self) -> float:
        """Return the time of day, seconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Return a time in seconds that never decreases; its origin is arbitrary."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after a number of seconds."""
        ...


class SystemClock:
    """The clock of this machine."""

    def time(self) -> float:
        """Return the time of day, seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return a time in seconds that never decreases."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after a number of seconds."""
        await asyncio.sleep(seconds)


class MarketFeed(Protocol):
    """A source of market data."""

    @property
    def source(self) -> str:
        """Name of the source, for example ``deribit``; lower case letters and digits."""
        ...

    @property
    def is_historical(self) -> bool:
        """True if snapshots are recorded ones, which may be older than the snapshot in use."""
        ...

    def events(self) -> AsyncGenerator[FeedEvent]:
        """Return the events of the source in the order of their arrival.

        Faults of the source are events, not exceptions; the feed continues after them. Closing the
        generator releases the connections. A replay ends after its last snapshot.
        """
        ...
