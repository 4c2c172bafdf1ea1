"""Books and collateral read from tables."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.errors import InvalidPortfolio, Location, Problem, raise_if_any
from margin_actors.market.books import Book, book_of_grouped_rows, select_positions
from margin_actors.market.identity import content_id
from margin_actors.market.instruments import holding_fault
from margin_actors.market.tables import (
    ColumnKind,
    null_rows,
    number_column,
    require_columns,
    text_codes,
)

QUANTITY_MAX = 1e12
"""Largest absolute quantity of a position, and of the sum of its trades, in instrument units."""
_BOOK = "book"

BOOK_COLUMNS: dict[str, ColumnKind] = {
    "member_id": "text",
    "account_id": "text",
    "instrument_name": "text",
    "quantity": "number",
}


def book_from_table(
    table: pa.Table,
    *,
    where: str,
    as_of: datetime | None = None,
    unknown_names: Literal["refuse", "keep"] = "refuse",
) -> Book:
    """Return the book in a table with columns ``member_id, account_id, instrument_name, quantity``.

    Accounts and instruments are sorted by code point, so that equal positions give an equal book id
    whatever the order of the rows. Zero quantities are dropped, and so are accounts and instruments
    without a position. The function is vectorised: a million rows take well under a second.

    Parameters
    ----------
    table : pyarrow.Table
    where : str
        Name of the book in messages.
    as_of : aware datetime, optional
        Valuation time. If given, expired instruments are refused where unknown names are.
    unknown_names : {"refuse", "keep"}
        Whether names that do not denote a contract, and expired instruments, raise an error, or are
        kept for the assessment of the book, which excludes their accounts.

    Raises
    ------
    InvalidPortfolio
        Naming every null, every quantity that is NaN, infinite or larger than `QUANTITY_MAX` in
        absolute value, every refused instrument, every repeated position and every account with
        more than one member; or if the table is empty.
    """
    require_columns(table, BOOK_COLUMNS, where=where, error=InvalidPortfolio)
    rows = _BookRows(
        *text_codes(table, "member_id"),
        *text_codes(table, "account_id"),
        *text_codes(table, "instrument_name"),
        number_column(table, "quantity"),
        null_rows(table, "quantity"),
    )
    problems = _value_problems(rows)
    if unknown_names == "refuse":
        problems += _name_problems(rows.names, rows.name_code, as_of)
    sorting = _sorted_rows(rows)
    problems += _repeats(rows, sorting)
    problems += _member_conflicts(rows)
    raise_if_any(
        [problem.named(_BOOK, where) for problem in problems],
        InvalidPortfolio,
        f"the book {where} cannot be used",
    )
    return _book_of_rows(rows, sorting)


@dataclass(frozen=True)
class _BookRows:
    """Columns of a table of positions; codes are int32 (n_rows,), -1 for an empty field."""

    member_code: IndexArray
    """Index into `members`."""
    members: list[str]
    account_code: IndexArray
    """Index into `accounts`."""
    accounts: list[str]
    name_code: IndexArray
    """Index into `names`."""
    names: list[str]
    quantity: FloatArray
    """float64 (n_rows,), instrument units."""
    is_empty: BoolArray
    """bool (n_rows,): rows without a quantity, which is then NaN."""

    @property
    def complete(self) -> IntArray:
        """Rows without an empty text, ascending, int64."""
        codes = self.member_code, self.account_code, self.name_code
        return np.flatnonzero(np.min(codes, axis=0) >= 0)


@dataclass(frozen=True)
class _SortedRows:
    """Complete rows by account, then instrument; arrays (n_complete,)."""

    accounts: list[str]
    """Sorted account ids."""
    names: list[str]
    """Sorted instrument names."""
    order: IntArray
    """int64: number of each row in the table."""
    account: IndexArray
    """int32: index into `accounts`."""
    instrument: IndexArray
    """int32: index into `names`."""


def _sorted_rows(rows: _BookRows) -> _SortedRows:
    named = rows.complete
    rank_of_name, names = _ranks(rows.names)
    rank_of_account, accounts = _ranks(rows.accounts)
    instrument = rank_of_name[rows.name_code[named]]
    account = rank_of_account[rows.account_code[named]]
    key = account.astype(np.int64) * len(names) + instrument
    sorting = np.argsort(key, kind="stable")
    return _SortedRows(accounts, names, named[sorting], account[sorting], instrument[sorting])


def _book_of_rows(rows: _BookRows, sorting: _SortedRows) -> Book:
    """Return the book of rows that have no problems."""
    held = np.flatnonzero(rows.quantity[sorting.order] != 0.0)
    order, account = sorting.order[held], sorting.account[held]
    member_of = np.zeros(len(rows.accounts), np.int64)
    member_of[account] = rows.member_code[order]
    book = book_of_grouped_rows(
        sorting.accounts,
        [rows.members[m] for m in member_of.tolist()],
        sorting.names,
        account,
        sorting.instrument[held],
        rows.quantity[order],
    )
    return select_positions(book, np.diff(book.start) > 0, np.ones(order.size, np.bool_))


def _ranks(values: list[str]) -> tuple[IndexArray, list[str]]:
    """Return (ranks, sorted): the rank of each value by code point, and the sorted values."""
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.empty(len(values), np.int32)
    rank[order] = np.arange(len(values), dtype=np.int32)
    return rank, [values[i] for i in order]


def _value_problems(rows: _BookRows) -> list[Problem]:
    """Return the problems of single rows, and of a table without rows."""
    codes = {
        "member_id": rows.member_code,
        "account_id": rows.account_code,
        "instrument_name": rows.name_code,
    }
    problems = _row_problems(_BOOK, codes, "quantity", rows.quantity, rows.is_empty)
    problems += [
        Problem(
            Location(_BOOK, row=row),
            f"quantity is {rows.quantity[row]:g}",
            f"at most {QUANTITY_MAX:g} in absolute value",
        )
        for row in np.flatnonzero(
            np.isfinite(rows.quantity) & (np.abs(rows.quantity) > QUANTITY_MAX)
        ).tolist()
    ]
    if rows.quantity.size == 0:
        problems.append(Problem(Location(_BOOK), "the book is empty", "give at least one position"))
    return problems


def _name_problems(
    names: list[str], name_code: IndexArray, as_of: datetime | None
) -> list[Problem]:
    problems: list[Problem] = []
    for code, name in enumerate(names):
        fault = holding_fault(name, as_of)
        if fault is not None:
            rows = np.flatnonzero(name_code == code).tolist()
            place = Location(_BOOK, row=rows[0], more_rows=len(rows) - 1)
            problems.append(Problem(place, *fault))
    return problems


def _row_problems(
    source: str,
    codes: dict[str, IndexArray],
    number_name: str,
    numbers: FloatArray,
    is_empty: BoolArray,
) -> list[Problem]:
    """Return a problem per empty field and per number that is not finite, in the input `source`."""
    problems: list[Problem] = []
    for name, code in codes.items():
        problems += [
            Problem(Location(source, row=row), f"{name} is empty", "give a value in every row")
            for row in np.flatnonzero(code < 0).tolist()
        ]
    problems += [
        Problem(
            Location(source, row=row),
            f"{number_name} is {'empty' if is_empty[row] else numbers[row]}",
            "give a finite number",
        )
        for row in np.flatnonzero(~np.isfinite(numbers)).tolist()
    ]
    return problems


def _repeats(rows: _BookRows, sorting: _SortedRows) -> list[Problem]:
    """Return a problem per repeated position."""
    is_again = (np.diff(sorting.account) == 0) & (np.diff(sorting.instrument) == 0)
    return [
        Problem(
            Location(_BOOK, row=row),
            f"account {rows.accounts[rows.account_code[row]]} already has a position in "
            f"{rows.names[rows.name_code[row]]}",
            "add the quantities into one row",
        )
        for row in np.sort(sorting.order[1:][is_again]).tolist()
    ]


def _member_conflicts(rows: _BookRows) -> list[Problem]:
    """Return a problem per account with several members."""
    named, n_members = rows.complete, len(rows.members)
    pairs = np.unique(
        rows.account_code[named].astype(np.int64) * n_members + rows.member_code[named]
    )
    owner = pairs // n_members
    shared = np.unique(owner[1:][owner[1:] == owner[:-1]])
    return [
        Problem(
            Location(_BOOK),
            f"account {rows.accounts[a]} has more than one member",
            "assign it to one",
        )
        for a in shared
    ]


@dataclass(frozen=True)
class Collateral:
    """Deposits of accounts. All fields have one entry per deposit, n_deposits."""

    account_ids: tuple[str, ...]
    assets: tuple[str, ...]
    amounts: FloatArray
    """float64 (n_deposits,), units of the asset, at least 0."""

    @cached_property
    def id(self) -> str:
        """Content id."""
        return content_id(
            "collateral", {"a": self.account_ids, "b": self.assets, "c": self.amounts}
        )


def collateral_from_table(table: pa.Table, *, where: str) -> Collateral:
    """Return the deposits in a table with columns ``account_id, asset, amount``.

    Raises
    ------
    InvalidPortfolio
        Naming every row with an empty field or an amount that is negative or not finite.
    """
    require_columns(
        table,
        {"account_id": "text", "asset": "text", "amount": "number"},
        where=where,
        error=InvalidPortfolio,
    )
    account_code, accounts = text_codes(table, "account_id")
    asset_code, assets = text_codes(table, "asset")
    amounts = number_column(table, "amount")
    codes = {"account_id": account_code, "asset": asset_code}
    problems = _row_problems("collateral", codes, "amount", amounts, null_rows(table, "amount"))
    problems += [
        Problem(
            Location("collateral", row=row),
            f"amount is {amounts[row]}",
            "give an amount of at least 0",
        )
        for row in np.flatnonzero(amounts < 0).tolist()
    ]
    raise_if_any(
        [problem.named("collateral", where) for problem in problems],
        InvalidPortfolio,
        f"the collateral file {where} cannot be used",
    )
    return Collateral(
        tuple(accounts[c] for c in account_code), tuple(assets[c] for c in asset_code), amounts
    )
