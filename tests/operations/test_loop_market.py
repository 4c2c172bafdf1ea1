"""Recorded index values, collateral prices over venues, and the second clock."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from loop_world import snapshot_at
from margin_cluster.feeds.events import IndexTick, StatusChange
from margin_cluster.operations.market import LoopMarket
from margin_cluster.operations.ticks import TickFiles
from small_chain import small_snapshot

from margin_actors.clearing.settlement.parameters import IndexParameters

NOON = datetime(2026, 5, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def tick(source: str, at: datetime, price: float, underlying: str = "BTC") -> IndexTick:
    return IndexTick(source, underlying, round(at.timestamp() * 1_000), price)


def test_ticks_survive_a_restart_and_a_line_that_was_cut_off(tmp_path: Path) -> None:
    files = TickFiles(tmp_path, "x")
    for second in range(5):
        files.receive(tick("x", NOON + second * SECOND, 60_000.5 + second))
    files.receive(tick("x", NOON + 2 * SECOND, 1.0))  # late
    files.receive(tick("other", NOON + 9 * SECOND, 1.0))
    files.close()
    (path,) = tmp_path.rglob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-9])  # the process was killed while it wrote
    again = TickFiles(tmp_path, "x")
    again.receive(tick("x", NOON + 6 * SECOND, 61_000.0))
    found = again.ticks("BTC", NOON + SECOND, NOON + 7 * SECOND)
    again.close()
    assert [(t.time - NOON) // SECOND for t in found] == [1, 2, 3, 6]
    assert found[0].price == Decimal("60001.5")


def test_ticks_are_found_across_midnight(tmp_path: Path) -> None:
    files = TickFiles(tmp_path, "x")
    midnight = NOON + timedelta(hours=12)
    for second in (-2, -1, 0, 1):
        files.receive(tick("x", midnight + second * SECOND, 60_000.0))
    assert len(files.ticks("BTC", midnight - timedelta(minutes=1), midnight + SECOND)) == 3
    files.close()


def market_at(now: datetime) -> LoopMarket:
    market = LoopMarket(now)
    market.use(snapshot_at(now), "a", now)
    return market


def test_one_venue_far_from_the_others_moves_collateral_by_the_clamp_at_most() -> None:
    now = small_snapshot().time
    market = market_at(now)
    index = small_snapshot().index_usd["BTC"]
    market.receive(tick("b", now, index), now)
    market.receive(tick("c", now, 0.65 * index), now)
    found = market.collateral_prices(now, IndexParameters())
    assert abs(float(found.prices["BTC"]) / index - 1.0) < 0.01
    assert not found.doubtful


def test_two_venues_that_disagree_leave_the_price_of_the_snapshot_and_are_named() -> None:
    now = small_snapshot().time
    market = market_at(now)
    index = small_snapshot().index_usd["BTC"]
    market.receive(tick("b", now, 0.9 * index), now)
    found = market.collateral_prices(now, IndexParameters())
    assert abs(float(found.prices["BTC"]) - index) < 1e-3
    assert "disagree" in found.doubtful["BTC"]


def test_the_clock_of_a_source_confirms_for_a_minute_only() -> None:
    market = LoopMarket(NOON)
    assert market.second_clock(NOON) is None
    market.receive(StatusChange("a", "connected", "", "", 1), NOON)
    assert market.second_clock(NOON) is None
    market.receive(tick("a", NOON + SECOND, 60_000.0), NOON)
    assert market.second_clock(NOON + 5 * SECOND) == NOON + 6 * SECOND
    assert market.second_clock(NOON + 61 * SECOND) is None
