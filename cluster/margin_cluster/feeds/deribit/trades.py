"""Trades of one source without duplicates, and requests for those that are missing."""

from collections.abc import Sequence
from typing import TypeAlias

from margin_actors.errors import MarginError
from margin_cluster.feeds.deribit.chains import Call
from margin_cluster.feeds.deribit.messages import MALFORMED, trades_page
from margin_cluster.feeds.events import (
    FeedEvent,
    StatusChange,
    StatusKind,
    Trade,
    TradesComplete,
    TradesLost,
)
from margin_cluster.feeds.sequences import TradeSequence, ranges

_PAGE = 1_000
_PAGES_MAX = 1_000
Outcome: TypeAlias = tuple[list[FeedEvent], bool]
"""(events, whether missing trades are to be requested)."""


class InstrumentTrades:
    """The trades of one instrument: numbered, in whatever order they arrive."""

    def __init__(self, source: str, instrument: str, call: Call) -> None:
        self._source, self._instrument, self._call = source, instrument, call
        self._sequence = TradeSequence()
        self._last_ms = 0
        self._sound_ms = 0
        self.is_filling = False
        """Whether a request for missing trades is in progress."""

    def arrived(self, trades: Sequence[Trade], now_ms: int) -> Outcome:
        """Return the events of a message of the channel.

        A gap is reported once per message; reordered trades close it without a request.
        """
        out: list[FeedEvent] = []
        skipped = 0
        for trade in trades:
            assert trade.sequence is not None
            before = self._sequence.last
            arrival = self._sequence.accept(trade.sequence)
            if arrival == "repeated":
                continue
            if arrival == "gap" and before is not None:
                skipped += trade.sequence - before - 1
            self._last_ms = max(self._last_ms, trade.time_ms)
            out.append(trade)
        missing = self._sequence.missing
        if skipped and missing:
            numbers = f"{min(missing)} to {max(missing)}"
            out.append(self._status("gap", f"{len(missing)} trades are missing, {numbers}", now_ms))
        out += self._complete()
        return out, bool(missing) and not self.is_filling

    async def fill(self, now_ms: int) -> list[FeedEvent]:
        """Request the missing trades and return the events; what cannot be had is lost."""
        out: list[FeedEvent] = []
        missing = self._sequence.missing
        if not missing:
            out.append(self._status("gap_filled", "the trades arrived in another order", now_ms))
        while missing:
            asked = set(missing)
            try:
                for first, last in ranges(asked):
                    out += await self._fetch(first, last)
            except (MarginError, *MALFORMED) as error:
                out.append(self._status("refused", f"request for past trades: {error}", now_ms))
            lost = asked & missing
            missing -= lost
            if lost:
                what = f"{len(lost)} of {len(asked)} trades are lost"
                out.append(self._status("gap_lost", what, now_ms))
                lost_range = (self._sound_ms, self._last_ms)
                out.append(TradesLost(self._source, self._instrument, *lost_range))
            else:
                what = f"{len(asked)} trades were requested"
                out.append(self._status("gap_filled", what, now_ms))
        self.is_filling = False
        return [*out, *self._complete()]

    async def resume(self, since_ms: int, now_ms: int) -> list[FeedEvent]:
        """Return the events of all trades from a time on; the sequence starts with them."""
        out: list[FeedEvent] = []
        start = since_ms
        try:
            for _ in range(_PAGES_MAX):
                params: dict[str, str | int] = {
                    "instrument_name": self._instrument,
                    "start_timestamp": start,
                    "end_timestamp": now_ms,
                    "count": _PAGE,
                    "sorting": "asc",
                }
                result = await self._call("get_last_trades_by_instrument_and_time", params)
                trades, has_more = trades_page(self._source, result)
                out += self._accepted(trades)
                if not has_more or not trades or max(t.time_ms for t in trades) <= start:
                    break
                start = max(t.time_ms for t in trades)
            if self._sequence.last is None:
                await self._start_at_latest()
        except (MarginError, *MALFORMED) as error:
            out.append(self._status("refused", f"request for past trades: {error}", now_ms))
            out.append(TradesLost(self._source, self._instrument, since_ms, now_ms))
        return [*out, *self._complete()]

    async def _start_at_latest(self) -> None:
        """Let the sequence start after the latest trade, so that the next one shows a gap."""
        params: dict[str, str | int] = {
            "instrument_name": self._instrument,
            "count": 1,
            "sorting": "desc",
        }
        trades, _ = trades_page(
            self._source, await self._call("get_last_trades_by_instrument", params)
        )
        for trade in trades:
            self._sequence.accept(trade.sequence or 0)

    async def _fetch(self, first: int, last: int) -> list[FeedEvent]:
        """Request the trades with numbers from `first` to `last`."""
        out: list[FeedEvent] = []
        start = first
        while start <= last:
            params: dict[str, str | int] = {
                "instrument_name": self._instrument,
                "start_seq": start,
                "end_seq": last,
                "count": _PAGE,
                "sorting": "asc",
                "include_old": "true",
            }
            result = await self._call("get_last_trades_by_instrument", params)
            trades, has_more = trades_page(self._source, result)
            out += self._accepted(trades)
            highest = max((t.sequence or 0 for t in trades), default=0)
            if not has_more or highest < start:
                break
            start = highest + 1
        return out

    def _accepted(self, trades: Sequence[Trade]) -> list[FeedEvent]:
        out: list[FeedEvent] = []
        for trade in sorted(trades, key=lambda t: t.sequence or 0):
            assert trade.sequence is not None
            own = trade.instrument == self._instrument
            if own and self._sequence.accept(trade.sequence) != "repeated":
                self._last_ms = max(self._last_ms, trade.time_ms)
                out.append(trade)
        return out

    def _complete(self) -> list[FeedEvent]:
        if self._sequence.missing or self.is_filling or self._last_ms == self._sound_ms:
            return []
        self._sound_ms = self._last_ms
        return [TradesComplete(self._source, self._instrument, self._sound_ms)]

    def _status(self, kind: StatusKind, what: str, now_ms: int) -> StatusChange:
        return StatusChange(self._source, kind, self._instrument, what, now_ms)
