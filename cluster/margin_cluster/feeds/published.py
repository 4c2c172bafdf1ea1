"""The feed of snapshots that are published by calls."""

import asyncio
from collections.abc import AsyncGenerator

from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.feeds.events import FeedEvent, SnapshotArrived


class PublishedFeed:
    """Snapshots that PublishSnapshot has put in use, so that they are recorded and dated too.

    They have passed the checks of the call and are current already.
    """

    is_historical = False

    def __init__(self, *, source: str = "published", queue_max: int = 100) -> None:
        self.source = source
        self._queue: asyncio.Queue[MarketSnapshot] = asyncio.Queue(queue_max)

    def offer(self, snapshot: MarketSnapshot) -> None:
        """Pass on a snapshot; called in the event loop that reads the events.

        If the reader is late by `queue_max` snapshots, the oldest is left out.
        """
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(snapshot)

    async def events(self) -> AsyncGenerator[FeedEvent]:
        """Return the events; see `MarketFeed`."""
        while True:
            yield SnapshotArrived(self.source, await self._queue.get(), is_current=True)
