"""Positions and deposits from files, checked against each other."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from margin_actors.engine.margin import check_collateral
from margin_actors.errors import InvalidPortfolio, Problem
from margin_actors.market.portfolios import (
    Book,
    Collateral,
    book_from_table,
    collateral_from_table,
)
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.tables import text_codes
from margin_cluster.archive import book_to_table
from margin_cluster.sources import ParquetStore, UsedFile, file_sha256, read_table


@dataclass(frozen=True)
class Holdings:
    """What a book's file, and with it a collateral file, says."""

    book: Book
    path: Path
    """Of the book."""
    accounts: frozenset[str]
    """Every account that the book's file names, also those without a position."""
    used: tuple[UsedFile, ...]
    collateral: Collateral | None = None


def read_book(store: ParquetStore, path: Path | None, *, as_of: datetime | None = None) -> Holdings:
    """Return the positions in a file; the book is kept in the store under its id.

    Without a time, positions that have expired and names that denote no contract are part of the
    book: which accounts can be margined is decided later, so that no account stops the others. With
    a time they are refused, by row.

    Raises
    ------
    InvalidPortfolio
        If no file is named, or naming every row that cannot be used.
    """
    if path is None:
        raise InvalidPortfolio(
            "there is no book to margin",
            [Problem("--book", "not given", "name a Parquet or CSV file of positions")],
        )
    table = read_table(path, what="book", error=InvalidPortfolio)
    book = book_from_table(
        table, where=str(path), as_of=as_of, unknown_names="refuse" if as_of else "keep"
    )
    store.put("books", book.id, book_to_table(book))
    accounts = frozenset(text_codes(table, "account_id")[1])
    return Holdings(book, path, accounts, (UsedFile("book", str(path), file_sha256(path)),))


def with_collateral_file(held: Holdings, path: Path, snapshot: MarketSnapshot) -> Holdings:
    """Return the holdings with the deposits in a file.

    Raises
    ------
    InvalidPortfolio
        Naming every row that cannot be used, every account that the book's file does not name, and
        every asset without a price.
    """
    table = read_table(path, what="collateral", error=InvalidPortfolio)
    collateral = collateral_from_table(table, where=str(path))
    check_collateral(collateral, snapshot, held.accounts, where=str(path))
    used = (*held.used, UsedFile("collateral", str(path), file_sha256(path)))
    return replace(held, collateral=collateral, used=used)
