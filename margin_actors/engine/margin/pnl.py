"""Profits of accounts over slices of the scenarios, and of a book over all of them.

The `SlicePnl` of all slices joined give the profits from which requirements are calculated; the
result is the same, bit for bit, however the rows were divided into slices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.engine.margin.cube_slice import (
    CubeSlice,
    applied_scenarios,
    price_alternative,
    price_applied,
)
from margin_actors.engine.margin.prepared_book import BookPnl, PreparedBook
from margin_actors.engine.margin.prepared_market import PreparedMarket
from margin_actors.engine.margin.sample import Sample
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation import (
    AccountProfits,
    Holdings,
    RiskCube,
    SliceProfits,
    TailRows,
    join_profits,
    join_slices,
    slice_profits,
)
from margin_actors.engine.scenarios import ScenarioSet

PRICE_BYTES_MAX = 64 * 2**20
"""Most bytes of prices held at once by `revalue_slice`: a few tiles of 20,000 contracts."""


@dataclass(frozen=True)
class SlicePnl:
    """Profits of the accounts of a book over one slice of the scenarios."""

    accounts: SliceProfits
    groups: SliceProfits | None
    """Profits of account groups over the core rows; None if the slice has no core rows or the model
    needs no groups."""
    alternatives: tuple[tuple[str, SliceProfits], ...]
    """Pairs (label, profits over the core rows); empty if the slice has no core rows."""


def slice_pnl(
    priced: CubeSlice, book: PreparedBook, *, keep_pnl: bool = False, threads: int = 1
) -> SlicePnl:
    """Return the profits of accounts and their groups over a slice of the risk cube.

    Parameters
    ----------
    priced : CubeSlice
        Prices of the contracts in which the book is prepared.
    book : PreparedBook
    keep_pnl : bool
        Keep the profit in every row even if the measures do not need it.
    threads : int
        Number of threads; the result does not depend on it.
    """
    sample, cube = book.inputs.sample, priced.cube
    accounts = slice_profits(
        cube.values,
        book.holdings,
        n_scenarios=cube.n_scenarios,
        tails=sample.tails,
        largest_move=cube.largest_move,
        first_scenario=priced.first_scenario,
        keep_pnl=keep_pnl or sample.needs_all,
        threads=threads,
    )
    if priced.n_core == 0:
        return SlicePnl(accounts, None, ())

    first, n = priced.first_scenario, priced.n_core
    grouped = None
    if book.groups is not None:
        grouped = _over_core(cube, book.groups.holdings, first, n, sample, threads)
    others = tuple(
        (label, _over_core(prices, book.holdings, first, n, sample, threads))
        for label, prices in priced.alternatives
    )
    return SlicePnl(accounts, grouped, others)


def alternative_pnl(
    market: PreparedMarket,
    core: ScenarioSet,
    own: RiskCube,
    book: PreparedBook,
    *,
    threads: int = 1,
) -> tuple[tuple[str, SliceProfits], ...]:
    """Return (label, profits of accounts over all core rows) of each alternative.

    The result is the same as from a slice that holds the alternatives. They are priced one at a
    time into one buffer, so that their prices are not kept.

    Parameters
    ----------
    market : PreparedMarket
    core : ScenarioSet
        The core rows of the set.
    own : RiskCube
        The market's own prices, from scenario 0 over at least the core rows.
    book : PreparedBook
        Positions in the market's contracts.
    threads : int
    """
    applied, _ = applied_scenarios(market, core)
    work = np.empty((-(-len(core) // TILE), len(market.contracts), TILE))
    sample = book.inputs.sample
    found: list[tuple[str, SliceProfits]] = []
    for other in market.alternatives:
        prices = price_alternative(market, other, applied, own, threads, work)
        profits = _over_core(prices, book.holdings, 0, len(core), sample, threads)
        found.append((other.label, profits))
    return tuple(found)


def _over_core(
    prices: RiskCube, of: Holdings, first: int, n_core: int, sample: Sample, threads: int
) -> SliceProfits:
    return slice_profits(
        prices.values[: -(-n_core // TILE)],
        of,
        n_scenarios=n_core,
        tails=sample.tails[:1],
        largest_move=prices.largest_move,
        first_scenario=first,
        keep_pnl=sample.core_needs_all,
        threads=threads,
    )


def revalue_slice(
    market: PreparedMarket,
    scenarios: ScenarioSet,
    first_scenario: int,
    book: PreparedBook,
    *,
    keep_pnl: bool = False,
    price_bytes_max: int = PRICE_BYTES_MAX,
) -> SlicePnl:
    """Return the profits of accounts over a slice, holding only a few tiles of prices at once.

    For portfolios whose prices would not fit into memory: 20,000 contracts in 100,000 scenarios
    take 16 GB.

    Parameters
    ----------
    market, scenarios, first_scenario
        As in `price_slice`.
    book, keep_pnl
        As in `slice_pnl`.
    price_bytes_max : int
        Most bytes of prices held at once, but at least one tile.
    """
    sample, n_contracts = book.inputs.sample, len(market.contracts)
    tiles = max(1, price_bytes_max // (n_contracts * TILE * 8))
    step = tiles * TILE
    applied, _ = applied_scenarios(market, scenarios)
    # One buffer is reused for all batches of tiles, so that it stays in the processor's cache.
    work = np.empty((min(tiles, -(-len(scenarios) // TILE)), n_contracts, TILE))
    found: list[SlicePnl] = []
    for begin in range(0, len(scenarios), step):
        rows = applied.rows(begin, min(begin + step, len(scenarios)))
        first = first_scenario + begin
        core = max(0, min(sample.n_scenarios - first, len(rows)))
        priced = price_applied(market, rows, first, core, work)
        found.append(slice_pnl(priced, book, keep_pnl=keep_pnl))
        if not (keep_pnl or sample.needs_all):
            found = [join_slice_pnl(found, tails=sample.tails)]
    return join_slice_pnl(found, tails=sample.tails)


def join_slice_pnl(slices: Sequence[SlicePnl], *, tails: Sequence[TailRows]) -> SlicePnl:
    """Return adjacent slices joined into one; they may be in any order, but without a gap.

    `tails` are those of the sample.
    """
    ordered = sorted(slices, key=lambda item: item.accounts.first_scenario)
    accounts = join_slices([item.accounts for item in ordered], tails=tails)
    grouped = [item.groups for item in ordered if item.groups is not None]
    groups = join_slices(grouped, tails=tails[:1]) if grouped else None
    labels = [label for label, _ in ordered[0].alternatives]
    others = tuple(
        (
            label,
            join_slices(
                [item.alternatives[k][1] for item in ordered if item.alternatives],
                tails=tails[:1],
            ),
        )
        for k, label in enumerate(labels)
    )
    return SlicePnl(accounts, groups, others)


def book_pnl(slices: Sequence[SlicePnl], book: PreparedBook) -> BookPnl:
    """Return the profits of a book from those of all slices.

    Parameters
    ----------
    slices : sequence of SlicePnl
        In any order, but without a gap.
    book : PreparedBook
        The book from which the slices were computed.

    Raises
    ------
    InvalidPortfolio
        If the profits of accounts are too large to be summed exactly; names all of them.
    """
    tails = book.inputs.sample.tails
    whole = join_slice_pnl(slices, tails=tails)

    def joined(profits: SliceProfits, of: Holdings, names: Sequence[str]) -> AccountProfits:
        return join_profits([profits], of, tails=tails, accounts=names)

    own = joined(whole.accounts, book.holdings, book.accounts)
    grouped = None
    if whole.groups is not None and book.groups is not None:
        owners = [book.accounts[owner] for owner in book.groups.owner.tolist()]
        grouped = joined(whole.groups, book.groups.holdings, owners)
    others = tuple(
        (label, joined(profits, book.holdings, book.accounts))
        for label, profits in whole.alternatives
    )
    return BookPnl(own, grouped, others)
