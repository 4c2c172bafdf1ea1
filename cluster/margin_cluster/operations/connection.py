"""How a feed reaches the loop: its events directly, its snapshots through the quality gates."""

import contextlib
from collections.abc import AsyncGenerator

from margin_actors.errors import OutdatedSnapshot, Problem
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.feeds.events import FeedEvent
from margin_cluster.feeds.interface import MarketFeed
from margin_cluster.operations.loop import ClearingLoop


class LoopFeed:
    """A feed of which the loop sees every event as well; see `MarketFeed`."""

    def __init__(self, feed: MarketFeed, loop: ClearingLoop) -> None:
        self._feed, self._loop = feed, loop
        loop.market.expect(feed.source)

    @property
    def source(self) -> str:
        """Name of the source."""
        return self._feed.source

    @property
    def is_historical(self) -> bool:
        """True if snapshots are recorded ones."""
        return self._feed.is_historical

    async def events(self) -> AsyncGenerator[FeedEvent]:
        """Return the events of the feed."""
        async with contextlib.aclosing(self._feed.events()) as events:
            async for event in events:
                self._loop.receive(event)
                yield event


class LoopPublish:
    """The publication of a snapshot that passed the gates of an `Intake`: the loop uses it.

    A service whose gateway publishes snapshots calls `ClearingLoop.use_snapshot` after that
    instead.
    """

    def __init__(self, loop: ClearingLoop, source: str) -> None:
        self._loop, self._source = loop, source
        self._number = 0

    async def __call__(
        self,
        snapshot: MarketSnapshot,
        *,
        key: str,  # noqa: ARG002 the same snapshot twice changes nothing
        allow_older: bool,
    ) -> int:
        """Put a snapshot in use and return the number of snapshots so far.

        Raises
        ------
        OutdatedSnapshot
            If a later one is in use and `allow_older` is False.
        """
        if not self._loop.use_snapshot(snapshot, self._source, allow_older=allow_older):
            problem = Problem("snapshot", f"of {snapshot.time.isoformat()}, a later one is in use")
            raise OutdatedSnapshot("the snapshot is not used", [problem])
        self._number += 1
        return self._number


__all__ = ["LoopFeed", "LoopPublish"]
