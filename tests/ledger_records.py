"""Records and tampering helpers for tests of the ledger."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from margin_cluster.ledger import (
    CalculationRecord,
    ChangeResult,
    GenerationSummary,
    InputIds,
    Ledger,
    Origin,
    PositionChange,
    ScenarioSetRecord,
    SnapshotRecord,
    Trade,
)
from margin_cluster.ledger.address import address_from_url
from postgres_server import PostgresServer
from sqlalchemy import create_engine, text

GOLDEN = Path(__file__).parent / "golden"
MS = 1_767_225_600_000
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
        GenerationSummary(number=1, snapshot_time=NOW),
        InputIds(snapshot_id="s"),
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


def changed_outside(url: str, *statements: str, server: PostgresServer | None) -> None:
    """Change rows as anyone with access to the database can, with triggers and keys disabled."""
    if server is None:
        with closing(sqlite3.connect(sqlite_path(url))) as connection:
            triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in triggers.fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return
    name = url.rsplit("/", 1)[1]
    with closing(server.connect(name)) as connection:
        cursor = connection.cursor()
        cursor.execute("SET session_replication_role = 'replica'")
        for statement in statements:
            cursor.execute(statement)


def execute_all(url: str, statements: list[str]) -> None:
    engine = create_engine(address_from_url(url).driver_url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement.replace(":", "\\:")))
    engine.dispose()


def created_by(version: str, url: str) -> list[str]:
    """Return the statements with which a version created its tables."""
    database = "sqlite" if url.startswith("sqlite") else "postgresql"
    text = (GOLDEN / f"ledger_{version}_{database}.sql").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [s for s in "\n".join(lines).split(";\n") if s.strip()]


def first_version(url: str) -> list[str]:
    return created_by("0001", url)


def rows_of_the_first_version() -> list[str]:
    rows = [
        f"INSERT INTO snapshots VALUES (1, 'snapshot-1', {MS}, 10, TRUE, {MS + 1})",
        f"INSERT INTO snapshots VALUES (4, 'snapshot-2', {MS + 9}, 11, FALSE, {MS + 2})",
        "INSERT INTO scenario_sets VALUES (1, 'scenarios-1', 'historical', '[\"BTC\"]', 500, 24.5,"
        f" -1, {MS}, TRUE, {MS})",
        f"INSERT INTO portfolio_changes VALUES (1, 'upload', NULL, 'book-1', 2, 3, {MS})",
        f"INSERT INTO portfolio_changes VALUES (2, 'trades', 'key-1', 'trades-1', 0, 0, {MS})",
        f"INSERT INTO portfolio_changes VALUES (3, 'trades', 'key-2', 'trades-2', 0, 0, {MS})",
        "INSERT INTO trades VALUES (1, 2, 'B', 'M', 'BTC-PERPETUAL', 0.1)",
        "INSERT INTO trades VALUES (2, 2, 'A', 'M', 'BTC-PERPETUAL', -333333333333.3333)",
        "INSERT INTO trades VALUES (3, 3, 'A', 'M', 'ETH-PERPETUAL', 5e-324)",
    ]
    rows += [
        f"INSERT INTO calculations VALUES ({i + 1}, 'calculation-{i}', 'account', {MS + i}, 'r{i}',"
        f" 'A{i % 3}', '{{\"number\": 1}}', '{{}}', 'd', 1, 2, {i}.1, '{{\"var_usd\": 0.1}}')"
        for i in range(1_203)
    ]
    rows.append("INSERT INTO heads VALUES (1, 7, 'snapshot-2', 'scenarios-1')")
    return rows
