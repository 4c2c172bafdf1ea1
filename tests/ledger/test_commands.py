"""`margin ledger backup`, `restore` and `verify`, on both databases, while others write."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ledger_records import (
    NOW,
    changed_outside,
    execute_all,
    first_version,
    record,
    rows_of_the_first_version,
    scenario_set_record,
    trade,
)
from made import made_scenarios
from margin_cluster.archive import StoreArchive
from margin_cluster.cli import app
from margin_cluster.ledger import (
    CalculationRecord,
    GenerationSummary,
    InputIds,
    Ledger,
    LedgerHead,
    Origin,
    PositionChange,
    Trade,
    sqlite_url,
)
from margin_cluster.ledger.clearing_log import ClearingLog
from postgres_server import PostgresServer
from small_house import SMALL_HOUSE, Deposit, Require
from typer.testing import CliRunner, Result

from margin_actors.market.books import Book
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.synthetic import SyntheticMarket

TABLES = (
    "snapshots",
    "scenario_sets",
    "portfolio_changes",
    "trades",
    "calculations",
    "entries",
    "clearing_events",
)


@dataclass
class Served:
    """The state of a service: its ledger with something of everything, and its objects."""

    url: str
    root: Path
    head: LedgerHead

    @property
    def options(self) -> list[str]:
        options = ["--state", str(self.root)]
        return options if self.url.startswith("sqlite") else [*options, "--ledger", self.url]


@pytest.fixture
def state(tmp_path: Path, ledger_url: str, market: SyntheticMarket) -> Served:
    root = tmp_path / "state"
    root.mkdir()
    url = sqlite_url(root / "ledger.sqlite") if ledger_url.startswith("sqlite") else ledger_url
    archive = StoreArchive(root, url)
    archive.publish_snapshot(
        market.snapshot, key="p", request_id="r", caller="c", allow_older=False
    )
    scenarios = made_scenarios(50)
    archive.save_scenarios(scenarios)
    archive.activate_scenarios(scenarios.id, key="a", request_id="r", caller="c")
    save_and_use(archive, book_from_table(market.book, where="book"))
    table = pa.table({"account_id": ["A", "B"], "initial_margin_usd": np.array([0.1, 0.2])})
    archive.store.put("calculations", "calculation-book", table)
    archive.ledger.add_calculations(
        [
            CalculationRecord(
                calculation_id="calculation-book",
                kind="book",
                create_time=NOW,
                request_id="r",
                account_id="",
                generation=GenerationSummary(number=1),
                inputs=InputIds(),
                digest="d",
                accounts=2,
                positions=3,
                initial_margin_usd=0.1 + 0.2,
            ),
            *(record(f"calculation-{i}", margin_usd=i / 3) for i in range(20)),
        ]
    )
    for i in range(10):
        trade(archive.ledger, f"k{i}", Trade("A", "M", "BTC-PERPETUAL", i / 10 + 0.1))
    log = ClearingLog(archive.ledger.database, SMALL_HOUSE)
    log.commit([Deposit("d" * 300, "A", 900), Require("r1", "A", 1), Require("r2", "B", 2)])
    head = archive.ledger.head()
    archive.ledger.close()
    return Served(url, root, head)


def save_and_use(archive: StoreArchive, book: Book) -> None:
    archive.save_book(book)
    archive.ledger.change_positions(
        "upload",
        key="",
        content=book.id,
        origin=Origin(),
        now=NOW,
        decide=lambda: PositionChange(len(book.accounts), book.n_positions),
    )


def margin(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["ledger", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def rows_of(url: str) -> dict[str, list[tuple[object, ...]]]:
    ledger = Ledger(url)
    with ledger.database.reading() as connection:
        rows = {
            table: [tuple(r) for r in connection.exec_driver_sql(f"SELECT * FROM {table}")]
            for table in TABLES
        }
    ledger.close()
    booleans = {"snapshots": 4, "scenario_sets": 8}
    for table, column in booleans.items():  # SQLite's driver returns them as numbers
        rows[table] = [(*r[:column], bool(r[column]), *r[column + 1 :]) for r in rows[table]]
    return {table: sorted(some, key=repr) for table, some in rows.items()}


def test_a_backup_restores_every_row_and_object(
    state: Served, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    made = json.loads(margin("backup", tmp_path / "backup", *state.options, "--json").stdout)
    assert (made["sequence"], made["hash"]) == (state.head.sequence, state.head.hash)
    assert made["objects"] == 4
    assert {p.name for p in (tmp_path / "backup").iterdir()} == {
        "manifest.json",
        "ledger.sqlite",
        "objects",
    }
    expected = rows_of(state.url)
    events = expected["clearing_events"]
    assert any(isinstance(value, bytes) for row in events for value in row)  # one is compressed
    targets = [
        (tmp_path / "new", sqlite_url(tmp_path / "new" / "ledger.sqlite")),
        (tmp_path / "other", postgres_server.new_database()),
    ]
    for root, url in targets:
        restored = margin("restore", tmp_path / "backup", "--state", root, "--ledger", url)
        assert f"head {state.head.sequence}:{state.head.hash}" in restored.stdout
        assert rows_of(url) == expected
        verified = margin("verify", "--state", root, "--ledger", url)
        assert "4 stored objects" in verified.stdout
        ledger = Ledger(url)
        assert ledger.head() == state.head
        log = ClearingLog(ledger.database, SMALL_HOUSE)
        assert log.state.resources_cents("A") == 900
        assert log.commit([Require("r2", "B", 2)])[0].is_repeat
        assert not log.commit([Require("r3", "B", 2)])[0].is_repeat
        before = ledger.portfolio_version()
        assert trade(ledger, "k3", Trade("A", "M", "BTC-PERPETUAL", 0.4)).was_repeated
        assert trade(ledger, "", Trade("A", "M", "BTC-PERPETUAL", 1.0)).version == before + 1
        ledger.close()
        margin("verify", "--state", root, "--ledger", url)


def test_a_backup_is_of_one_moment_while_others_write(state: Served, tmp_path: Path) -> None:
    stop, written = threading.Event(), list[int]()

    def write() -> None:
        ledger = Ledger(state.url)
        while not stop.is_set():
            change = trade(ledger, "", Trade("A", "M", "BTC-PERPETUAL", 1.0))
            ledger.add_calculations([record(f"while-{change.version}")])
            written.append(change.version)
        ledger.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            begun = len(written)
            folder = tmp_path / f"backup-{number}"
            made = json.loads(margin("backup", folder, *state.options, "--json").stdout)
            root = tmp_path / f"restored-{number}"
            margin("restore", folder, "--state", root)
            expect = f"{made['sequence']}:{made['hash']}"
            margin("verify", "--state", root, "--expect", expect)
            margin("verify", *state.options, "--expect", expect)
            assert made["sequence"] >= state.head.sequence + 2 * begun
    finally:
        stop.set()
        writer.join()
    assert written


def test_a_ledger_as_it_was_committed_is_intact(state: Served) -> None:
    head = f"{state.head.sequence}:{state.head.hash}"
    shown = margin("verify", *state.options).stdout
    assert "Intact" in shown
    assert f"head {head}" in shown
    found = json.loads(margin("verify", *state.options, "--expect", head, "--json").stdout)
    assert found["is_intact"]
    assert (found["sequence"], found["hash"]) == (state.head.sequence, state.head.hash)
    assert found["objects"] == 4
    wrong = f"{state.head.sequence}:{'0' * 64}"
    assert "not the one" in margin("verify", *state.options, "--expect", wrong, code=2).stdout
    later = f"{state.head.sequence + 3}:{'0' * 64}"
    assert (
        "3 committed entries" in margin("verify", *state.options, "--expect", later, code=2).stdout
    )
    for bad in ("7", "x:" + "0" * 64, "7:abc"):
        margin("verify", *state.options, "--expect", bad, code=2)


def test_modified_rows_and_objects_are_listed(
    state: Served, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    is_sqlite = state.url.startswith("sqlite")
    server = None if is_sqlite else request.getfixturevalue("postgres_server")
    changed_outside(state.url, "UPDATE trades SET quantity = 7 WHERE version = 5", server=server)
    objects = {p.parent.name: p for p in (state.root / "objects").glob("*/*.parquet")}
    objects["books"].unlink()
    objects["calculations"].write_bytes(b"x" * 100)
    objects["scenarios"].write_bytes(objects["market_snapshots"].read_bytes())
    shown = margin("verify", *state.options, code=2)
    assert "DAMAGED: 4 differences from what was committed" in shown.stdout
    assert "the row of positions 5 was modified" in shown.stdout
    assert "the object is missing" in shown.stdout
    found = json.loads(margin("verify", *state.options, "--json", code=2).stdout)
    assert not found["is_intact"]
    assert found["first_bad_sequence"] == found["findings"][0]["sequence"] > 0
    assert found["object_findings_total"] == 3
    refused = margin("backup", tmp_path / "backup", *state.options, code=2)
    assert "not as it was committed" in refused.stderr
    assert not (tmp_path / "backup").exists()


def test_a_backup_names_objects_that_are_missing(state: Served, tmp_path: Path) -> None:
    book = next((state.root / "objects" / "books").iterdir())
    book.unlink()
    made = margin("backup", tmp_path / "backup", *state.options, code=2)
    assert book.name in made.stderr
    margin("restore", tmp_path / "backup", "--state", tmp_path / "new", code=2)
    assert book.name in margin("verify", "--state", tmp_path / "new", code=2).stdout


def test_a_damaged_backup_is_not_restored(state: Served, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    margin("backup", backup, *state.options)
    snapshot = next((backup / "objects" / "market_snapshots").iterdir())
    content = bytearray(snapshot.read_bytes())
    content[100] ^= 1
    snapshot.write_bytes(content)
    next((backup / "objects" / "books").iterdir()).unlink()
    refused = margin("restore", backup, "--state", tmp_path / "new", code=2)
    assert "the file was modified" in refused.stderr
    assert "the file is missing" in refused.stderr
    assert not (tmp_path / "new").exists()
    assert "not a backup" in margin("restore", tmp_path, "--state", tmp_path / "n", code=2).stderr
    manifest = json.loads((backup / "manifest.json").read_text())
    manifest["files"]["../../outside"] = "0" * 64
    (backup / "manifest.json").write_text(json.dumps(manifest))
    assert "not a backup" in margin("restore", backup, "--state", tmp_path / "n", code=2).stderr


def test_a_target_that_holds_something_is_refused(state: Served, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    margin("backup", backup, *state.options)
    assert "not empty" in margin("restore", backup, *state.options, code=2).stderr
    assert "exists" in margin("backup", backup, *state.options, code=2).stderr
    other = tmp_path / "other"
    stored = next((state.root / "objects" / "books").iterdir())
    (other / "objects" / "books").mkdir(parents=True)
    (other / "objects" / "books" / stored.name).write_bytes(b"something else")
    assert "differs" in margin("restore", backup, "--state", other, code=2).stderr
    assert not (other / "ledger.sqlite").exists()
    ledger = Ledger(state.url)
    assert ledger.head() == state.head
    ledger.close()


def test_a_loss_can_be_accepted(tmp_path: Path) -> None:
    """A copy without its log of writes is found, and can be used knowingly."""
    state = tmp_path / "state"
    state.mkdir()
    url = sqlite_url(state / "ledger.sqlite")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    code = (
        "import os, sys; from margin_cluster.ledger import Ledger; from ledger_records import *\n"
        "first = Ledger(sys.argv[1]); first.add_calculations([record('c')]); first.close()\n"
        "ledger = Ledger(sys.argv[1])\n"
        "ledger.add_calculations([record(f'n{i}') for i in range(7)])\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, url], check=True, env=environment)
    for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
        (state / name).unlink()
    lost = margin("verify", "--state", state, code=2)
    assert "7 committed entries are missing" in lost.stdout
    assert (
        "7 committed entries" in margin("backup", tmp_path / "b", "--state", state, code=2).stderr
    )
    accepted = margin("verify", "--state", state, "--accept-loss")
    assert "7 lost entries" in accepted.stderr.replace("Accepted: ", "")
    ledger = Ledger(url)
    ledger.add_calculations([record("after")])
    ledger.close()
    margin("verify", "--state", state)


def test_a_ledger_without_a_log_is_backed_up_as_it_is(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    url = sqlite_url(state / "ledger.sqlite")
    execute_all(url, first_version(url) + rows_of_the_first_version())
    before = (state / "ledger.sqlite").read_bytes()
    assert "back it up" in margin("verify", "--state", state, code=2).stderr
    margin("backup", tmp_path / "backup", "--state", state, code=2)  # its objects do not exist
    assert (state / "ledger.sqlite").read_bytes() == before
    margin("restore", tmp_path / "backup", "--state", tmp_path / "new", code=2)
    ledger = Ledger(sqlite_url(tmp_path / "new" / "ledger.sqlite"))
    assert ledger.head().sequence == 1_210
    ledger.close()


def test_commands_say_that_there_is_no_ledger(tmp_path: Path) -> None:
    for command in (["verify"], ["backup", tmp_path / "out"], ["verify", "--accept-loss"]):
        assert "there is no ledger" in margin(*command, "--state", tmp_path, code=2).stderr
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "ledger.sqlite").write_bytes(bytes(range(256)) * 16)
    for command in (["verify"], ["backup", tmp_path / "out"]):
        shown = margin(*command, "--state", tmp_path, code=2)
        assert "not a SQLite database" in shown.stderr
        assert "Traceback" not in shown.output


def test_a_book_stored_in_an_older_order_is_intact(tmp_path: Path) -> None:
    archive = StoreArchive(tmp_path, sqlite_url(tmp_path / "ledger.sqlite"))
    book = Book(
        accounts=("B", "A"),
        members=("N", "M"),
        instruments=("BTC-PERPETUAL", "ETH-PERPETUAL"),
        start=np.array([0, 1, 3], np.int64),
        instrument_index=np.array([1, 0, 1], np.int32),
        quantity=np.array([1.0, 2.0, 3.0]),
    )
    save_and_use(archive, book)
    archive.ledger.add_scenario_set(scenario_set_record("never stored"))
    archive.ledger.close()
    shown = margin("verify", "--state", tmp_path, code=2).stdout
    assert "never stored" in shown
    assert book.id not in shown
