"""Runs feeds: each event goes to the board, the recorder and, if it is a snapshot, the intake."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from margin_actors.backoff import Backoff
from margin_actors.errors import MarginError
from margin_cluster.feeds.board import FeedBoard
from margin_cluster.feeds.events import (
    FeedEvent,
    SnapshotArrived,
    StatusChange,
    UnreadableSnapshot,
)
from margin_cluster.feeds.intake import Admission, Intake
from margin_cluster.feeds.interface import Clock, MarketFeed, SystemClock
from margin_cluster.feeds.recorder import Recorder

_WARNINGS = ("disconnected", "silent", "gap_lost", "skew", "refused", "malformed")


@dataclass(frozen=True)
class RunningFeed:
    """A feed with what receives its events."""

    feed: MarketFeed
    intake: Intake
    recorder: Recorder | None = None
    """None if the feed is not recorded."""


class FeedRunner:
    """Runs feeds until it is closed; a feed that fails unexpectedly is started again."""

    def __init__(
        self,
        feeds: Sequence[RunningFeed],
        board: FeedBoard,
        *,
        flush_seconds: float = 60.0,
        backoff: Backoff = Backoff(1.0, 60.0),  # noqa: B008 a constant
        clock: Clock | None = None,
    ) -> None:
        self._feeds, self._board = feeds, board
        self._flush_seconds, self._backoff = flush_seconds, backoff
        self._clock = clock or SystemClock()
        self._log = structlog.get_logger("feeds")
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start all feeds in the running event loop."""
        self._tasks = [asyncio.create_task(self._run(item)) for item in self._feeds]
        recorders = {id(f.recorder): f for f in self._feeds if f.recorder is not None}
        self._tasks += [asyncio.create_task(self._flush(f)) for f in recorders.values()]

    async def close(self) -> None:
        """Stop all feeds and write what is complete."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        recorders = {id(f.recorder): f for f in self._feeds if f.recorder is not None}
        for item in recorders.values():
            await self._write(item)

    async def _run(self, item: RunningFeed) -> None:
        source, attempt = item.feed.source, 0
        while True:
            try:
                async with contextlib.aclosing(item.feed.events()) as events:
                    async for event in events:
                        await self._receive(item, event)
                        attempt = 0
                self._board.stopped(source)
                self._log.info("feed ended", source=source)
                return
            except (MarginError, OSError) as error:
                why = str(error)
                self._log.error("feed failed", source=source, error=why)
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
                self._log.exception("feed failed", source=source)
            self._board.failed(source, why)
            await self._clock.sleep(self._backoff.delay_seconds(attempt))
            attempt += 1

    async def _receive(self, item: RunningFeed, event: FeedEvent) -> None:
        self._board.received(event)
        if item.recorder is not None:
            item.recorder.receive(event)
        if isinstance(event, StatusChange):
            level = self._log.warning if event.kind in _WARNINGS else self._log.info
            level("feed", source=event.source, kind=event.kind, channel=event.channel,
                  what=event.what)  # fmt: skip
        elif isinstance(event, SnapshotArrived | UnreadableSnapshot):
            try:
                admission = await item.intake.admit(event)
            except OSError as error:
                self._board.failed(event.source, f"a snapshot cannot be kept: {error}")
                self._log.error("snapshot not kept", source=event.source, error=str(error))
                return
            self._admitted(item, event, admission)

    def _admitted(
        self, item: RunningFeed, event: SnapshotArrived | UnreadableSnapshot, found: Admission
    ) -> None:
        problems = [str(problem) for problem in found.problems[:20]]
        if found.outcome == "quarantined":
            self._board.rejected(event.source, "snapshot not used: " + "; ".join(problems)[:500])
            self._log.warning("snapshot quarantined", source=event.source, problems=problems)
        elif found.outcome == "failed":
            self._board.failed(event.source, "; ".join(problems)[:500])
            self._log.error("snapshot not published", source=event.source, problems=problems)
        elif isinstance(event, SnapshotArrived):
            snapshot = event.snapshot
            if item.recorder is not None:
                item.recorder.keep_snapshot(event.source, snapshot)
            if found.outcome == "current":
                self._board.accepted(event.source, snapshot.time.timestamp())
            self._log.info("snapshot", source=event.source, outcome=found.outcome,
                           time=snapshot.time.isoformat(), generation=found.generation)  # fmt: skip

    async def _flush(self, item: RunningFeed) -> None:
        while True:
            await self._clock.sleep(self._flush_seconds)
            await self._write(item)

    async def _write(self, item: RunningFeed) -> None:
        assert item.recorder is not None
        batch = item.recorder.take()
        writing = asyncio.ensure_future(asyncio.to_thread(item.recorder.write, batch))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # The thread cannot be interrupted: a second write must not begin beside it.
            await asyncio.wait({writing})
            if writing.exception() is not None:
                item.recorder.put_back(batch)
            raise
        except (MarginError, OSError) as error:
            item.recorder.put_back(batch)
            self._board.failed(item.feed.source, f"recording failed: {error}")
            self._log.error("recording failed", source=item.feed.source, error=str(error))
