"""The market that the loop uses: the accepted snapshot, prices of several sources, their ages."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from margin_actors.clearing.settlement.parameters import IndexParameters
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.feeds.cross_venue import VenuePrice, cross_venue_price
from margin_cluster.feeds.events import FeedEvent, IndexTick, StatusChange, UnreadableSnapshot
from margin_cluster.feeds.rules import SilenceDecision, SilenceRule, decide_on_silence
from margin_cluster.operations.marks import PRICE_DECIMALS, decimal_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_CLOCK_SECONDS = 60.0
CYCLE_SILENCE = SilenceRule(
    silent_seconds=60.0,
    keep_seconds=150.0,
    stop_seconds=300.0,
    widen_per_hour=2.0,
    widen_max=1.5,
)
"""A source is silent after a minute. A snapshot is used as it is up to 150 seconds; then it is
kept and margins are multiplied by up to 1.083; after 300 seconds, at which the house refuses a
valuation by default (`CallParameters.valuation_seconds_max`), no cycle runs and nothing is
called."""


@dataclass(frozen=True, slots=True)
class CollateralPrices:
    """Prices of coins, US dollars per coin, and what a person must look at."""

    prices: Mapping[str, Decimal]
    doubtful: Mapping[str, str]
    """Why a price is not confirmed by several sources that agree, by asset; sources that disagree
    only, since a single source is the normal case of a small installation."""


class LoopMarket:
    """What feeds have delivered; belongs to one event loop or thread.

    Parameters
    ----------
    started : datetime
        Time from which sources are expected, UTC.
    rule : SilenceRule
    """

    def __init__(self, started: datetime, rule: SilenceRule = CYCLE_SILENCE) -> None:
        self.rule = rule
        self.snapshot: MarketSnapshot | None = None
        self._source = ""
        self._started = started
        self._expected: set[str] = set()
        self._heard: dict[str, datetime] = {}
        self._index: dict[tuple[str, str], IndexTick] = {}
        self._offset: tuple[datetime, timedelta] | None = None

    def expect(self, source: str) -> None:
        """Raise alarms about a source if it is silent."""
        self._expected.add(source)

    def receive(self, event: FeedEvent, now: datetime) -> None:
        """Note an event that arrived at `now` (UTC)."""
        if isinstance(event, StatusChange | UnreadableSnapshot):
            return
        self._heard[event.source] = now
        if isinstance(event, IndexTick):
            known = self._index.get((event.source, event.underlying))
            if known is None or event.time_ms >= known.time_ms:
                self._index[event.source, event.underlying] = event
            at = _EPOCH + timedelta(milliseconds=event.time_ms)
            self._offset = (now, at - now)

    def use(
        self, snapshot: MarketSnapshot, source: str, now: datetime, *, allow_older: bool = False
    ) -> bool:
        """Put an accepted snapshot in use; return False if a later one is and stays in use."""
        self._heard[source] = now
        is_later = self.snapshot is None or snapshot.time >= self.snapshot.time
        if is_later or allow_older:
            self.snapshot, self._source = snapshot, source
        return is_later or allow_older

    def age_seconds(self, now: datetime) -> float | None:
        """Return the age of the market data in use; None without any."""
        if self.snapshot is None:
            return None
        return max(0.0, (now - self.snapshot.time).total_seconds())

    def silence(self, now: datetime) -> SilenceDecision:
        """Return what follows from the ages of the snapshot and of the expected sources."""
        ages = {
            name: (now - self._heard.get(name, self._started)).total_seconds()
            for name in self._expected
        }
        return decide_on_silence(self.age_seconds(now), ages, self.rule)

    def silent_since(self, source: str) -> datetime:
        """Return when a source last delivered, or since when it has been expected, UTC."""
        return self._heard.get(source, self._started)

    def second_clock(self, now: datetime) -> datetime | None:
        """Return the time by the clock of a source that delivered recently; None if none did."""
        if self._offset is None:
            return None
        heard, offset = self._offset
        if abs((now - heard).total_seconds()) > _SECOND_CLOCK_SECONDS:
            return None
        return now + offset

    def collateral_prices(self, now: datetime, rules: IndexParameters) -> CollateralPrices:
        """Return the prices of coins over all sources; requires a snapshot.

        The index of the snapshot counts as the price of its source. Sources that are sound together
        give their clamped mean; otherwise the index of the snapshot is used.
        """
        assert self.snapshot is not None
        prices: dict[str, Decimal] = {}
        doubtful: dict[str, str] = {}
        now_ms = round((now - _EPOCH) / timedelta(milliseconds=1))
        snapshot_ms = round((self.snapshot.time - _EPOCH) / timedelta(milliseconds=1))
        for asset, index in sorted(self.snapshot.index_usd.items()):
            own = decimal_of(index, PRICE_DECIMALS)
            venues = [VenuePrice(self._source, own, snapshot_ms)]
            venues += [
                VenuePrice(source, decimal_of(tick.price_usd, PRICE_DECIMALS), tick.time_ms)
                for (source, underlying), tick in sorted(self._index.items())
                if underlying == asset
            ]
            found = cross_venue_price(venues, rules, now_ms=now_ms)
            is_sound = found.status == "sound" and found.price is not None
            prices[asset] = found.price if is_sound and found.price is not None else own
            if found.status == "disagreement":
                named = ", ".join(f"{v.venue} {v.price_usd}" for v in venues)
                doubtful[asset] = f"two sources disagree: {named}; {own} is used"
        return CollateralPrices(prices, doubtful)


__all__ = ["CYCLE_SILENCE", "CollateralPrices", "LoopMarket"]
