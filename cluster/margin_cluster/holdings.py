"""Positions and collateral from files, checked against each other."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from margin_actors.engine.margin import check_collateral
from margin_actors.errors import InvalidPortfolio, Problem, named_input
from margin_actors.market.books import Book
from margin_actors.market.portfolios import Collateral, book_from_table, collateral_from_table
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.tables import text_codes
from margin_cluster.archive import book_to_table
from margin_cluster.sources import ParquetStore, UsedFile, file_sha256, read_table

_NAMES_SHOWN = 10
UnknownAccounts: TypeAlias = Literal["refuse", "list"]
"""Treatment of collateral of accounts that are not in the book: refuse it, or list the accounts."""


@dataclass(frozen=True)
class Holdings:
    """The contents of a file of positions and, optionally, a file of collateral."""

    book: Book
    path: Path
    """File of the book."""
    accounts: frozenset[str]
    """Every account in the book's file, including accounts without a position."""
    used: tuple[UsedFile, ...]
    """The files with their hashes."""
    collateral: Collateral | None = None
    unknown_accounts: tuple[str, ...] = ()
    """Accounts with collateral that are not in the book's file; empty if these are refused."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences that list the accounts whose collateral is left out."""
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
    """Return the positions in a file, and store the book under its id.

    Without `as_of`, expired positions and unknown instrument names stay in the book: eligibility is
    assessed later for each account, so that one account does not prevent the margining of others.
    With `as_of`, rows that have expired by then or name an unknown instrument are refused.

    Raises
    ------
    InvalidPortfolio
        If `path` is None, or with every row that cannot be used.
    """
    if path is None:
        raise InvalidPortfolio(
            "no file of positions was given",
            [Problem("--book", "not given", "give a Parquet or CSV file of positions")],
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
    """Return the holdings with the collateral in a file.

    Raises
    ------
    InvalidPortfolio
        With every row that cannot be used, every asset without a price and, if `unknown_accounts`
        is "refuse", every account that is not in the book's file.
    """
    table = read_table(path, what="collateral", error=InvalidPortfolio)
    collateral = collateral_from_table(table, where=str(path))
    unknown = tuple(sorted({*collateral.account_ids} - held.accounts))
    known = {*held.accounts, *unknown} if unknown_accounts == "list" else held.accounts
    try:
        with named_input("collateral", str(path)):
            check_collateral(collateral, snapshot, known)
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
