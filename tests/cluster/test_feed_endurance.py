"""A long sequence of faults at random: what is recorded afterwards is right and complete."""

import asyncio
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deribit_server import Venue, deribit_server
from feed_clock import FastClock
from margin_cluster.feeds import (
    FeedBoard,
    FeedRunner,
    Intake,
    Quarantine,
    Recorder,
    RunningFeed,
)
from margin_cluster.feeds.deribit import DeribitOptions
from margin_cluster.feeds.deribit.feed import DeribitFeed
from small_chain import small_snapshot

from margin_actors.backoff import Backoff
from margin_actors.market.snapshots import MarketSnapshot

NAME = "BTC-PERPETUAL"
KINDS = ["right"] * 6 + [
    "skip",
    "hold",
    "release",
    "repeat",
    "broken",
    "drop",
    "cut",
    "busy",
    "half",
]


class Service:
    def __init__(self) -> None:
        self.published: list[MarketSnapshot] = []

    async def __call__(self, snapshot: MarketSnapshot, *, key: str, allow_older: bool) -> int:
        self.published.append(snapshot)
        return len(self.published)


async def disturb(venue: Venue, dice: random.Random, held: list[dict[str, object]]) -> None:
    """Send the next trade, in one of several faulty ways."""
    trade = venue.trade(NAME, 95_000.0 + dice.randrange(200))
    kind = dice.choice(KINDS)
    if kind == "hold":
        held.append(trade)
    elif kind == "release" and held:
        await venue.send_trades(trade)
        await venue.send_trades(*held)
        held.clear()
    elif kind == "repeat":
        await venue.send_trades(trade)
        await venue.send_trades(trade)
    elif kind == "broken":
        await venue.send_text('{"jsonrpc": "2.0", "method"')
        await venue.send_trades(trade)
    elif kind in ("drop", "cut"):
        venue.drop(mid_message=kind == "cut")
    elif kind == "busy":
        venue.http_faults += [(429, b""), (503, b"<html>"), (200, b"{")]
    elif kind == "half":
        venue.share_of_chain = dice.choice([0.0, 0.4, 1.0])
    elif kind == "right":
        await venue.send_index(95_000.0 + dice.randrange(100))
        await venue.send_trades(trade)


def expected_bars(venue: Venue) -> dict[int, tuple[float, ...]]:
    """Open, high, low, close and number of trades of each minute, from the venue's archive."""
    minutes: dict[int, list[float]] = {}
    for trade in venue.trades[NAME]:
        minutes.setdefault(trade["timestamp"] // 60_000, []).append(trade["price"])
    return {m: (p[0], max(p), min(p), p[-1], len(p)) for m, p in minutes.items()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_many_faults_no_minute_is_missing_wrong_or_double(tmp_path: Path, seed: int) -> None:
    dice, service = random.Random(seed), Service()
    venue = Venue(small_snapshot(), lambda: 0)
    clock = FastClock(factor=300.0)
    venue.now_ms = lambda: round(clock.time() * 1000)
    board = FeedBoard(clock=clock)
    held: list[dict[str, object]] = []

    async def run_for(rounds: int) -> None:
        """Run a process: all state except the files is new."""
        recorder = Recorder(tmp_path)
        options = DeribitOptions(
            venue.url, currencies=("BTC",), snapshot_seconds=120.0, requests_per_second=1e4,
            requests_at_once=1e3, attempts=8, backoff=Backoff(0.5, 5.0),
            resume=lambda series, name: recorder.resume_ms("deribit", series, name),
        )  # fmt: skip
        intake = Intake(service, Quarantine(tmp_path / "quarantine"), threads=asyncio.to_thread,
                        required=("BTC",), clock=clock)  # fmt: skip
        feed = RunningFeed(DeribitFeed(options, clock=clock), intake, recorder)
        runner = FeedRunner([feed], board, flush_seconds=60.0, clock=clock)
        runner.start()
        for _ in range(rounds):
            await disturb(venue, dice, held)
            await asyncio.sleep(0.01)
        # A quiet end: whatever is missing can be requested.
        venue.http_faults.clear()
        before = len(venue.subscribed)
        venue.drop()
        async with asyncio.timeout(20.0):
            while len(venue.subscribed) == before:
                await asyncio.sleep(0.02)
        for _ in range(3):
            await venue.send_trades(venue.trade(NAME, 95_000.0))
            await asyncio.sleep(0.25)
        # The minute of the last trade is complete only with a later one; minutes can be empty.
        *_, complete, _ = sorted(expected_bars(venue))
        async with asyncio.timeout(20.0):
            while (recorder.resume_ms("deribit", "trades", NAME) or 0) < (complete + 1) * 60_000:
                await asyncio.sleep(0.05)
        await runner.close()

    async def run() -> None:
        async with deribit_server(venue):
            for _ in range(3):
                await run_for(250)

    asyncio.run(run())
    found: dict[int, tuple[float, ...]] = {}
    for path in sorted((tmp_path / "prices").glob("deribit_perp_BTCUSD_1min-*.parquet")):
        for row in pq.read_table(path).to_pylist():
            minute = int(row["timestamp"].timestamp()) // 60
            assert minute not in found
            found[minute] = tuple(row[n] for n in ("open", "high", "low", "close", "trades"))
    expected = expected_bars(venue)
    last = max(found)
    first = min(found)
    assert found == {m: bar for m, bar in expected.items() if first <= m <= last}
    assert last >= sorted(expected)[-2]
    state = board.states[0]
    assert state.faults["disconnected"] > 5
    assert state.faults["gap"] > 0
    assert state.rejected > 0
    assert service.published
    assert len(list((tmp_path / "quarantine").glob("*.json"))) == state.rejected
