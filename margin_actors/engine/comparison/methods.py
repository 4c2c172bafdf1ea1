"""Margins of every account by several methods, whole and in parts.

An account is margined as it is, and cut: by underlying, by expiry, by position. What a method asks
of the parts together less what it asks of the whole is the offset it recognises between them:

    positions of one expiry:  sum over positions - sum over expiries,
    expiries:                 sum over expiries - sum over underlyings,
    underlyings:              sum over underlyings - account.

A method that recognises none shows nothing; one that charges for a spread shows a negative offset.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.margin import calculate_margin
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.instruments import instrument_from_name
from margin_actors.market.portfolios import Book
from margin_actors.market.snapshots import MarketSnapshot

LEVELS: tuple[str, ...] = ("account", "underlyings", "expiries", "positions")
"""How finely accounts are cut, the whole first."""


@dataclass(frozen=True)
class MethodMargins:
    """One method's requirements, US dollars."""

    name: str
    model_id: str
    scenarios_id: str
    requirement_usd: FloatArray
    """float64 (n_accounts, n_levels): of the account, and summed over its parts at each level."""

    @property
    def offsets_usd(self) -> FloatArray:
        """float64 (n_accounts, 3): between underlyings, between expiries, within an expiry."""
        return np.diff(self.requirement_usd, axis=1)


@dataclass(frozen=True)
class Comparison:
    """All methods on one book."""

    book: Book
    snapshot_id: str
    methods: tuple[MethodMargins, ...]


def compare_methods(
    snapshot: MarketSnapshot,
    book: Book,
    methods: Mapping[str, tuple[ModelParameters, ScenarioSet]],
    *,
    threads: int = 1,
    tell: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> Comparison:
    """Return the requirements of every account by every method, whole and in parts.

    `tell` is told (method, done, of how many).

    Raises
    ------
    InvalidPortfolio, MissingMarketData, InvalidScenario
        If a method cannot margin the book.
    """
    cuts = {level: split_book(book, level) for level in LEVELS}
    owners = np.concatenate([owner for _, owner in cuts.values()])
    everything, sizes = _side_by_side([part for part, _ in cuts.values()])
    level_of = np.repeat(np.arange(len(LEVELS)), sizes)
    found: list[MethodMargins] = []
    for number, (name, (parameters, scenarios)) in enumerate(methods.items()):
        tell(name, number, len(methods))
        result = calculate_margin(
            snapshot, scenarios, everything, parameters, threads=threads
        ).complete()
        table = np.zeros((len(book.accounts), len(LEVELS)))
        np.add.at(table, (owners, level_of), result.initial_margin_usd)
        found.append(MethodMargins(name, parameters.id, scenarios.id, table))
    return Comparison(book, snapshot.id, tuple(found))


def split_book(book: Book, level: str) -> tuple[Book, IntArray]:
    """Return a book whose accounts are the parts of a book's accounts, and whose each part is.

    Parameters
    ----------
    book : Book
    level : str
        One of LEVELS.
    """
    instruments = [instrument_from_name(name) for name in book.instruments]
    keys: list[object]
    if level == "account":
        keys = [0] * len(instruments)
    elif level == "underlyings":
        keys = [i.underlying for i in instruments]
    elif level == "expiries":
        keys = [(i.underlying, i.expiry) for i in instruments]
    else:
        keys = list(book.instruments)
    number = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    group = np.array([number[key] for key in keys], np.int64)[book.instrument_index]
    account = np.repeat(np.arange(len(book.accounts)), np.diff(book.start))
    order = np.lexsort((book.instrument_index, group, account))
    cell = account[order] * (len(number) + 1) + group[order]
    starts = np.flatnonzero(np.append(True, np.diff(cell) != 0))
    owner = account[order][starts]
    names = list(number)
    labels = [
        f"{book.accounts[a]}|{names[g]}" for a, g in zip(owner, group[order][starts], strict=True)
    ]
    part = Book(
        tuple(labels),
        tuple(book.members[a] for a in owner),
        book.instruments,
        np.append(starts, cell.size).astype(np.int64),
        book.instrument_index[order],
        book.quantity[order],
    )
    return part, owner.astype(np.int64)


def _side_by_side(books: list[Book]) -> tuple[Book, list[int]]:
    """Return the accounts of books with the same instruments one after the other."""
    firsts = np.cumsum([0, *(b.n_positions for b in books)])
    starts = [b.start[:-1] + first for b, first in zip(books, firsts, strict=False)]
    whole = Book(
        tuple(a for b in books for a in b.accounts),
        tuple(m for b in books for m in b.members),
        books[0].instruments,
        np.concatenate([*starts, [firsts[-1]]]).astype(np.int64),
        np.concatenate([b.instrument_index for b in books]),
        np.concatenate([b.quantity for b in books]),
    )
    return whole, [len(b.accounts) for b in books]
