"""Ledgers of the first version are upgraded with every row; others are refused with a reason."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from ledger_records import (
    MS,
    created_by,
    execute_all,
    fill,
    first_version,
    publish,
    rows_of_the_first_version,
    trade,
)
from margin_cluster.ledger import (
    CalculationRecord,
    GenerationSummary,
    InputIds,
    Ledger,
    Trade,
    sqlite_url,
)
from margin_cluster.ledger.address import address_from_url
from margin_cluster.ledger.chain import (
    FIRST_HASH,
    content_hash,
    entry_to_row,
    following_entry,
)
from margin_cluster.ledger.clearing_log import ClearingLog
from margin_cluster.ledger.columns import Columns
from margin_cluster.ledger.margin_records import margin_from_values
from margin_cluster.ledger.opening import REVISIONS, VERSION_TABLE
from margin_cluster.ledger.schema import metadata
from margin_cluster.ledger.verification import verify_ledger
from small_house import SMALL_HOUSE, Deposit
from sqlalchemy import create_engine, inspect

from margin_actors.actors.inputs import ActiveInputs
from margin_actors.errors import InvalidParameters


def test_a_ledger_of_the_first_version_is_upgraded_with_every_row(ledger_url: str) -> None:
    execute_all(ledger_url, first_version(ledger_url) + rows_of_the_first_version())
    ledger = Ledger(ledger_url)
    assert ledger.active_inputs() == ActiveInputs(7, "snapshot-2", "scenarios-1")
    (generation,), _ = ledger.list_generations(9, "")
    assert (generation.number, generation.kind) == (7, "import")
    snapshots, _ = ledger.list_snapshots(9, "")
    assert [(s.snapshot_id, s.options, s.is_synthetic) for s in snapshots] == [
        ("snapshot-2", 11, False),
        ("snapshot-1", 10, True),
    ]
    (scenarios,), _ = ledger.list_scenario_sets(9, "")
    assert (scenarios.scenarios_id, scenarios.horizon_hours) == ("scenarios-1", 24.5)
    assert scenarios.first_window_end is None
    upload, *changes = ledger.changes_since(0)
    assert (upload.version, upload.kind, upload.content, upload.trades) == (
        1,
        "upload",
        "book-1",
        (),
    )
    assert [c.trades for c in changes] == [
        (
            Trade("B", "M", "BTC-PERPETUAL", 0.1),
            Trade("A", "M", "BTC-PERPETUAL", -333333333333.3333),
        ),
        (Trade("A", "M", "ETH-PERPETUAL", 5e-324),),
    ]
    repeated = ledger.repeated_change("trades", "key-2", "trades-2")
    assert repeated is not None
    assert repeated.version == 3
    assert_calculations(ledger)
    assert ledger.head().sequence == 2 + 1 + 1 + 3 + 1_203
    assert verify_ledger(ledger.database).findings == ()
    # and it goes on from there
    assert trade(ledger, "key-3", Trade("A", "M", "BTC-PERPETUAL", 1.0)).version == 4
    assert publish(ledger, "snapshot-3", 1) == 8
    ledger.close()
    again = Ledger(ledger_url)
    assert verify_ledger(again.database).findings == ()
    again.close()


def assert_calculations(ledger: Ledger) -> None:
    page, token = ledger.list_calculations(1_000, "")
    rest, _ = ledger.list_calculations(1_000, token)
    assert [c.calculation_id for c in page + rest] == [
        f"calculation-{i}" for i in reversed(range(1_203))
    ]
    assert ledger.calculation("calculation-700") == CalculationRecord(
        calculation_id="calculation-700",
        kind="account",
        create_time=page[502].create_time,
        request_id="r700",
        account_id="A1",
        generation=GenerationSummary(number=1),
        inputs=InputIds(),
        digest="d",
        accounts=1,
        positions=2,
        initial_margin_usd=700.1,
        margin=margin_from_values({"var_usd": 0.1}, components=()),
    )


def test_a_ledger_of_the_second_version_is_upgraded_with_every_row(ledger_url: str) -> None:
    execute_all(ledger_url, created_by("0002", ledger_url) + rows_of_the_second_version())
    ledger = Ledger(ledger_url)
    assert ledger.head().sequence == 1
    assert [s.snapshot_id for s in ledger.list_snapshots(9, "")[0]] == ["s1"]
    log = ClearingLog(ledger.database, SMALL_HOUSE)
    log.commit([Deposit("d1", "A", 7)])
    assert log.state.resources_cents("A") == 7
    assert ledger.head().sequence == 3
    assert verify_ledger(ledger.database).findings == ()
    with pytest.raises(Exception, match="never changed"), ledger.database.writing() as writer:
        writer.execute("DELETE FROM clearing_events")
    ledger.close()


def rows_of_the_second_version() -> list[str]:
    row: Columns = {
        "sequence": 1,
        "snapshot_id": "s1",
        "time_ms": MS,
        "options": 10,
        "is_synthetic": True,
        "create_ms": MS,
    }
    entry = following_entry(0, FIRST_HASH, "snapshot", "s1", content_hash("snapshot", row), MS)
    columns = ", ".join(repr(value) for value in entry_to_row(entry).values())
    return [
        f"INSERT INTO entries VALUES ({columns})",
        f"INSERT INTO snapshots VALUES (1, 's1', {MS}, 10, TRUE, {MS})",
        f"UPDATE ledger_head SET sequence = 1, hash = '{entry.hash}'",
    ]


def test_an_empty_ledger_of_the_first_version_is_upgraded(ledger_url: str) -> None:
    execute_all(ledger_url, first_version(ledger_url))
    ledger = Ledger(ledger_url)
    assert ledger.active_inputs() == ActiveInputs()
    assert ledger.head().sequence == 0
    fill(ledger)
    assert verify_ledger(ledger.database).findings == ()
    ledger.close()


def test_an_upgrade_that_fails_leaves_the_old_ledger(ledger_url: str) -> None:
    execute_all(ledger_url, first_version(ledger_url) + rows_of_the_first_version())
    # A table of that name stops the migration after it has renamed the old tables.
    execute_all(ledger_url, ["CREATE TABLE ledger_head (id INTEGER)"])
    with pytest.raises(InvalidParameters, match="ledger_head"):
        Ledger(ledger_url)
    execute_all(ledger_url, ["DROP TABLE ledger_head"])
    ledger = Ledger(ledger_url)
    assert len(ledger.changes_since(2)[0].trades) == 1
    assert ledger.head().sequence == 2 + 1 + 1 + 3 + 1_203
    ledger.close()


def test_the_migrations_make_the_tables_that_the_code_uses(ledger_url: str) -> None:
    Ledger(ledger_url).close()
    engine = create_engine(address_from_url(ledger_url).driver_url)
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        tables = set(inspect(connection).get_table_names())
        assert tables == {*metadata.tables, VERSION_TABLE}
    engine.dispose()


def test_a_newer_ledger_is_refused(ledger_url: str) -> None:
    Ledger(ledger_url).close()
    execute_all(ledger_url, [f"UPDATE {VERSION_TABLE} SET version_num = '0099'"])
    with pytest.raises(InvalidParameters) as caught:
        Ledger(ledger_url)
    message = str(caught.value)
    assert "another version of this software (0099)" in message
    assert REVISIONS[-1] in message
    assert "password" not in message.replace("***", "")


def test_an_unknown_first_version_is_refused(ledger_url: str) -> None:
    execute_all(ledger_url, first_version(ledger_url))
    execute_all(ledger_url, ["UPDATE about SET value = '99'"])
    with pytest.raises(InvalidParameters, match="another version of this software"):
        Ledger(ledger_url)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text TEXT)")
        other.commit()
    with pytest.raises(InvalidParameters, match="tables of another program: notes"):
        Ledger(sqlite_url(path))
    with closing(sqlite3.connect(path)) as other:
        names = [row[0] for row in other.execute("SELECT name FROM sqlite_master")]
    assert names == ["notes"]


def test_the_wheel_has_the_migrations() -> None:
    import margin_cluster.ledger.migrations as package

    folder = Path(package.__path__[0])
    found = {p.name for p in (folder / "versions").glob("revision_*.py")}
    assert found == {f"revision_{r}.py" for r in REVISIONS}
    assert (folder / "env.py").exists()
