"""The feed of Deribit's data against a local server that also misbehaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
from deribit_server import TOO_MANY, Venue, deribit_server
from feed_clock import FastClock
from margin_cluster.feeds import (
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
from margin_cluster.feeds.deribit import DeribitOptions
from margin_cluster.feeds.deribit.feed import DeribitFeed
from small_chain import small_snapshot

from margin_actors.backoff import Backoff

T = TypeVar("T")
PERPETUAL = "BTC-PERPETUAL"


class Session:
    """A running feed and everything that it has reported."""

    def __init__(self, venue: Venue, clock: FastClock, events: list[FeedEvent]) -> None:
        self.venue, self.clock, self.events = venue, clock, events

    def all(self, kind: type[T]) -> list[T]:
        return [e for e in self.events if isinstance(e, kind)]


def of_kind(session: Session, kind: str, channel: str | None = None) -> list[StatusChange]:
    return [
        e
        for e in session.events
        if isinstance(e, StatusChange)
        and e.kind == kind
        and (channel is None or e.channel == channel)
    ]


async def until(is_true: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not is_true():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def session(venue: Venue | None = None, **changes: object) -> AsyncIterator[Session]:
    """A feed of BTC that reads from a server until the end of the block."""
    venue = venue or Venue(small_snapshot(), lambda: 0)
    clock = FastClock()
    venue.now_ms = lambda: round(clock.time() * 1000)
    async with deribit_server(venue):
        options = DeribitOptions(
            venue.url,
            currencies=("BTC",),
            snapshot_seconds=1e6,
            skew_seconds=20.0,
            requests_per_second=1e4,
            requests_at_once=1e3,
            backoff=Backoff(1.0, 8.0),
            resume_hours_max=2.0,
        )
        feed = DeribitFeed(replace(options, **changes), clock=clock)  # type: ignore[arg-type]
        events: list[FeedEvent] = []

        async def read() -> None:
            async for event in feed.events():
                events.append(event)

        reader = asyncio.create_task(read())
        try:
            yield Session(venue, clock, events)
            assert not reader.done(), reader.exception()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


async def connected(s: Session) -> None:
    before = len(s.venue.subscribed)
    await until(lambda: s.venue.subscribed and len(s.venue.subscribed) >= max(before, 1))


def test_a_market_arrives_over_both_interfaces() -> None:
    async def run() -> None:
        async with session() as s:
            await connected(s)
            await s.venue.send_index(95_000.5)
            data = {"index_name": "btc_usd", "volatility": 51.5, "timestamp": s.venue.now_ms()}
            await s.venue.send("deribit_volatility_index.btc_usd", data)
            await s.venue.send_trades(s.venue.trade(PERPETUAL, 95_001.0))
            ticker = {
                "instrument_name": PERPETUAL, "timestamp": 5, "best_bid_price": 0.0,
                "best_ask_price": 95_002.0, "mark_price": 95_001.5,
            }  # fmt: skip
            await s.venue.send(f"ticker.{PERPETUAL}.100ms", ticker)
            await until(lambda: all(map(s.all, (Quote, SnapshotArrived, FundingRate))))
            [tick] = s.all(IndexTick)
            assert (tick.underlying, tick.price_usd) == ("BTC", 95_000.5)
            assert s.all(VolatilityTick)[-1].points == 51.5
            [trade] = s.all(Trade)
            assert trade.coins == pytest.approx(20.0 / 95_001.0)  # sizes are US dollars
            [quote] = s.all(Quote)
            assert np.isnan(quote.bid)
            assert (quote.ask, quote.mark) == (95_002.0, 95_001.5)
            taken, sent = s.all(SnapshotArrived)[0].snapshot, s.venue.snapshot
            own = [n for n in sent.options.names if n.startswith("BTC-")]
            assert sorted(taken.options.names) == sorted(own)
            assert taken.index_usd == {"BTC": sent.index_usd["BTC"]}
            assert taken.perpetual_usd["BTC"] == pytest.approx(1.0001 * sent.index_usd["BTC"])
            assert taken.options.age_seconds is not None
            assert "ws hello" in s.venue.asked
            assert "ws set_heartbeat" in s.venue.asked

    asyncio.run(run())


def test_a_test_request_is_answered() -> None:
    async def run() -> None:
        async with session() as s:
            await connected(s)
            await s.venue.send_text(
                '{"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}}'
            )
            await until(lambda: "ws test" in s.venue.asked)

    asyncio.run(run())


@pytest.mark.parametrize("mid_message", [False, True])
def test_a_lost_connection_is_opened_again_with_all_channels(mid_message: bool) -> None:
    async def run() -> None:
        async with session() as s:
            await connected(s)
            await s.venue.send_index(1.0)
            await until(lambda: s.all(IndexTick))
            s.venue.drop(mid_message=mid_message)
            await until(lambda: len(s.venue.subscribed) == 2)
            assert s.venue.subscribed[0] == s.venue.subscribed[1]
            await s.venue.send_index(2.0)
            await until(lambda: len(s.all(IndexTick)) == 2)
            assert of_kind(s, "disconnected")

    asyncio.run(run())


def test_delays_grow_while_the_venue_reports_its_rate_limit() -> None:
    async def run() -> None:
        venue = Venue(small_snapshot(), lambda: 0, refuse_subscribe=4)
        async with session(venue) as s:
            await until(lambda: s.venue.subscribed)
            told = [e.what for e in of_kind(s, "disconnected")]
            assert [t.rpartition(" in ")[2] for t in told] == ["2 s", "4 s", "8 s", "8 s"]
            assert all("too_many_requests" in t for t in told)

    asyncio.run(run())


def test_skipped_trades_are_requested_and_none_is_delivered_twice() -> None:
    async def run() -> None:
        async with session() as s:
            await connected(s)
            trades = [s.venue.trade(PERPETUAL, 95_000.0 + i) for i in range(8)]
            await s.venue.send_trades(*trades[:2])
            await s.venue.send_trades(trades[1])  # repeated
            await s.venue.send_trades(trades[6], trades[7])  # 2 to 5 are skipped
            await until(lambda: of_kind(s, "gap_filled"))
            assert of_kind(s, "gap")[0].what == "4 trades are missing, 1002 to 1005"
            assert sorted(t.trade_id for t in s.all(Trade)) == [t["trade_id"] for t in trades]
            assert not s.all(TradesLost)
            # Complete only once nothing is missing.
            positions = [i for i, e in enumerate(s.events) if isinstance(e, TradesComplete)]
            last_trade = max(i for i, e in enumerate(s.events) if isinstance(e, Trade))
            assert positions[-1] > last_trade

    asyncio.run(run())


def test_reordered_trades_need_no_request() -> None:
    async def run() -> None:
        async with session() as s:
            await connected(s)
            a, b, c = (s.venue.trade(PERPETUAL, 95_000.0 + i) for i in range(3))
            await s.venue.send_trades(a)
            await s.venue.send_trades(c)
            await s.venue.send_trades(b)
            await until(lambda: of_kind(s, "gap_filled"))
            assert not [a for a in s.venue.asked if "start_seq" in a]
            assert {t.sequence for t in s.all(Trade)} == {1000, 1001, 1002}

    asyncio.run(run())


def test_trades_that_the_archive_lacks_are_reported_as_lost() -> None:
    async def run() -> None:
        async with session() as s:
            await connected(s)
            trades = [s.venue.trade(PERPETUAL, 95_000.0 + i) for i in range(4)]
            s.venue.forgotten = {1001}
            await s.venue.send_trades(trades[0])
            await s.venue.send_trades(trades[3])
            await until(lambda: of_kind(s, "gap_lost"))
            [lost] = s.all(TradesLost)
            assert lost.first_ms <= trades[1]["timestamp"] <= lost.last_ms
            assert {t.sequence for t in s.all(Trade)} == {1000, 1002, 1003}

    asyncio.run(run())


def test_trades_since_the_last_recorded_minute_are_requested_at_the_start() -> None:
    async def run() -> None:
        clock = FastClock()
        start = round(clock.start * 1000)
        venue = Venue(small_snapshot(), lambda: start)
        old = [venue.trade(PERPETUAL, 9.0 + i, time_ms=start - 300_000 + i) for i in range(2500)]
        resume = lambda series, _: start - 300_000 + 100 if series == "trades" else None  # noqa: E731
        async with session(venue, resume=resume) as s:
            await connected(s)
            await until(lambda: len(s.all(Trade)) == 2400)  # three pages
            assert [t.sequence for t in s.all(Trade)] == [t["trade_seq"] for t in old[100:]]
            await s.venue.send_trades(s.venue.trade(PERPETUAL, 10.0))
            await until(lambda: len(s.all(Trade)) == 2401)
            assert not of_kind(s, "gap")

    asyncio.run(run())


def test_a_gap_in_an_order_book_renews_its_subscription() -> None:
    def book(kind: str, number: int, previous: int | None) -> dict[str, object]:
        return {
            "type": kind, "instrument_name": PERPETUAL, "timestamp": 7, "change_id": number,
            "prev_change_id": previous, "bids": [["new", 99.0 + number, 1.0]],
            "asks": [["new", 200.0 - number, 1.0]],
        }  # fmt: skip

    async def run() -> None:
        channel = f"book.{PERPETUAL}.100ms"
        async with session(books=True) as s:
            await connected(s)
            await s.venue.send(channel, book("snapshot", 1, None))
            await s.venue.send(channel, book("change", 2, 1))
            await s.venue.send(channel, book("change", 4, 3))  # 3 is missing
            await s.venue.send(channel, book("change", 5, 4))  # ignored until the next snapshot
            await until(lambda: len(s.venue.subscribed) == 2)
            assert s.venue.subscribed[1] == [channel]
            await s.venue.send(channel, book("snapshot", 6, None))
            await until(lambda: len(s.all(Quote)) == 3)
            assert [(q.bid, q.ask) for q in s.all(Quote)] == [(100, 199), (101, 198), (105, 194)]
            assert len(of_kind(s, "gap", channel)) == 1

    asyncio.run(run())


BROKEN = ["{", "[]", "3", '{"method": "subscription"}', '{"id": "x", "result": 1}', "\u0000",
          '{"method": "subscription", "params": {"channel": "trades.x", "data": [{}]}}',
          json.dumps({"method": "subscription", "params": {
              "channel": "deribit_price_index.btc_usd",
              "data": {"index_name": "btc_usd", "price": -1, "timestamp": 1}}})]  # fmt: skip


def test_unreadable_messages_are_reported_and_change_nothing() -> None:
    async def run() -> None:
        async with session() as s:
            await connected(s)
            for text in BROKEN:
                await s.venue.send_text(text)
            await s.venue.send_index(7.0, time_ms=s.venue.now_ms() + 7_200_000)  # two hours ahead
            await s.venue.send_index(5.0)
            await until(lambda: s.all(IndexTick))
            assert [t.price_usd for t in s.all(IndexTick)] == [5.0]
            assert len(of_kind(s, "malformed")) == len(BROKEN) + 1
            assert len(s.venue.subscribed) == 1

    asyncio.run(run())


def test_a_connection_with_only_unreadable_messages_is_closed() -> None:
    async def run() -> None:
        async with session(malformed_max=3) as s:
            await connected(s)
            for _ in range(3):
                await s.venue.send_text("{")
            await until(lambda: len(s.venue.subscribed) == 2)
            assert "3 unreadable messages in a row" in of_kind(s, "disconnected")[0].what

    asyncio.run(run())


def test_a_connection_without_any_message_is_closed() -> None:
    async def run() -> None:
        venue = Venue(small_snapshot(), lambda: 0, deaf=True)
        async with session(venue) as s:
            await until(lambda: len(s.venue.sockets) >= 2)
            assert "no message for 25 s" in of_kind(s, "silent", "")[0].what

    asyncio.run(run())


def test_a_silent_channel_is_reported_once_until_it_resumes() -> None:
    async def run() -> None:
        async with session(idle_seconds=1e6, silent_seconds=30.0) as s:
            await connected(s)
            channel = "deribit_price_index.btc_usd"
            await until(lambda: of_kind(s, "silent", channel))
            await s.venue.send_index(5.0)
            await until(lambda: of_kind(s, "resumed", channel))
            assert len(of_kind(s, "silent", channel)) == 1
            assert not of_kind(s, "silent", f"trades.{PERPETUAL}.100ms")

    asyncio.run(run())


@pytest.mark.parametrize(("skew", "word"), [(90_000, "ahead of"), (-90_000, "behind")])
def test_a_skewed_clock_is_reported(skew: int, word: str) -> None:
    async def run() -> None:
        # The duration of a request, 200 times faster, must not explain the difference.
        venue = Venue(small_snapshot(), lambda: 0, skew_ms=skew)
        async with session(venue) as s:
            await until(lambda: of_kind(s, "skew"))
            assert f"s {word} this machine's (limit 2 s)" in of_kind(s, "skew")[0].what

    asyncio.run(run())


def test_a_clock_within_the_limit_is_not_reported() -> None:
    async def run() -> None:
        async with session(skew_seconds=1.0) as s:
            await until(lambda: len([a for a in s.venue.asked if a.startswith("get_time")]) > 5)
            assert not of_kind(s, "skew")

    asyncio.run(run())


LIMIT = json.dumps({"error": TOO_MANY}).encode()


def test_requests_survive_overload_damage_and_silence() -> None:
    async def run() -> None:
        faults = [(400, LIMIT), (429, b""), (503, b"<html>"), (200, b"{"), (200, b"[]")]
        venue = Venue(small_snapshot(), lambda: 0, http_faults=faults * 2)
        async with session(venue, attempts=12) as s:
            await until(lambda: s.all(SnapshotArrived))
            assert s.venue.http_faults == []

    asyncio.run(run())


def test_an_exchange_that_does_not_answer_is_reported_and_tried_again() -> None:
    async def run() -> None:
        venue = Venue(small_snapshot(), lambda: 0, hanging=True)
        changes = {"attempts": 2, "timeout_seconds": 0.05, "snapshot_seconds": 5.0}
        async with session(venue, **changes) as s:
            await until(lambda: of_kind(s, "refused", "snapshot"))
            assert "after 2 attempts" in of_kind(s, "refused", "snapshot")[0].what
            s.venue.hanging = False
            await until(lambda: s.all(SnapshotArrived))

    asyncio.run(run())


def test_an_empty_chain_is_an_unreadable_snapshot() -> None:
    async def run() -> None:
        venue = Venue(small_snapshot(), lambda: 0, share_of_chain=0.0)
        async with session(venue) as s:
            await until(lambda: s.all(UnreadableSnapshot))
            [found] = s.all(UnreadableSnapshot)
            assert "lists no options" in str(found.problems[0])
            assert not s.all(SnapshotArrived)

    asyncio.run(run())
