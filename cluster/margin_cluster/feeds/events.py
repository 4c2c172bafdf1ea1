"""What market data feeds report, independent of the source."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import pyarrow as pa

from margin_actors.errors import Problem
from margin_actors.market.snapshots import MarketSnapshot

StatusKind: TypeAlias = Literal[
    "connected",
    "disconnected",
    "silent",
    "resumed",
    "gap",
    "gap_filled",
    "gap_lost",
    "skew",
    "malformed",
    "refused",
]
"""`connected`, `disconnected`: the connection to the source; `silent`, `resumed`: a channel that
delivers nothing for longer than its limit, or again; `gap`: the sequence numbers of a channel have
a gap; `gap_filled`, `gap_lost`: the missing messages were fetched, or cannot be; `skew`: the
clocks of the source and of this machine differ; `malformed`: a message cannot be read; `refused`:
the source refused a request."""


@dataclass(frozen=True, slots=True)
class IndexTick:
    """The index price of an underlying."""

    source: str
    underlying: str
    time_ms: int
    """Milliseconds since 1970-01-01 UTC, by the clock of the source; so in all events."""
    price_usd: float
    """US dollars per coin."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask, and the mark, of one contract."""

    source: str
    instrument: str
    time_ms: int
    bid: float
    """Unit as in the snapshot; NaN without a bid."""
    ask: float
    """Unit as `bid`; NaN without an ask."""
    mark: float
    """Unit as `bid`; NaN if the channel does not report it."""


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade of one contract."""

    source: str
    instrument: str
    time_ms: int
    price: float
    """Unit as in the snapshot; US dollars for perpetuals and futures."""
    coins: float
    """Size in coins of the underlying, positive."""
    trade_id: str
    """Unique within the instrument of the source."""
    sequence: int | None = None
    """Number of the trade, gapless within the instrument; None if the source has none."""


@dataclass(frozen=True, slots=True)
class VolatilityTick:
    """The volatility index of an underlying."""

    source: str
    underlying: str
    time_ms: int
    points: float
    """Volatility points: 52 is 52 % a year."""


@dataclass(frozen=True, slots=True)
class FundingRate:
    """The funding rate of a perpetual over the hour that ended at `time_ms`."""

    source: str
    underlying: str
    time_ms: int
    rate_1h: float
    """Fraction per hour; positive if long positions pay."""


@dataclass(frozen=True, slots=True)
class SnapshotArrived:
    """A complete snapshot of the market."""

    source: str
    snapshot: MarketSnapshot
    is_current: bool = False
    """True if it was published by a call and is already in use."""


@dataclass(frozen=True, slots=True)
class UnreadableSnapshot:
    """Chain data that cannot be assembled into a snapshot."""

    source: str
    time_ms: int
    table: pa.Table
    """The rows as received."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A change of the state of a source or of one of its channels."""

    source: str
    kind: StatusKind
    channel: str
    """Channel or instrument; empty for the source as a whole."""
    what: str
    """One sentence with the values."""
    time_ms: int
    """By the clock of this machine."""


@dataclass(frozen=True, slots=True)
class TradesComplete:
    """All trades of an instrument up to a time have been delivered, without a gap."""

    source: str
    instrument: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class TradesLost:
    """Trades of an instrument between two times cannot be fetched: their minutes are unknown."""

    source: str
    instrument: str
    first_ms: int
    last_ms: int


FeedEvent: TypeAlias = (
    IndexTick
    | Quote
    | Trade
    | VolatilityTick
    | FundingRate
    | SnapshotArrived
    | UnreadableSnapshot
    | StatusChange
    | TradesComplete
    | TradesLost
)
