"""Margins of every account under several methods, as a whole and split into sub-portfolios.

Each account is margined as a whole and split by underlying, by expiry and by position. The offset
that a method recognises between sub-portfolios is the sum of their margins minus the margin of
their union:

    positions of one expiry:  sum over positions - sum over expiries,
    expiries:                 sum over expiries - sum over underlyings,
    underlyings:              sum over underlyings - account.

The offset is zero if the method recognises none, and negative if it charges for the combination,
for example as a spread charge.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.margin import calculate_margin
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book, concat_books, split_accounts
from margin_actors.market.instruments import instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.progress import ProgressCallback, no_progress

LEVELS: tuple[str, ...] = ("account", "underlyings", "expiries", "positions")
"""Levels at which accounts are split, from the whole account to single positions."""


@dataclass(frozen=True)
class MethodMargins:
    """Margin requirements under one method, in US dollars."""

    name: str
    model_id: str
    scenarios_id: str
    requirement_usd: FloatArray
    """float64 (n_accounts, n_levels): requirements summed over the sub-portfolios of each account,
    with one column per element of LEVELS; a requirement is positive."""

    @property
    def offsets_usd(self) -> FloatArray:
        """Offsets recognised, float64 (n_accounts, 3).

        The columns are the offsets between underlyings, between expiries and within an expiry.
        """
        return np.diff(self.requirement_usd, axis=1)


@dataclass(frozen=True)
class Comparison:
    """Margin requirements of one book under all methods."""

    book: Book
    snapshot_id: str
    methods: tuple[MethodMargins, ...]


def compare_methods(
    snapshot: MarketSnapshot,
    book: Book,
    methods: Mapping[str, tuple[ModelParameters, ScenarioSet]],
    *,
    threads: int = 1,
    progress: ProgressCallback = no_progress,
) -> Comparison:
    """Return the requirements of every account under every method, whole and split.

    Parameters
    ----------
    snapshot : MarketSnapshot
    book : Book
    methods : mapping of str to (ModelParameters, ScenarioSet)
        Model and scenario set of each method, by name.
    threads : int
        Number of threads of each calculation.
    progress : callable
        Progress callback; receives (name of the method, methods done, number of methods).

    Raises
    ------
    InvalidPortfolio, MissingMarketData, InvalidScenario
        If a method cannot margin the book.
    """
    cuts = {level: split_book(book, level) for level in LEVELS}
    owners = np.concatenate([owner for _, owner in cuts.values()])
    everything = concat_books([split for split, _ in cuts.values()])
    sizes = [len(split.accounts) for split, _ in cuts.values()]
    level_of = np.repeat(np.arange(len(LEVELS)), sizes)
    found: list[MethodMargins] = []
    for number, (name, (model, scenarios)) in enumerate(methods.items()):
        progress(name, number, len(methods))
        result = calculate_margin(
            snapshot, scenarios, everything, model, threads=threads
        ).complete()
        table = np.zeros((len(book.accounts), len(LEVELS)))
        np.add.at(table, (owners, level_of), result.margins.initial_margin_usd)
        found.append(MethodMargins(name, model.id, scenarios.id, table))
    return Comparison(book, snapshot.id, tuple(found))


def split_book(book: Book, level: str) -> tuple[Book, IntArray]:
    """Return a book with one account per sub-portfolio, and the owner of each.

    Parameters
    ----------
    book : Book
    level : str
        One of LEVELS.

    Returns
    -------
    part : Book
        Accounts are ordered by owner; within an account, positions are ordered by instrument.
    owner : int64 array of shape (n_parts,)
        Index in `book.accounts` of the account to which each sub-portfolio belongs.
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
    return split_accounts(book, [number[key] for key in keys], [str(key) for key in number])
