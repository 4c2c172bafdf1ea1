"""What is durable stays as it was written, and repeating a write changes nothing."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import CalculationRecord, Ledger, Trade, sqlite_url
from margin_cluster.positions import Positions, add_quantities

from margin_actors.actors.plan import Heads
from margin_actors.errors import (
    InvalidParameters,
    InvalidPortfolio,
    KeyReused,
    UnknownAccount,
    UnknownCalculation,
)
from margin_actors.market.portfolios import book_from_table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("BTC-PERPETUAL", "ETH-PERPETUAL", "BTC-30JAN26-100000-C")


def record(name: str, account: str = "A") -> CalculationRecord:
    return CalculationRecord(
        name, "account", NOW, "r", account, {"number": 1}, {"snapshot_id": "s"}, "d", 1, 2, 3.5
    )


@pytest.fixture
def archive(tmp_path: Path) -> StoreArchive:
    return StoreArchive(tmp_path, sqlite_url(tmp_path / "ledger.sqlite"))


def upload(archive: StoreArchive, rows: list[tuple[str, str, str, float]], key: str = "") -> int:
    columns = ("member_id", "account_id", "instrument_name", "quantity")
    table = pa.table({c: [r[i] for r in rows] for i, c in enumerate(columns)})
    book = book_from_table(table, where="test")
    archive.save_book(book)
    return archive.ledger.add_upload(
        key=key, content=book.id, accounts=len(book.accounts), positions=book.n_positions, now=NOW
    )


def apply(archive: StoreArchive, key: str, *trades: Trade) -> tuple[int, bool]:
    return archive.ledger.add_trades(trades, key=key, content=repr(trades), now=NOW)


def test_calculations_are_kept_once_and_listed_in_pages(archive: StoreArchive) -> None:
    ledger = archive.ledger
    ledger.add_calculations([record(f"c{i}", "A" if i % 2 else "B") for i in range(7)])
    ledger.add_calculations([record("c3"), record("c7"), record("c7")])
    ledger.add_calculations([])
    first, token = ledger.list_calculations(5, "")
    second, last = ledger.list_calculations(5, token)
    assert [r.calculation_id for r in first + second] == [f"c{i}" for i in range(7, -1, -1)]
    assert last == ""
    assert ledger.calculation("c3") == record("c3")
    only, _ = ledger.list_calculations(5, "", account_id="B")
    assert {r.account_id for r in only} == {"B"}
    with pytest.raises(UnknownCalculation):
        ledger.calculation("c99")


def test_readers_do_not_wait_for_a_writer(archive: StoreArchive) -> None:
    ledger = archive.ledger
    upload(archive, [("M", "A", NAMES[0], 1.0)])
    done = threading.Event()
    with ledger._database.writing():  # a writer in the middle of its transaction
        reader = threading.Thread(
            target=lambda: (ledger.portfolio_version(), ledger.heads(), done.set())
        )
        reader.start()
        assert done.wait(5.0), "a reader waited for the writer"
    reader.join()
    assert ledger.portfolio_version() == 1


def test_a_lost_connection_is_made_again(archive: StoreArchive) -> None:
    ledger = archive.ledger
    upload(archive, [("M", "A", NAMES[0], 1.0)])
    assert ledger.portfolio_version() == 1
    ledger._database._kept.connection.connection.driver_connection.close()
    assert ledger.portfolio_version() == 1
    ledger.close()
    assert not ledger._database._all_kept


def test_an_older_head_changes_nothing(archive: StoreArchive) -> None:
    archive.note_heads(Heads(4, "s4", "x"))
    archive.note_heads(Heads(3, "s3", "x"))
    assert archive.heads() == Heads(4, "s4", "x")


def test_a_key_is_for_one_change(archive: StoreArchive) -> None:
    trade = Trade("A", "M", NAMES[0], 1.0)
    assert apply(archive, "k", trade) == (1, False)
    assert apply(archive, "k", trade) == (1, True)
    with pytest.raises(KeyReused):
        apply(archive, "k", trade, trade)
    assert archive.ledger.portfolio_version() == 1


def test_many_writers_lose_nothing(archive: StoreArchive) -> None:
    def write(number: int) -> None:
        own = Ledger(archive.ledger_url)
        for i in range(10):
            own.add_trades(
                [Trade("A", "M", NAMES[0], 1.0)], key=f"{number}-{i}", content="x", now=NOW
            )
        own.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    positions = Positions(archive)
    assert positions.follow() == 40
    assert positions.held("A")[0].positions == {NAMES[0]: 40.0}


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "ledger.sqlite")
    ledger = Ledger(url)
    with ledger._database.writing() as connection:
        connection.exec_driver_sql("UPDATE about SET value = '99'")
    ledger.close()
    with pytest.raises(InvalidParameters, match="another version"):
        Ledger(url)


def test_an_upload_replaces_all_and_trades_add(archive: StoreArchive) -> None:
    positions = Positions(archive)
    assert positions.book() is None
    upload(archive, [("M", "A", NAMES[0], 2.0), ("N", "B", NAMES[1], -1.0)])
    apply(archive, "1", Trade("A", "M", NAMES[0], -2.0), Trade("C", "M", NAMES[2], 3.0))
    assert positions.follow() == 2
    assert positions.held("A")[0].positions == {}
    assert positions.held("C")[0].member_id == "M"
    book = positions.book()
    assert book is not None
    assert book is positions.book()
    assert book.accounts == ("B", "C")
    assert positions.held("B")[0].book.id == positions.held("B")[0].book.id
    upload(archive, [("N", "D", NAMES[1], 5.0)])
    assert not positions.is_current()
    positions.follow()
    with pytest.raises(UnknownAccount):
        positions.held("B")


def test_trades_need_known_members_and_contracts(archive: StoreArchive) -> None:
    upload(archive, [("M", "A", NAMES[0], 2.0)])
    positions = Positions(archive)
    good = positions.check_trades((Trade("A", "", NAMES[1], 1.0),))
    assert good[0].member_id == "M"
    bad = (
        Trade("A", "N", NAMES[0], 1.0),
        Trade("X", "", NAMES[0], 1.0),
        Trade("A", "", "BTC-WHAT", 1.0),
    )
    with pytest.raises(InvalidPortfolio) as caught:
        positions.check_trades(bad)
    assert [p.where for p in caught.value.problems] == [
        "trades[0].member_id",
        "trades[1].member_id",
        "trades[2].instrument_name",
    ]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.integers(-50, 50).map(lambda n: n / 10)), max_size=20
    )
)
def test_trades_add_up_in_any_order_and_nothing_is_held_of_nothing(
    trades: list[tuple[str, float]],
) -> None:
    held = add_quantities({}, trades)
    assert add_quantities({}, reversed(trades)) == held
    assert 0.0 not in held.values()
    assert add_quantities(held, [(name, -quantity) for name, quantity in held.items()]) == {}
