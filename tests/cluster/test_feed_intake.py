"""From a feed into use: gates, publication, quarantine, the board, replays and the runner."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feed_clock import SteppedClock
from margin_cluster.feeds import (
    Admission,
    FeedBoard,
    FeedEvent,
    FeedRunner,
    IndexTick,
    Intake,
    PublishedFeed,
    Quarantine,
    Recorder,
    ReplayFeed,
    RunningFeed,
    SilenceRule,
    SnapshotArrived,
    StatusChange,
    UnreadableSnapshot,
)
from margin_cluster.feeds.recorder import chain_with_times
from margin_cluster.gateway.metrics import Metrics
from prometheus_client import generate_latest
from small_chain import quotes_of, small_snapshot
from waiting import wait_until_async

from margin_actors.backoff import Backoff
from margin_actors.errors import (
    ClusterUnavailable,
    InvalidMarketData,
    MissingMarketData,
    OutdatedSnapshot,
    Problem,
)
from margin_actors.market.snapshots import MarketSnapshot


class Service:
    """Records what is published, as the gateway would be asked to."""

    def __init__(self) -> None:
        self.published: list[tuple[MarketSnapshot, str, bool]] = []
        self.fault: Exception | None = None

    async def __call__(self, snapshot: MarketSnapshot, *, key: str, allow_older: bool) -> int:
        if self.fault is not None:
            raise self.fault
        self.published.append((snapshot, key, allow_older))
        return len(self.published)


def intake(service: Service, folder: Path, **changes: object) -> Intake:
    clock = SteppedClock(small_snapshot().time.timestamp() + 3_600.0)
    return Intake(
        service, Quarantine(folder / "q", kept_max=3), threads=asyncio.to_thread, clock=clock,
        required=("BTC", "ETH"), **changes,  # type: ignore[arg-type]
    )  # fmt: skip


def later(minutes: float, snapshot: MarketSnapshot | None = None) -> SnapshotArrived:
    base = snapshot or small_snapshot()
    return SnapshotArrived("deribit", replace(base, time=base.time + timedelta(minutes=minutes)))


def half(snapshot: MarketSnapshot) -> MarketSnapshot:
    rows = np.arange(0, len(snapshot.options), 2)
    return replace(snapshot, options=quotes_of(snapshot.options, rows))


def test_good_snapshots_are_published_and_bad_ones_kept_with_their_reasons(tmp_path: Path) -> None:
    service = Service()

    async def run() -> list[Admission]:
        judge = intake(service, tmp_path)
        bad = later(1.0, half(small_snapshot()))
        return [await judge.admit(e) for e in (later(0.0), bad, later(2.0))]

    first, second, third = asyncio.run(run())
    assert [a.outcome for a in (first, second, third)] == ["current", "quarantined", "current"]
    assert third.generation == 2
    assert [s.time.minute for s, _, _ in service.published] == [0, 2]
    assert len({key for _, key, _ in service.published}) == 2
    [reasons] = Quarantine(tmp_path / "q").entries()
    told = json.loads(reasons.read_text())
    assert told["source"] == "deribit"
    assert "in the last good snapshot (limit 60 %)" in told["problems"][0]
    kept = pq.read_table(reasons.with_suffix(".parquet"))
    assert kept.num_rows == told["rows"] == len(half(small_snapshot()).options)


def test_what_cannot_be_assembled_is_kept_as_received(tmp_path: Path) -> None:
    event = UnreadableSnapshot(
        "deribit", 0, pa.table({"x": [1]}), (Problem("BTC", "lists no options"),)
    )
    admission = asyncio.run(intake(Service(), tmp_path).admit(event))
    assert admission.outcome == "quarantined"
    [reasons] = Quarantine(tmp_path / "q").entries()
    assert "lists no options" in reasons.read_text()


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (OutdatedSnapshot("older"), "outdated"),
        (InvalidMarketData("no smile can be fitted"), "quarantined"),
        (ClusterUnavailable("the coordinator is lost"), "failed"),
    ],
)
def test_what_the_service_refuses_is_told_apart(
    fault: Exception, outcome: str, tmp_path: Path
) -> None:
    service = Service()

    async def run() -> tuple[Admission, Admission]:
        judge = intake(service, tmp_path)
        service.fault = fault
        first = await judge.admit(later(0.0))
        service.fault = None
        return first, await judge.admit(later(1.0))

    first, second = asyncio.run(run())
    assert (first.outcome, second.outcome) == (outcome, "current")
    assert len(Quarantine(tmp_path / "q").entries()) == (outcome == "quarantined")


def test_only_the_first_snapshot_of_a_replay_may_be_older(tmp_path: Path) -> None:
    service = Service()

    async def run() -> None:
        judge = intake(service, tmp_path, is_historical=True)
        for minute in range(3):
            await judge.admit(later(minute))

    asyncio.run(run())
    assert [older for _, _, older in service.published] == [True, False, False]


@pytest.mark.parametrize(("is_historical", "keys"), [(False, 1), (True, 2)])
def test_the_same_content_is_published_once_except_by_another_replay(
    tmp_path: Path, is_historical: bool, keys: int
) -> None:
    service = Service()

    async def run() -> None:
        for _ in range(2):
            await intake(service, tmp_path, is_historical=is_historical).admit(later(0.0))

    asyncio.run(run())
    assert len({key for _, key, _ in service.published}) == keys
    assert all(len(key) <= 128 for _, key, _ in service.published)


def test_a_published_snapshot_confirms_a_jump_of_the_index(tmp_path: Path) -> None:
    whole = small_snapshot()
    factor = 0.5
    moved = replace(
        whole,
        index_usd={u: factor * p for u, p in whole.index_usd.items()},
        expiries=tuple(replace(e, forward_usd=factor * e.forward_usd) for e in whole.expiries),
        options=replace(whole.options, strike_usd=factor * whole.options.strike_usd),
    )

    async def run() -> list[str]:
        judge = intake(Service(), tmp_path)
        confirmed = replace(later(2.0, moved), is_current=True)
        events = (later(0.0), later(1.0, moved), confirmed, later(3.0, moved))
        return [(await judge.admit(e)).outcome for e in events]

    assert asyncio.run(run()) == ["current", "quarantined", "current", "current"]


def test_the_quarantine_keeps_the_latest(tmp_path: Path) -> None:
    keep = Quarantine(tmp_path, kept_max=2)
    for minute in range(4):
        time = small_snapshot().time + timedelta(minutes=minute)
        keep.keep("deribit", time, pa.table({"x": [minute]}), [Problem("x", str(minute))])
    assert [json.loads(p.read_text())["problems"] for p in keep.entries()] == [["x: 2"], ["x: 3"]]
    assert len(list(tmp_path.iterdir())) == 4


def recorded_folder(folder: Path, minutes: list[int]) -> Path:
    """A data folder with chains at some minutes, one per file, and prices by the minute."""
    (folder / "options").mkdir(parents=True)
    (folder / "prices").mkdir()
    base = small_snapshot()
    for n, minute in enumerate(minutes):
        snapshot = replace(base, time=base.time + timedelta(minutes=minute))
        path = folder / "options" / f"recorded_chain_{n}.parquet"
        pq.write_table(chain_with_times(snapshot), path)
    start = round(base.time.timestamp() * 1000)
    stamps = pa.array([start + m * 60_000 for m in range(-5, 60)], pa.int64())
    prices = {"timestamp": stamps.cast(pa.timestamp("ms", "UTC")),
              "close": [100.0 + m for m in range(-5, 60)]}  # fmt: skip
    pq.write_table(pa.table(prices), folder / "prices" / "venue_BTCUSD_1min.parquet")
    return folder


async def read_all(feed: ReplayFeed) -> list[FeedEvent]:
    return [event async for event in feed.events()]


@pytest.mark.parametrize("speed", [1.0, 60.0, 1e4])
def test_a_replay_keeps_the_recorded_distances_at_any_speed(tmp_path: Path, speed: float) -> None:
    clock = SteppedClock()
    feed = ReplayFeed(recorded_folder(tmp_path / "d", [0, 4, 10]), speed, clock=clock)
    events = asyncio.run(read_all(feed))
    snapshots = [e.snapshot for e in events if isinstance(e, SnapshotArrived)]
    assert [s.time.minute for s in snapshots] == [0, 4, 10]
    assert sum(clock.slept) == pytest.approx(600.0 / speed)
    ticks = [e for e in events if isinstance(e, IndexTick)]
    assert [(t.underlying, t.price_usd) for t in ticks] == [("BTC", 99.0 + m) for m in range(11)]
    times = [e.time_ms for e in ticks]
    assert times == sorted(times)
    kinds = [e.kind for e in events if isinstance(e, StatusChange)]
    assert kinds == ["connected", "disconnected"]


def test_a_replay_without_pauses_never_sleeps(tmp_path: Path) -> None:
    clock = SteppedClock()
    feed = ReplayFeed(recorded_folder(tmp_path / "d", [0, 50]), float("inf"), clock=clock)
    assert len([e for e in asyncio.run(read_all(feed)) if isinstance(e, SnapshotArrived)]) == 2
    assert clock.slept == []


def test_a_replay_reports_a_damaged_chain_and_goes_on(tmp_path: Path) -> None:
    folder = recorded_folder(tmp_path / "d", [0, 1, 2])
    path = folder / "options" / "recorded_chain_1.parquet"
    table = pq.read_table(path)
    worthless = pa.array(np.full(table.num_rows, -1.0))
    column = table.column_names.index("index_price")
    pq.write_table(table.set_column(column, "index_price", worthless), path)
    events = asyncio.run(read_all(ReplayFeed(folder, float("inf"), clock=SteppedClock())))
    kinds = [type(e) for e in events if not isinstance(e, IndexTick | StatusChange)]
    assert kinds == [SnapshotArrived, UnreadableSnapshot, SnapshotArrived]


def test_nothing_to_replay_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingMarketData, match="nothing to replay"):
        ReplayFeed(tmp_path)
    with pytest.raises(MissingMarketData, match="does not exist"):
        ReplayFeed(tmp_path / "absent")


class ScriptedFeed:
    """Yields events, and raises what is scripted."""

    is_historical = False
    source = "deribit"

    def __init__(self, *script: FeedEvent | Exception) -> None:
        self.script = list(script)

    async def events(self) -> AsyncGenerator[FeedEvent]:
        while self.script:
            item = self.script.pop(0)
            if isinstance(item, Exception):
                raise item
            yield item


def test_a_runner_records_publishes_reports_and_starts_a_failed_feed_again(tmp_path: Path) -> None:
    service, clock = Service(), SteppedClock()
    board = FeedBoard(SilenceRule(silent_seconds=60.0), clock=clock)
    board.expect("deribit", monitored=True)
    ticks = [IndexTick("deribit", "BTC", 60_000 * n, 100.0 + n) for n in range(4)]
    feed = ScriptedFeed(
        *ticks, later(0.0), RuntimeError("broken"), later(1.0, half(small_snapshot()))
    )
    published = PublishedFeed()
    recorder = Recorder(tmp_path / "data")
    judge = intake(service, tmp_path)

    async def run() -> None:
        runner = FeedRunner(
            [RunningFeed(feed, judge, recorder), RunningFeed(published, judge, recorder)],
            board, flush_seconds=1e9, backoff=Backoff(1.0, 60.0), clock=clock,
        )  # fmt: skip
        runner.start()
        published.offer(later(30.0).snapshot)
        await wait_until_async(lambda: all(s.is_stopped or s.source != "deribit"
                                           for s in board.states))  # fmt: skip
        await wait_until_async(lambda: "published" in {s.source for s in board.states})
        await runner.close()

    asyncio.run(run())
    state = {s.source: s for s in board.states}
    assert (state["deribit"].accepted, state["deribit"].rejected) == (1, 1)
    assert state["deribit"].faults["failed"] == 1
    assert 1.0 in clock.slept
    assert "snapshot not used" in state["deribit"].last_problem
    assert state["published"].accepted == 1
    assert len(service.published) == 1  # what a call has published is not published again
    files = sorted(p.name for p in (tmp_path / "data").rglob("*.parquet"))
    assert files == [
        "deribit_chain_2026-01-16.parquet", "deribit_index_BTCUSD_1min-1970-01.parquet",
        "published_chain_2026-01-16.parquet",
    ]  # fmt: skip


def test_the_board_reports_ages_and_alarms() -> None:
    clock = SteppedClock()
    board = FeedBoard(SilenceRule(silent_seconds=60, keep_seconds=600, stop_seconds=600),
                      clock=clock)  # fmt: skip
    assert board.decision() is None
    board.expect("deribit", monitored=True)
    assert board.decision().alarms[0] == "the feed deribit has delivered nothing yet"
    board.received(IndexTick("deribit", "BTC", 0, 1.0))
    board.accepted("deribit", 0.0)
    clock.now += 30.0
    assert board.decision().action == "use"
    assert board.reports()[0].age_seconds == 30.0
    clock.now += 571.0
    decision = board.decision()
    assert decision.action == "stop_calls"
    assert decision.silent == ("deribit",)
    board.received(StatusChange("deribit", "gap", "trades", "3 missing", 0))
    assert board.reports()[0].last_problem == "gap, trades: 3 missing"
    board.stopped("deribit")
    assert board.decision() is None


def test_the_metrics_show_the_sources() -> None:
    clock, metrics = SteppedClock(), Metrics()
    board = FeedBoard(clock=clock)
    metrics.watch_feeds(board)
    board.expect("deribit", monitored=True)
    assert "margin_feed_age_seconds{" not in generate_latest(metrics.registry).decode()
    board.received(StatusChange("deribit", "connected", "", "", 0))
    board.received(IndexTick("deribit", "BTC", 0, 1.0))
    board.received(StatusChange("deribit", "gap", "trades", "3 missing", 0))
    board.rejected("deribit", "half a chain")
    clock.now += 7.0
    shown = generate_latest(metrics.registry).decode()
    for line in (
        'margin_feed_age_seconds{source="deribit"} 7.0',
        'margin_feed_connected{source="deribit"} 1.0',
        'margin_feed_snapshots_total{outcome="rejected",source="deribit"} 1.0',
        'margin_feed_messages_total{source="deribit"} 1.0',
        'margin_feed_faults_total{kind="gap",source="deribit"} 1.0',
    ):
        assert line in shown
