"""Market data feeds behind one interface, their way into use, and their recording."""

from margin_cluster.feeds.board import FeedBoard, FeedReport, SourceState
from margin_cluster.feeds.choice import (
    DeribitChoice,
    FeedChoice,
    ReplayChoice,
    feed_from_text,
)
from margin_cluster.feeds.cross_venue import VenuePrice, cross_venue_price
from margin_cluster.feeds.events import (
    FeedEvent,
    FundingRate,
    IndexTick,
    Quote,
    SnapshotArrived,
    StatusChange,
    Trade,
    TradesComplete,
    TradesLost,
    UnreadableSnapshot,
    VolatilityTick,
)
from margin_cluster.feeds.intake import Admission, Intake
from margin_cluster.feeds.interface import Clock, MarketFeed, SystemClock
from margin_cluster.feeds.published import PublishedFeed
from margin_cluster.feeds.quarantine import Quarantine
from margin_cluster.feeds.recorder import Recorder, RecordingRules
from margin_cluster.feeds.replay import ReplayFeed
from margin_cluster.feeds.rules import (
    IntakeLimits,
    SilenceDecision,
    SilenceRule,
    decide_on_silence,
    judge_snapshot,
)
from margin_cluster.feeds.runner import FeedRunner, RunningFeed

__all__ = [
    "Admission",
    "Clock",
    "DeribitChoice",
    "FeedBoard",
    "FeedChoice",
    "FeedEvent",
    "FeedReport",
    "FeedRunner",
    "FundingRate",
    "IndexTick",
    "Intake",
    "IntakeLimits",
    "MarketFeed",
    "PublishedFeed",
    "Quarantine",
    "Quote",
    "Recorder",
    "RecordingRules",
    "ReplayChoice",
    "ReplayFeed",
    "RunningFeed",
    "SilenceDecision",
    "SilenceRule",
    "SnapshotArrived",
    "SourceState",
    "StatusChange",
    "SystemClock",
    "Trade",
    "TradesComplete",
    "TradesLost",
    "UnreadableSnapshot",
    "VenuePrice",
    "VolatilityTick",
    "cross_venue_price",
    "decide_on_silence",
    "feed_from_text",
    "judge_snapshot",
]
