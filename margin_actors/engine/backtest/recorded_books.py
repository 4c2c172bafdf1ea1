"""The accounts that a backtest on recorded chains margins together on one date.

Several books are margined in one market preparation. The accounts and members of different books
are kept apart by a prefix, because charges may depend on all accounts of one member.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray
from margin_actors.engine.backtest.listed_levels import listed_levels
from margin_actors.engine.backtest.outcomes import IndexPath, realised_profits
from margin_actors.engine.backtest.portfolios import PORTFOLIOS
from margin_actors.market.books import (
    Book,
    accounts_of_positions,
    book_of_portfolios,
    join_books,
    select_instruments,
    select_positions,
)
from margin_actors.market.portfolios import Collateral
from margin_actors.market.snapshots import MarketSnapshot

BENCHMARK = "benchmark"
"""Name of the group of the benchmark portfolios; the group of a book has the book's name."""
_UNCHANGED = "unchanged "


@dataclass(frozen=True)
class RecordedBook:
    """A book that is held unchanged over all dates."""

    name: str
    """Name of the group; without a slash."""
    book: Book
    collateral: Collateral | None = None
    """Deposits of its accounts, held unchanged; None if unknown."""


@dataclass(frozen=True)
class HeldPositions:
    """Positions of a book with a known outcome, and their profits."""

    book: Book
    """The accounts with at least one such position, with these positions only."""
    profit_usd: FloatArray
    """float64 (n_instruments,): profit of one unit of each instrument of `book`, US dollars."""
    positions_left_out: int
    """Number of positions without an outcome."""


def with_outcomes(
    book: Book, now: MarketSnapshot, then: MarketSnapshot, index: Mapping[str, IndexPath]
) -> HeldPositions:
    """Return the positions of a book whose profit between two snapshots is known.

    See `realised_profits`.
    """
    profit = realised_profits(book.instruments, now, then, index)
    known = np.isfinite(profit)
    kept = _with_positions(book, known[book.instrument_index])
    of = dict(zip(book.instruments, profit.tolist(), strict=True))
    return HeldPositions(
        kept,
        np.array([of[name] for name in kept.instruments], np.float64),
        book.n_positions - kept.n_positions,
    )


def _with_positions(book: Book, positions: BoolArray) -> Book:
    """Return the book with the chosen positions and without accounts that hold none of them."""
    held = np.bincount(accounts_of_positions(book)[positions], minlength=len(book.accounts)) > 0
    return select_positions(book, held, positions)


def unchanged_part(book: Book, always_listed: Collection[str]) -> Book:
    """Return the positions of a book in perpetuals, spot and contracts that are always listed.

    `always_listed` are the names of the options and futures that every date lists. All accounts
    remain, also those without such positions.
    """
    names = set(always_listed)
    dated = [name.count("-") >= 1 and not name.endswith(("-PERPETUAL", "-SPOT")) for name in
             book.instruments]  # fmt: skip
    chosen = np.array(
        [not d or n in names for d, n in zip(dated, book.instruments, strict=True)], np.bool_
    )
    return select_instruments(book, chosen)


def benchmark_on(snapshot: MarketSnapshot) -> Book:
    """Return the benchmark portfolios in the listed contracts of a snapshot.

    Each portfolio is the only account of a member of its own name.

    Raises
    ------
    MissingMarketData
        As `listed_levels`.
    """
    levels = listed_levels(snapshot)
    return book_of_portfolios((name, name, make(levels)) for name, make in PORTFOLIOS.items())


def joined(groups: Sequence[tuple[str, Book]]) -> Book:
    """Return one book with the accounts of all groups, named ``group/account``."""
    return join_books(groups)


def unchanged_name(group: str) -> str:
    """Return the name of the group with the unchanged parts of a group's accounts."""
    return _UNCHANGED + group


def is_unchanged(group: str) -> bool:
    """Return whether a group holds unchanged parts of accounts, as named by `unchanged_name`."""
    return group.startswith(_UNCHANGED)


def group_of(name: str) -> tuple[str, str]:
    """Return (group, account or member) of a name in a joined book."""
    group, _, own = name.partition("/")
    return group, own
