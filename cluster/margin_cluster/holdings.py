"""Positions and deposits from files, checked against each other."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

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

_NAMES_SHOWN = 10
UnknownAccounts: TypeAlias = Literal["refuse", "list"]
"""What to do with collateral of accounts that are not in the book."""


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
    unknown_accounts: tuple[str, ...] = ()
    """Accounts with collateral that the book's file does not name, if they are not refused."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences on deposits that are part of no account's result."""
        if self.collateral is None:
            return ()
        idle = {*self.collateral.account_ids} - {*self.book.accounts}
        groups = {
            "hold no position": sorted(idle - {*self.unknown_accounts}),
            "are not in the book": list(self.unknown_accounts),
        }
        return tuple(
            f"Accounts with collateral that {what} ({len(names):,}), left out: "
            + ", ".join(names[:_NAMES_SHOWN])
            + (", …" if names[_NAMES_SHOWN:] else "")
            for what, names in groups.items()
            if names
        )


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


def with_collateral_file(
    held: Holdings, path: Path, snapshot: MarketSnapshot, *, unknown_accounts: UnknownAccounts
) -> Holdings:
    """Return the holdings with the deposits in a file.

    Raises
    ------
    InvalidPortfolio
        Naming every row that cannot be used, every asset without a price and, if they are to be
        refused, every account that the book's file does not name.
    """
    table = read_table(path, what="collateral", error=InvalidPortfolio)
    collateral = collateral_from_table(table, where=str(path))
    unknown = tuple(sorted({*collateral.account_ids} - held.accounts))
    known = {*held.accounts, *unknown} if unknown_accounts == "list" else held.accounts
    try:
        check_collateral(collateral, snapshot, known, where=str(path))
    except InvalidPortfolio as error:
        if known >= {*unknown}:
            raise
        raise InvalidPortfolio(
            f"{error.summary}; --list-unknown-collateral leaves out accounts that are not in the "
            "book and lists them",
            error.problems,
        ) from None
    used = (*held.used, UsedFile("collateral", str(path), file_sha256(path)))
    return replace(
        held,
        collateral=collateral,
        used=used,
        unknown_accounts=tuple(a for a in unknown if a in known),
    )
