"""Assembly of the feeds of a gateway: what is read, where it is recorded, how it comes into use."""

import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog

from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidParameters, Problem
from margin_actors.market.chain_quality import ChainQualityLimits
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.feeds import (
    DeribitChoice,
    FeedChoice,
    FeedRunner,
    Intake,
    IntakeLimits,
    MarketFeed,
    PublishedFeed,
    Quarantine,
    Recorder,
    ReplayFeed,
    RunningFeed,
)
from margin_cluster.feeds.deribit import DeribitOptions
from margin_cluster.feeds.recording_lock import recording_lock
from margin_cluster.gateway import Gateway
from margin_cluster.gateway.call import Call

PUBLISH_SECONDS_MAX = 120.0
"""Longest time in which a snapshot of a feed comes into use."""
QUARANTINE_FOLDER, RECORDED_FOLDER = "quarantine", "recorded"
"""Folders in the state folder of a service."""


@dataclass(frozen=True)
class FeedRequest:
    """The feed of a service and its folders."""

    choice: FeedChoice
    record: Path | None = None
    """Folder into which data are recorded; None for the folder `recorded` of the state folder."""
    snapshot_seconds: float = 60.0
    """Time between two snapshots that are requested from an exchange."""


@asynccontextmanager
async def running_feeds(
    gateway: Gateway, request: FeedRequest, model: ModelParameters
) -> AsyncGenerator[None]:
    """Run the feed of a gateway until the end of the block.

    Published snapshots are a source too: they are dated and join the chain history. A replay is not
    recorded, because its data are recorded already; nor is a feed into a folder into which another
    process records.

    Raises
    ------
    MissingMarketData
        If there is nothing to replay.
    """
    root = gateway.archive.root
    folder = None
    if isinstance(request.choice, DeribitChoice):
        folder = request.record or root / RECORDED_FOLDER
    with ExitStack() as locks:
        may_record = folder is not None and locks.enter_context(recording_lock(folder))
        if folder is not None and not may_record:
            structlog.get_logger("feeds").info("another process records", folder=str(folder))
        recorder = Recorder(folder) if folder is not None and may_record else None
        async with _run(gateway, request, model, recorder):
            yield


@asynccontextmanager
async def _run(
    gateway: Gateway, request: FeedRequest, model: ModelParameters, recorder: Recorder | None
) -> AsyncGenerator[None]:
    root = gateway.archive.root
    feed = _feed(request, model, recorder)
    gates = model.chain_quality if model.chain_quality.enabled else ChainQualityLimits(enabled=True)
    intake = Intake(
        partial(publish, gateway, feed.source),
        Quarantine(root / QUARANTINE_FOLDER),
        threads=gateway.threads.compute,
        limits=IntakeLimits(gates=gates),
        required=tuple(model.scenarios.underlyings),
        is_historical=feed.is_historical,
    )
    published = PublishedFeed()
    gateway.market.on_published = published.offer
    gateway.feeds.expect(feed.source, monitored=True)
    gateway.feeds.expect(published.source, monitored=False)
    runner = FeedRunner(
        [RunningFeed(feed, intake, recorder), RunningFeed(published, intake, recorder)],
        gateway.feeds,
    )
    runner.start()
    try:
        yield
    finally:
        gateway.market.on_published = None
        await runner.close()


async def publish(
    gateway: Gateway, source: str, snapshot: MarketSnapshot, *, key: str, allow_older: bool
) -> int:
    """Publish a snapshot of a feed as a call of PublishSnapshot does; return its generation."""
    now = time.monotonic()
    call = Call(
        "feeds", f"feed-{snapshot.id[-16:]}", now, now + PUBLISH_SECONDS_MAX, f"feed {source}"
    )
    published, _ = await gateway.market.publish(
        snapshot, key=key, allow_older=allow_older, call=call
    )
    return published.number


def require_feed_library(choice: FeedChoice | None) -> None:
    """Require what a feed needs beyond the service itself.

    Raises
    ------
    InvalidParameters
        If the HTTP library of the feed is not installed.
    """
    if isinstance(choice, DeribitChoice):
        try:
            import aiohttp  # noqa: F401  # pyright: ignore[reportUnusedImport]
        except ImportError as error:
            problem = Problem("--feed", "aiohttp is not installed", "pip install aiohttp")
            raise InvalidParameters("the feed cannot be used", [problem]) from error


def _feed(request: FeedRequest, model: ModelParameters, recorder: Recorder | None) -> MarketFeed:
    choice = request.choice
    if not isinstance(choice, DeribitChoice):
        return ReplayFeed(choice.folder, choice.speed)
    from margin_cluster.feeds.deribit.feed import DeribitFeed

    source = "deribit"
    options = DeribitOptions(
        choice.url,
        currencies=tuple(model.scenarios.underlyings),
        snapshot_seconds=request.snapshot_seconds,
    )
    if recorder is not None:
        options = replace(options, resume=partial(recorder.resume_ms, source))
    return DeribitFeed(options, source=source)
