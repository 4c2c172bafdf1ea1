"""A market held ready: priced once in every scenario, then asked for many margins.

`calculate_margin` starts from nothing and prices the instruments of one book. A service prices all
listed contracts once (in slices of the scenarios, anywhere) and answers from the result; contracts
that are not listed are priced when they are asked for. The bits are the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.margin.calculation import fit_model_surfaces
from margin_actors.engine.margin.margins import (
    Margins,
    Sample,
    margins_from_profits,
    position_sums,
    sample_of,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation import (
    AccountProfits,
    Contracts,
    Holdings,
    ShockCheck,
    SliceProfits,
    build_cube,
    contracts_from_names,
    holdings_from_book,
    join_profits,
    join_slices,
    listed_names,
    repair_shocked_surfaces,
    slice_profits,
    unit_values,
    values_today,
)
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.portfolios import Book
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface

CHUNK_BYTES = 64 * 2**20
"""Prices kept at once where they are summed and forgotten: a few tiles of 20,000 contracts."""


@dataclass(frozen=True)
class PreparedMarket:
    """A snapshot with its smiles and some of its contracts as the pricing kernel reads them."""

    snapshot: MarketSnapshot
    parameters: ModelParameters
    surfaces: Mapping[str, VolatilitySurface]
    contracts: Contracts
    value_today: FloatArray
    """float64 (n_contracts,): value of one unit today, US dollars, before daily settlement."""

    @cached_property
    def unit_value_usd(self) -> FloatArray:
        """float64 (n_contracts,): value of one unit; 0 for futures and perpetuals."""
        return unit_values(self.contracts, self.value_today)

    @property
    def surface_ids(self) -> tuple[str, ...]:
        """Content ids of the smiles."""
        return tuple(surface.id for surface in self.surfaces.values())

    def lay_out(self, names: Sequence[str], *, where: str = "book") -> "PreparedMarket":
        """Return the same market with the contracts of `names`.

        Raises
        ------
        InvalidPortfolio, MissingMarketData
            Naming everything that cannot be priced.
        """
        revaluation = self.parameters.revaluation
        contracts = contracts_from_names(
            names, self.snapshot, self.surfaces, revaluation, where=where
        )
        today = values_today(contracts, self.snapshot, revaluation)
        return PreparedMarket(self.snapshot, self.parameters, self.surfaces, contracts, today)


def prepare_market(snapshot: MarketSnapshot, parameters: ModelParameters) -> PreparedMarket:
    """Return the market with fitted smiles and all listed contracts laid out.

    Raises
    ------
    MissingMarketData
        If a smile cannot be fitted.
    """
    surfaces = fit_model_surfaces(snapshot, parameters)
    revaluation = parameters.revaluation
    names = listed_names(snapshot, surfaces, revaluation)
    contracts = contracts_from_names(names, snapshot, surfaces, revaluation, where="snapshot")
    today = values_today(contracts, snapshot, revaluation)
    return PreparedMarket(snapshot, parameters, surfaces, contracts, today)


@dataclass(frozen=True)
class Slab:
    """The risk cube of all listed contracts over a slice of the scenarios."""

    first_scenario: int
    n_scenarios: int
    values: FloatArray
    """float64 (n_tiles, n_contracts, TILE), as `RiskCube.values`."""
    largest_move: FloatArray
    """float64 (n_contracts,)."""
    checks: tuple[ShockCheck, ...]
    """What the check of the slice's shocked surfaces found."""


def applied_scenarios(
    market: PreparedMarket, scenarios: ScenarioSet
) -> tuple[ScenarioSet, tuple[ShockCheck, ...]]:
    """Return the scenarios with surface moves that this market's smiles can take."""
    if market.surfaces and market.parameters.revaluation.shocked_surfaces == "repair":
        return repair_shocked_surfaces(scenarios, dict(market.surfaces))
    return scenarios, ()


def price_slab(market: PreparedMarket, part: ScenarioSet, first_scenario: int) -> Slab:
    """Return the prices of all laid out contracts over a slice that begins a tile."""
    applied, checks = applied_scenarios(market, part)
    return replace(_price_applied(market, applied, first_scenario), checks=checks)


def _price_applied(
    market: PreparedMarket,
    applied: ScenarioSet,
    first_scenario: int,
    out: FloatArray | None = None,
) -> Slab:
    assert first_scenario % TILE == 0
    cube = build_cube(
        market.contracts,
        market.snapshot,
        applied,
        market.parameters.revaluation,
        base_value=market.value_today,
        out=out,
    )
    return Slab(first_scenario, len(applied), cube.values, cube.largest_move, ())


def revalue_slice(
    market: PreparedMarket,
    part: ScenarioSet,
    first_scenario: int,
    holdings: Holdings,
    *,
    n_tail: int,
    keep_pnl: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> SliceProfits:
    """Return the profits of accounts over a slice, keeping only a few tiles of prices at once.

    For portfolios whose prices would not fit into memory: 20,000 contracts in 100,000 scenarios
    are 16 GB.
    """
    n_contracts = len(market.contracts)
    tiles = max(1, chunk_bytes // (n_contracts * TILE * 8))
    step = tiles * TILE
    applied, _ = applied_scenarios(market, part)
    # One piece of memory, written again and again, stays in the processor's cache.
    work = np.empty((min(tiles, -(-len(part) // TILE)), n_contracts, TILE))
    found: list[SliceProfits] = []
    for begin in range(0, len(part), step):
        rows = applied.rows(begin, min(begin + step, len(part)))
        slab = _price_applied(market, rows, first_scenario + begin, work)
        found.append(slab_profits(slab, holdings, n_tail=n_tail, keep_pnl=keep_pnl))
        if not keep_pnl:
            found = [join_slices(found, n_tail=n_tail)]
    return join_slices(found, n_tail=n_tail)


def slab_profits(
    slab: Slab, holdings: Holdings, *, n_tail: int, keep_pnl: bool = False
) -> SliceProfits:
    """Return the profits of accounts over a slab."""
    return slice_profits(
        slab.values,
        holdings,
        n_scenarios=slab.n_scenarios,
        n_tail=n_tail,
        largest_move=slab.largest_move,
        first_scenario=slab.first_scenario,
        keep_pnl=keep_pnl,
    )


@dataclass(frozen=True)
class LaidOut:
    """A book as the kernels of one priced market take it."""

    book: Book
    market: PreparedMarket
    holdings: Holdings
    value_usd: FloatArray
    """float64 (n_accounts,): summed in the order of an account's positions."""
    positions: IntArray
    """int64 (n_accounts,): number of positions."""
    where: str
    """Name of the book in messages."""


@dataclass(frozen=True)
class PricedMarket:
    """A prepared market with its scenarios and, where they fit into memory, all its prices."""

    market: PreparedMarket
    scenarios: ScenarioSet
    slabs: tuple[Slab, ...] | None
    """In the order of the scenarios; None where prices are made when they are needed."""

    @cached_property
    def sample(self) -> Sample:
        """What the measures need to know of the scenarios."""
        return sample_of(self.scenarios, self.market.parameters)

    def holds_prices_of(self, names: Iterable[str]) -> bool:
        """Return whether every one of `names` is priced already."""
        place = self.market.contracts.place
        return self.slabs is not None and all(map(place.__contains__, names))

    def lay_out(self, book: Book, *, where: str = "book") -> LaidOut:
        """Return a book as the kernels take it.

        The contracts are the listed ones where these suffice, else exactly the book's.

        Raises
        ------
        InvalidPortfolio, MissingMarketData
            Naming everything that cannot be margined.
        """
        market = self.market
        if not book.instruments:  # nothing is held: any one contract does
            market = market.lay_out(market.contracts.names[:1], where=where)
        elif not self.holds_prices_of(book.instruments):
            market = market.lay_out(book.instruments, where=where)
        holdings = holdings_from_book(market.contracts, book, where=where)
        value = position_sums(market.unit_value_usd, holdings.start, holdings.index, book.quantity)
        return LaidOut(book, market, holdings, value, np.diff(book.start), where)

    def profits(self, laid: LaidOut, *, keep_pnl: bool = False) -> AccountProfits:
        """Return the worst profits of every account over all scenarios."""
        n_tail, holdings = self.sample.n_tail, laid.holdings
        if self.slabs is None:
            parts = [
                revalue_slice(
                    laid.market, self.scenarios, 0, holdings, n_tail=n_tail, keep_pnl=keep_pnl
                )
            ]
        else:
            parts = [
                slab_profits(slab, holdings, n_tail=n_tail, keep_pnl=keep_pnl)
                for slab in self.slabs_of(laid.market)
            ]
        return join_profits(
            parts, holdings, n_tail=n_tail, accounts=laid.book.accounts, where=laid.where
        )

    def margins(self, book: Book | LaidOut, *, where: str = "book") -> Margins:
        """Return the margins of every account of a book, on one thread.

        Raises
        ------
        InvalidPortfolio, MissingMarketData
            Naming everything that cannot be margined.
        """
        laid = book if isinstance(book, LaidOut) else self.lay_out(book, where=where)
        profits = self.profits(laid, keep_pnl=self.sample.needs_all)
        return margins_from_profits(
            profits,
            self.sample,
            laid.market.parameters,
            positions=laid.positions,
            value_usd=laid.value_usd,
        )

    def position_profits_usd(self, book: Book, *, where: str = "portfolio") -> FloatArray:
        """Return the profit of each position of a one-account book, (n_positions, n_scenarios)."""
        laid = self.lay_out(book, where=where)
        market, holdings = laid.market, laid.holdings
        if self.slabs is None:
            slabs: Sequence[Slab] = [price_slab(market, self.scenarios, 0)]
        else:
            slabs = self.slabs_of(market)
        out = np.empty((book.n_positions, len(self.scenarios)))
        for slab in slabs:
            span = slice(slab.first_scenario, slab.first_scenario + slab.n_scenarios)
            for p, column in enumerate(holdings.index):
                row = slab.values[:, column, :].reshape(-1)[: slab.n_scenarios]
                out[p, span] = book.quantity[p] * (row / market.contracts.ticks_per_usd[column])
        return out

    def slabs_of(self, market: PreparedMarket) -> Sequence[Slab]:
        """Return the prices of another layout of this market: taken where listed, else made."""
        assert self.slabs is not None
        if market is self.market:
            return self.slabs
        listed = self.market.contracts.place
        names = market.contracts.names
        known = np.array([i for i, name in enumerate(names) if name in listed], np.int64)
        column = np.array([listed[names[i]] for i in known], np.int64)
        new = np.array([i for i, name in enumerate(names) if name not in listed], np.int64)
        made = self.market.lay_out([names[i] for i in new])
        out: list[Slab] = []
        for slab in self.slabs:
            rows = self.scenarios.rows(slab.first_scenario, slab.first_scenario + slab.n_scenarios)
            extra = price_slab(made, rows, slab.first_scenario)
            values = np.empty((slab.values.shape[0], len(names), TILE))
            values[:, known] = slab.values[:, column]
            values[:, new] = extra.values
            largest = np.empty(len(names))
            largest[known], largest[new] = slab.largest_move[column], extra.largest_move
            out.append(Slab(slab.first_scenario, slab.n_scenarios, values, largest, slab.checks))
        return out
