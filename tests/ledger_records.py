"""Records for tests of the ledger."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from margin_cluster.ledger import (
    CalculationRecord,
    ChangeResult,
    Ledger,
    Origin,
    PositionChange,
    ScenarioSetRecord,
    SnapshotRecord,
    Trade,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("BTC-PERPETUAL", "ETH-PERPETUAL", "BTC-30JAN26-100000-C")
ASKED = Origin("request-1", "CN=desk")


def record(name: str, account: str = "A", margin_usd: float = 3.5) -> CalculationRecord:
    return CalculationRecord(
        name,
        "account",
        NOW,
        "r",
        account,
        {"number": 1},
        {"snapshot_id": "s"},
        "d",
        1,
        2,
        margin_usd,
    )


def snapshot_record(name: str, hour: int = 0) -> SnapshotRecord:
    return SnapshotRecord(name, NOW + timedelta(hours=hour), 100, True, NOW)


def scenario_set_record(name: str) -> ScenarioSetRecord:
    return ScenarioSetRecord(name, "historical", ("BTC", "ETH"), 500, 24.0, NOW, None, True, NOW)


def publish(ledger: Ledger, name: str, hour: int = 0, key: str = "", *, older: bool = False) -> int:
    record = snapshot_record(name, hour)
    return ledger.publish_snapshot(record, key=key, origin=ASKED, allow_older=older, now=NOW)[1]


def activate(ledger: Ledger, name: str, key: str = "") -> int:
    ledger.add_scenario_set(scenario_set_record(name))
    return ledger.activate_scenarios(name, key=key, origin=ASKED, now=NOW)[1]


def trade(ledger: Ledger, key: str, *trades: Trade, content: str | None = None) -> ChangeResult:
    return ledger.change_positions(
        "trades",
        key=key,
        content=content or f"trades-{len(trades)}-{hash(trades) & 0xFFFFFFFF:x}",
        origin=ASKED,
        now=NOW,
        decide=lambda: PositionChange(0, 0, trades),
    )


def upload(ledger: Ledger, book_id: str, key: str = "") -> ChangeResult:
    return ledger.change_positions(
        "upload",
        key=key,
        content=book_id,
        origin=ASKED,
        now=NOW,
        decide=lambda: PositionChange(2, 3),
    )


def fill(ledger: Ledger) -> None:
    """Write some rows of every kind."""
    publish(ledger, "snapshot-1", key="p1")
    activate(ledger, "scenarios-1", key="a1")
    publish(ledger, "snapshot-1", key="p2")
    upload(ledger, "book-1", key="u1")
    trade(ledger, "t1", Trade("A", "M", NAMES[0], 0.1), Trade("B", "M", NAMES[1], -1e12 / 3))
    trade(ledger, "t2", Trade("A", "M", NAMES[2], 5e-324))
    ledger.add_calculations([record(f"calculation-{i}", margin_usd=i / 3) for i in range(5)])


def sqlite_path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))
