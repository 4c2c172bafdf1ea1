"""Positions followed from the ledger are those that were committed, on both databases."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import ChangeResult, Origin, PositionChange, Trade, trades_id
from margin_cluster.positions import Positions, add_quantities

from margin_actors.errors import InvalidPortfolio, UnknownAccount
from margin_actors.market.books import Book
from margin_actors.market.portfolios import book_from_table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("BTC-PERPETUAL", "ETH-PERPETUAL", "BTC-30JAN26-100000-C")


@pytest.fixture
def archive(tmp_path: Path, ledger_url: str) -> Iterator[StoreArchive]:
    archive = StoreArchive(tmp_path, ledger_url)
    yield archive
    archive.ledger.close()


def all_eligible(_book: Book) -> Mapping[tuple[str, str], str]:
    return {}


def upload(archive: StoreArchive, rows: list[tuple[str, str, str, float]]) -> ChangeResult:
    columns = ("member_id", "account_id", "instrument_name", "quantity")
    table = pa.table({c: [r[i] for r in rows] for i, c in enumerate(columns)})
    book = book_from_table(table, where="test")
    archive.save_book(book)
    return archive.ledger.change_positions(
        "upload",
        key="",
        content=book.id,
        origin=Origin(),
        now=NOW,
        decide=lambda: PositionChange(len(book.accounts), book.n_positions),
    )


def apply(archive: StoreArchive, key: str, *trades: Trade) -> ChangeResult:
    return archive.ledger.change_positions(
        "trades",
        key=key,
        content=trades_id(trades),
        origin=Origin(),
        now=NOW,
        decide=lambda: PositionChange(0, 0, trades),
    )


def test_an_upload_replaces_all_and_trades_add(archive: StoreArchive) -> None:
    positions = Positions(archive)
    assert positions.book()[0] is None
    upload(archive, [("M", "A", NAMES[0], 2.0), ("N", "B", NAMES[1], -1.0)])
    apply(archive, "1", Trade("A", "M", NAMES[0], -2.0), Trade("C", "M", NAMES[2], 3.0))
    assert positions.follow() == 2
    assert positions.held("A")[0].positions == {}
    assert positions.held("C")[0].member_id == "M"
    book, version = positions.book()
    assert book is not None
    assert version == 2
    assert book is positions.book()[0]
    assert book.accounts == ("B", "C")
    assert positions.held("B")[0].book.id == positions.held("B")[0].book.id
    upload(archive, [("N", "D", NAMES[1], 5.0)])
    assert not positions.is_current()
    positions.follow()
    with pytest.raises(UnknownAccount):
        positions.held("B")


def test_equal_positions_by_upload_and_by_trades_are_one_book(archive: StoreArchive) -> None:
    """The id of a book follows from its positions alone, however they were entered."""
    positions = Positions(archive)
    upload(archive, [("N", "B", NAMES[1], -1.0), ("M", "A", NAMES[0], 2.0)])
    uploaded, _ = positions.book()
    apply(archive, "1", Trade("C", "M", NAMES[0], 1.0), Trade("A", "M", NAMES[0], 1.0))
    apply(archive, "2", Trade("C", "M", NAMES[0], -1.0), Trade("A", "M", NAMES[0], -1.0))
    traded, _ = positions.book()
    assert uploaded is not None
    assert traded is not None
    assert traded.id == uploaded.id
    assert traded.accounts == ("A", "B")


def test_positions_checked_under_the_lock_include_every_committed_change(
    archive: StoreArchive,
) -> None:
    upload(archive, [("M", "A", NAMES[0], 2.0)])
    positions, other = Positions(archive), Positions(archive)
    other.follow()
    seen: list[float] = []

    def decide() -> PositionChange:
        checked = positions.check_trades((Trade("A", "", NAMES[0], 1.0),), all_eligible)
        seen.append(positions.held("A")[0].positions[NAMES[0]])
        return PositionChange(0, 0, checked)

    for number in range(3):
        archive.ledger.change_positions(
            "trades", key=f"{number}", content="c", origin=Origin(), now=NOW, decide=decide
        )
    assert seen == [2.0, 3.0, 4.0]
    assert other.follow() == 4
    assert other.held("A")[0].positions == {NAMES[0]: 5.0}


def test_trades_need_known_members_and_contracts(archive: StoreArchive) -> None:
    upload(archive, [("M", "A", NAMES[0], 2.0)])
    positions = Positions(archive)
    good = positions.check_trades((Trade("A", "", NAMES[1], 1.0),), all_eligible)
    assert good[0].member_id == "M"
    bad = (
        Trade("A", "N", NAMES[0], 1.0),
        Trade("X", "", NAMES[0], 1.0),
        Trade("A", "", "BTC-WHAT", 1.0),
    )
    with pytest.raises(InvalidPortfolio) as caught:
        positions.check_trades(bad, all_eligible)
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
def test_trades_add_up_in_any_order_and_a_position_of_zero_is_left_out(
    trades: list[tuple[str, float]],
) -> None:
    held = add_quantities({}, trades)
    assert add_quantities({}, reversed(trades)) == held
    assert 0.0 not in held.values()
    assert add_quantities(held, [(name, -quantity) for name, quantity in held.items()]) == {}
