"""Books and collateral read from tables."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa

from margin_actors.arrays import FloatArray, IndexArray, IntArray
from margin_actors.errors import InvalidPortfolio, Problem, raise_if_any
from margin_actors.market.books import Book, book_of_grouped_rows, select_positions
from margin_actors.market.identity import content_id
from margin_actors.market.instruments import holding_fault
from margin_actors.market.tables import ColumnKind, number_column, require_columns, text_codes

QUANTITY_MAX = 1e12
"""Largest absolute quantity of a position, and of the sum of its trades, in instrument units."""


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
    member_code, members = text_codes(table, "member_id")
    account_code, accounts = text_codes(table, "account_id")
    name_code, names = text_codes(table, "instrument_name")
    quantity = number_column(table, "quantity")
    codes = {"member_id": member_code, "account_id": account_code, "instrument_name": name_code}
    problems = _row_problems(where, codes, "quantity", quantity)
    problems += [
        Problem(
            f"{where}, row {row}",
            f"quantity is {quantity[row]:g}",
            f"at most {QUANTITY_MAX:g} in absolute value",
        )
        for row in np.flatnonzero(np.isfinite(quantity) & (np.abs(quantity) > QUANTITY_MAX))
    ]
    if table.num_rows == 0:
        problems.append(Problem(where, "the book is empty", "give at least one position"))
    if unknown_names == "refuse":
        problems += _name_problems(where, names, name_code, as_of)

    rank_of_name, sorted_names = _ranks(names)
    rank_of_account, sorted_accounts = _ranks(accounts)
    named = np.flatnonzero((member_code >= 0) & (account_code >= 0) & (name_code >= 0))
    instrument, account = rank_of_name[name_code[named]], rank_of_account[account_code[named]]
    key = account.astype(np.int64) * len(names) + instrument
    sorting = np.argsort(key, kind="stable")
    order, sorted_key = named[sorting], key[sorting]
    problems += _repeats(where, order, sorted_key, accounts, names, account_code, name_code)
    problems += _member_conflicts(where, accounts, members, account_code[named], member_code[named])
    raise_if_any(problems, InvalidPortfolio, f"the book {where} cannot be used")

    held = np.flatnonzero(quantity[order] != 0.0)
    order = order[held]
    account, instrument = account[sorting][held], instrument[sorting][held]
    member_of = np.zeros(len(accounts), np.int64)
    member_of[account] = member_code[order]
    book = book_of_grouped_rows(
        sorted_accounts,
        [members[m] for m in member_of.tolist()],
        sorted_names,
        account,
        instrument,
        quantity[order],
    )
    return select_positions(book, np.diff(book.start) > 0, np.ones(order.size, np.bool_))


def _ranks(values: list[str]) -> tuple[IndexArray, list[str]]:
    """Return (ranks, sorted): the rank of each value by code point, and the sorted values."""
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.empty(len(values), np.int32)
    rank[order] = np.arange(len(values), dtype=np.int32)
    return rank, [values[i] for i in order]


def _name_problems(
    where: str, names: list[str], name_code: IndexArray, as_of: datetime | None
) -> list[Problem]:
    problems: list[Problem] = []
    for code, name in enumerate(names):
        fault = holding_fault(name, as_of)
        if fault is not None:
            rows = np.flatnonzero(name_code == code)
            more = f" and {rows.size - 1} more" if rows.size > 1 else ""
            problems.append(Problem(f"{where}, row {rows[0]}{more}", *fault))
    return problems


def _row_problems(
    where: str, codes: dict[str, IndexArray], number_name: str, numbers: FloatArray
) -> list[Problem]:
    problems: list[Problem] = []
    bad = ~np.isfinite(numbers)
    for name, code in codes.items():
        problems += [
            Problem(f"{where}, row {row}", f"{name} is empty", "give a value in every row")
            for row in np.flatnonzero(code < 0)
        ]
    problems += [
        Problem(f"{where}, row {row}", f"{number_name} is {numbers[row]}", "give a finite number")
        for row in np.flatnonzero(bad)
    ]
    return problems


def _repeats(
    where: str,
    order: IntArray,
    sorted_key: IntArray,
    accounts: list[str],
    names: list[str],
    account_code: IndexArray,
    name_code: IndexArray,
) -> list[Problem]:
    again = order[1:][sorted_key[1:] == sorted_key[:-1]]
    return [
        Problem(
            f"{where}, row {row}",
            f"account {accounts[account_code[row]]} already has a position in "
            f"{names[name_code[row]]}",
            "add the quantities into one row",
        )
        for row in np.sort(again)
    ]


def _member_conflicts(
    where: str,
    accounts: list[str],
    members: list[str],
    account_code: IndexArray,
    member_code: IndexArray,
) -> list[Problem]:
    pairs = np.unique(account_code.astype(np.int64) * len(members) + member_code)
    owner = pairs // len(members)
    shared = np.unique(owner[1:][owner[1:] == owner[:-1]])
    return [
        Problem(where, f"account {accounts[a]} has more than one member", "assign it to one")
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
    problems = _row_problems(where, codes, "amount", amounts)
    problems += [
        Problem(f"{where}, row {row}", f"amount is {amounts[row]}", "give an amount of at least 0")
        for row in np.flatnonzero(amounts < 0)
    ]
    raise_if_any(problems, InvalidPortfolio, f"the collateral file {where} cannot be used")
    return Collateral(
        tuple(accounts[c] for c in account_code), tuple(assets[c] for c in asset_code), amounts
    )
