"""What was lost or modified is noticed; what cannot be used is named with a remedy."""

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_records import changed_outside, fill, record, trade
from margin_cluster.ledger import Ledger, Trade, sqlite_url
from margin_cluster.ledger.database import Database
from margin_cluster.ledger.margin_records import margin_from_values
from margin_cluster.ledger.verification import verify_ledger
from postgres_server import PostgresServer, free_port

from margin_actors.errors import InvalidParameters, InvalidRequest, LedgerDamaged, LedgerUnavailable

WRITER = """
import sys, time
from ledger_records import fill, trade
from margin_cluster.ledger import Ledger, Trade
ledger = Ledger(sys.argv[1])
fill(ledger)
for i in range(40):
    trade(ledger, f"w{i}", Trade("A", "M", "BTC-PERPETUAL", 1.0))
print(ledger.head().sequence, flush=True)
time.sleep(600)
"""


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Path, int]:
    """The folder of a ledger whose only process was killed, and the entries it had committed."""
    folder = tmp_path / "killed"
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, sqlite_url(folder / "ledger.sqlite")],
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert writer.stdout is not None
    sequence = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    return folder, sequence


def test_a_killed_process_loses_nothing(killed: tuple[Path, int]) -> None:
    folder, sequence = killed
    ledger = Ledger(sqlite_url(folder / "ledger.sqlite"))
    assert ledger.head().sequence == sequence
    assert verify_ledger(ledger.database).findings == ()
    ledger.close()


def test_a_copy_without_the_log_of_writes_is_refused(killed: tuple[Path, int]) -> None:
    """The database file alone lacks entries that the side file notes, which is a loss."""
    folder, sequence = killed
    (folder / "ledger.sqlite-wal").unlink()
    (folder / "ledger.sqlite-shm").unlink()
    with pytest.raises(LedgerDamaged) as caught:
        Ledger(sqlite_url(folder / "ledger.sqlite"))
    assert f"{sequence} " in str(caught.value) + " "
    assert "missing" in str(caught.value)
    assert "--accept-loss" in str(caught.value)


def test_damage_in_the_log_of_writes_is_found_at_the_start(killed: tuple[Path, int]) -> None:
    """SQLite ignores the log from the damaged page on; the side file shows what is missing."""
    folder, sequence = killed
    wal = folder / "ledger.sqlite-wal"
    content = bytearray(wal.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(b ^ 0xFF for b in content[middle : middle + 64])
    wal.write_bytes(content)
    (folder / "ledger.sqlite-shm").unlink()
    with pytest.raises(LedgerDamaged, match="committed entries are missing") as caught:
        Ledger(sqlite_url(folder / "ledger.sqlite"))
    assert f"to {sequence}" in str(caught.value)


def test_a_missing_file_with_a_side_file_is_a_loss_and_not_a_new_ledger(
    killed: tuple[Path, int],
) -> None:
    folder, _ = killed
    for path in folder.glob("ledger.sqlite*"):
        if path.suffix != ".head":
            path.unlink()
    with pytest.raises(LedgerDamaged, match="missing or empty"):
        Ledger(sqlite_url(folder / "ledger.sqlite"))
    assert not (folder / "ledger.sqlite").exists()


def test_after_a_clean_stop_the_file_alone_is_complete(tmp_path: Path) -> None:
    """Also while another process still has the ledger open."""
    url = sqlite_url(tmp_path / "ledger.sqlite")
    other, ledger = Ledger(url), Ledger(url)
    fill(ledger)
    assert other.portfolio_version() == 3
    head = ledger.head()
    ledger.close()
    copy = tmp_path / "copy" / "ledger.sqlite"
    copy.parent.mkdir()
    shutil.copy(tmp_path / "ledger.sqlite", copy)
    copied = Ledger(sqlite_url(copy))
    assert copied.head() == head
    assert verify_ledger(copied.database).findings == ()
    copied.close()
    other.close()
    ledger.close()
    assert not (tmp_path / "ledger.sqlite-wal").exists()


def test_a_closed_ledger_is_unavailable(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    assert ledger.portfolio_version() == 0
    ledger.close()
    for use in (ledger.portfolio_version, ledger.active_inputs, ledger.check_writable):
        with pytest.raises(LedgerUnavailable, match="closed"):
            use()


CHANGES = {
    "a calculation's amount": (
        "UPDATE calculations SET initial_margin_usd = 1e-9 WHERE calculation_id = 'calculation-3'",
        "the row of calculation calculation-3 was modified",
    ),
    "a trade's quantity": (
        "UPDATE trades SET quantity = 0.2 WHERE version = 2 AND number = 0",
        "the row of positions 2 was modified",
    ),
    "a trade that is gone": (
        "DELETE FROM trades WHERE version = 2 AND number = 1",
        "the row of positions 2 was modified",
    ),
    "a trade more": (
        "INSERT INTO trades VALUES (3, 1, 'A', 'M', 'BTC-PERPETUAL', 5.0)",
        "the row of positions 3 was modified",
    ),
    "who asked": (
        "UPDATE portfolio_changes SET caller = 'CN=other' WHERE version = 1",
        "the row of positions 1 was modified",
    ),
    "a row that is gone": (
        "DELETE FROM calculations WHERE calculation_id = 'calculation-2'",
        "the row of calculation calculation-2 is missing",
    ),
    "an entry that is gone": (
        "DELETE FROM entries WHERE sequence = 4",
        "entries are missing: 4 to 4",
    ),
    "an entry's content": (
        "UPDATE entries SET content_hash = previous_hash WHERE sequence = 3",
        "the entry was modified",
    ),
    "the end of the log": (
        "UPDATE ledger_head SET sequence = sequence - 1",
        "the head is",
    ),
    "the last version": (
        "UPDATE ledger_head SET portfolio_version = 2",
        "the head records version 2 of the positions, but the last one is 3",
    ),
    "a snapshot's flag": (
        "UPDATE snapshots SET is_synthetic = (sequence < 0)",
        "the row of snapshot snapshot-1 was modified",
    ),
}


def test_verification_names_the_first_entry_that_is_not_as_it_was_committed(
    ledger_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    is_sqlite = ledger_url.startswith("sqlite")
    server = None if is_sqlite else request.getfixturevalue("postgres_server")
    for number, (name, (statement, expected)) in enumerate(CHANGES.items()):
        url = sqlite_url(tmp_path / f"{number}.sqlite") if is_sqlite else server.new_database()
        ledger = Ledger(url)
        fill(ledger)
        ledger.close()
        changed_outside(url, statement, server=server)
        database = Database(url, is_inspection=True)
        found = verify_ledger(database)
        database.close()
        assert found.findings_total > 0, name
        assert expected in found.findings[0].what, (name, found.findings)
        assert found.first_bad_sequence == found.findings[0].sequence


def test_rows_added_outside_are_found(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "ledger.sqlite")
    ledger = Ledger(url)
    fill(ledger)
    ledger.close()
    columns = "snapshot_id, time_ms, options, is_synthetic, create_ms"
    changed_outside(
        url,
        f"INSERT INTO snapshots (sequence, {columns}) SELECT 3, 'x', 1, 1, 1, 1",
        f"INSERT INTO snapshots (sequence, {columns}) SELECT 99, 'y', 1, 1, 1, 1",
        server=None,
    )
    database = Database(url, is_inspection=True)
    texts = [(f.sequence, f.what) for f in verify_ledger(database).findings]
    database.close()
    assert (3, "a row of snapshots has no entry") in texts
    assert (99, "a row of snapshots is outside the log") in texts


def test_a_ledger_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    """Random bytes, a cut file and a page of zeros give a message, not a traceback."""

    def random_bytes(path: Path) -> None:
        path.write_bytes(bytes(range(256)) * 64)

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def page_of_zeros(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[0:4096] = bytes(4096)
        path.write_bytes(content)

    damages: list[Callable[[Path], None]] = [random_bytes, cut, page_of_zeros]
    for number, damage in enumerate(damages):
        path = tmp_path / f"{number}.sqlite"
        ledger = Ledger(sqlite_url(path))
        fill(ledger)
        ledger.add_calculations([record(f"more-{i}") for i in range(500)])
        ledger.close()
        damage(path)
        with pytest.raises(LedgerDamaged) as caught:
            Ledger(sqlite_url(path))
        assert str(path) in str(caught.value)
        assert "margin ledger" in str(caught.value)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "no" / "ledger.sqlite")
    with pytest.raises(InvalidParameters, match="/no does not exist"):
        Ledger(url)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "does not name a file"),
        ("sqlite:///:memory:", "does not name a file"),
        ("mysql://u:secret@host/db", "mysql is not supported"),
        ("postgresql://u:secret@host", "has no user or no database"),
        ("postgresql://u:secret@host/db?sslmod=x", "unknown option sslmod"),
        ("postgresql://u:secret@host/db?sslmode=prefer", "sslmode prefer"),
        ("postgresql://u:secret@host/db?sslmode=require&sslrootcert=/no/such", "sslrootcert"),
        ("secret", "not a URL"),
        ("postgresql://u:secret@host:port/db", "not a URL"),
    ],
)
def test_an_address_that_is_none_of_a_ledger_is_refused(url: str, words: str) -> None:
    with pytest.raises(InvalidParameters, match=words) as caught:
        Ledger(url)
    assert "secret" not in str(caught.value)


@pytest.mark.postgres
def test_a_server_that_refuses_is_named_without_the_password(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    wrong = postgres_server.url(postgres_url.rsplit("/", 1)[1], password="wrong-secret")
    with pytest.raises(InvalidParameters, match="password is wrong") as caught:
        Ledger(wrong)
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(InvalidParameters, match="does not exist"):
        Ledger(postgres_server.url("no_such_database"))
    with pytest.raises(LedgerUnavailable, match="Can't create a connection"):
        Ledger(f"postgresql://u:secret@127.0.0.1:{free_port()}/db")


@pytest.mark.postgres
def test_every_way_to_write_the_address_is_the_same_ledger(postgres_url: str) -> None:
    first = Ledger(postgres_url)
    trade(first, "", Trade("A", "M", "BTC-PERPETUAL", 1.0))
    first.close()
    for name in ("postgres", "postgresql+pg8000"):
        other = Ledger(postgres_url.replace("postgresql", name, 1) + "?sslmode=disable")
        assert other.portfolio_version() == 1
        other.close()


# The driver leaves the socket of a broken connection to the garbage collector, which warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.postgres
def test_connections_that_the_server_ends_are_made_again(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    ledger = Ledger(postgres_url)
    trade(ledger, "", Trade("A", "M", "BTC-PERPETUAL", 1.0))
    assert ledger.portfolio_version() == 1
    name = postgres_url.rsplit("/", 1)[1]
    postgres_server.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    assert ledger.portfolio_version() == 1
    trade(ledger, "", Trade("A", "M", "BTC-PERPETUAL", 1.0))

    def lose_the_connection_while_writing() -> None:
        with ledger.database.writing() as writer:
            postgres_server.execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            writer.execute("UPDATE ledger_head SET checked_ms = 1")

    with pytest.raises(LedgerUnavailable):
        lose_the_connection_while_writing()
    assert trade(ledger, "", Trade("A", "M", "BTC-PERPETUAL", 1.0)).version == 3
    assert verify_ledger(ledger.database).findings == ()
    ledger.close()
    gc.collect()


@pytest.mark.postgres
def test_a_server_without_writes_is_unavailable(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    Ledger(postgres_url).close()
    name = postgres_url.rsplit("/", 1)[1]
    postgres_server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    ledger = Ledger(postgres_url)
    assert ledger.portfolio_version() == 0
    with pytest.raises(LedgerUnavailable, match="accepts no writes"):
        ledger.check_writable()
    ledger.close()


def test_a_lost_connection_of_a_thread_is_made_again(tmp_path: Path) -> None:
    ledger = Ledger(sqlite_url(tmp_path / "ledger.sqlite"))
    trade(ledger, "", Trade("A", "M", "BTC-PERPETUAL", 1.0))
    assert ledger.portfolio_version() == 1
    ledger.database._kept._own.connection.driver_connection.close()
    assert ledger.portfolio_version() == 1
    ledger.close()
    assert not ledger.database._kept._all


def test_a_full_disk_is_unavailable_and_a_later_write_succeeds(tmp_path: Path) -> None:
    """A full disk is `LedgerUnavailable`, which callers may retry, and not an internal error."""
    ledger = Ledger(sqlite_url(tmp_path / "ledger.sqlite"))
    fill(ledger)
    with ledger.database.writing() as writer:  # SQLite's own limit is reported as a full disk is
        pages = writer.first("PRAGMA page_count")[0]
        writer.execute(f"PRAGMA max_page_count = {pages}")
    margin = margin_from_values({"account_id": "x" * 500_000}, components=())
    big = replace(record("big"), margin=margin)
    with pytest.raises(LedgerUnavailable, match="disk is full"):
        ledger.add_calculations([big])
    before = ledger.head()
    with ledger.database.writing() as writer:
        writer.execute("PRAGMA max_page_count = 1000000")
    ledger.add_calculations([big])
    assert ledger.head().sequence == before.sequence + 1
    assert verify_ledger(ledger.database).findings == ()
    ledger.close()


@pytest.mark.postgres
def test_values_that_a_database_cannot_hold_are_errors_of_the_request(postgres_url: str) -> None:
    ledger = Ledger(postgres_url)
    for account in ("A" * 200, "A\x00B"):
        with pytest.raises(InvalidRequest, match="cannot hold"):
            trade(ledger, "", Trade(account, "M", "BTC-PERPETUAL", 1.0), content="c")
    assert ledger.portfolio_version() == 0
    ledger.close()
