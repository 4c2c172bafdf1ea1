"""Positions in memory follow the ledger; a gateway takes in its own upload without reading it."""

from pathlib import Path

import pytest
from ledger_records import trade, upload
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import Trade, sqlite_url
from margin_cluster.positions import Positions

from margin_actors.errors import MissingMarketData
from margin_actors.market.books import Book, book_of_portfolios

PERPETUAL = "BTC-PERPETUAL"


@pytest.fixture
def archive(tmp_path: Path) -> StoreArchive:
    return StoreArchive(tmp_path, sqlite_url(tmp_path / "ledger.sqlite"))


def book_of(quantity: float) -> Book:
    return book_of_portfolios([("A", "M", {PERPETUAL: quantity}), ("B", "M", {PERPETUAL: 1.0})])


def stored(archive: StoreArchive, book: Book) -> Path:
    archive.save_book(book)
    return archive.store.path("books", book.id)


def test_an_upload_of_this_process_is_not_read_from_the_store(archive: StoreArchive) -> None:
    book = book_of(10.0)
    stored(archive, book).unlink()
    change = upload(archive.ledger, book.id)
    own, other = Positions(archive), Positions(archive)
    own.take_in(change.version, book)
    assert own.book()[0] is book
    assert own.held("A")[0].positions == {PERPETUAL: 10.0}
    assert other.follow() == change.version
    with pytest.raises(MissingMarketData):
        other.held("A")
    archive.ledger.close()


def test_trades_follow_an_upload_that_was_taken_in(archive: StoreArchive) -> None:
    book = book_of(10.0)
    path = stored(archive, book)
    own, other = Positions(archive), Positions(archive)
    own.take_in(upload(archive.ledger, book.id).version, book)
    trade(archive.ledger, "", Trade("A", "M", PERPETUAL, 2.5))
    assert own.follow() == other.follow() == 2
    assert own.held("A")[0] == other.held("A")[0]
    assert own.counts() == other.counts() == (2, 2)
    assert path.exists()
    archive.ledger.close()


def test_an_upload_that_was_overtaken_is_not_taken_in(archive: StoreArchive) -> None:
    first, second = book_of(10.0), book_of(20.0)
    stored(archive, second)
    positions = Positions(archive)
    version = upload(archive.ledger, first.id).version
    upload(archive.ledger, second.id)
    assert positions.follow() == 2
    positions.take_in(version, first)
    book, version = positions.book()
    assert book is not None
    assert (book.id, version) == (second.id, 2)
    archive.ledger.close()
