"""A market priced once in every scenario, from which many margins are calculated.

`calculate_margin` prices the instruments of one book. A service instead prices all listed contracts
once (in slices of the scenarios, possibly on several machines) and calculates margins from these
prices; contracts that are not listed are priced on demand. The results are equal, bit for bit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.addons import account_groups
from margin_actors.engine.margin.margins import Margins, Sample, position_sums, sample_of
from margin_actors.engine.margin.prepared import PreparedMarket
from margin_actors.engine.margin.records import BookProfits, HeldPositions
from margin_actors.engine.margin.requirement import requirements
from margin_actors.engine.margin.slabs import (
    Slab,
    SlabPrices,
    book_profits,
    price_slab,
    revalue_slice,
    slab_profits,
)
from margin_actors.engine.margin.terms import Terms, terms_of
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation import holdings_from_book
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book


def hold(market: PreparedMarket, book: Book, terms: Terms) -> HeldPositions:
    """Return a book's positions in the contracts of a market, with the groups that add-ons need.

    The market must hold all instruments of the book.

    Raises
    ------
    InvalidPortfolio
        If a quantity is not a whole number of lots; names all such positions.
    """
    holdings = holdings_from_book(market.contracts, book)
    value = position_sums(market.unit_value_usd, holdings.start, holdings.index, book.quantity)
    groups = None
    if terms.risk is not None:
        groups = account_groups(holdings, book.quantity, terms.risk, terms.parameters)
    return HeldPositions(holdings, book.quantity, groups, value, np.diff(book.start))


def market_terms(market: PreparedMarket, scenarios: ScenarioSet) -> Terms:
    """Return the terms of a market's contracts under its model.

    Raises
    ------
    InvalidScenario
        If the scenario set lacks a section that the model needs.
    """
    return terms_of(
        market.snapshot,
        market.contracts,
        scenarios,
        market.parameters,
        base_value=market.value_today,
        depth=market.depth,
    )


@dataclass(frozen=True)
class LaidOut:
    """A book laid out for the kernels: its positions in the contracts of a market."""

    book: Book
    market: PreparedMarket
    terms: Terms
    held: HeldPositions


@dataclass(frozen=True)
class PricedMarket:
    """A prepared market with its scenarios and, if they fit into memory, all its prices."""

    market: PreparedMarket
    scenarios: ScenarioSet
    slabs: tuple[Slab, ...] | None
    """Prices in the order of the scenarios; None if contracts are priced on demand."""

    @cached_property
    def sample(self) -> Sample:
        """Properties of the scenario set that the risk measures need."""
        return sample_of(self.scenarios, self.market.parameters)

    @cached_property
    def terms(self) -> Terms:
        """Terms of the contracts of `market`."""
        return market_terms(self.market, self.scenarios)

    @cached_property
    def largest_moves(self) -> tuple[FloatArray, ...]:
        """Largest absolute entry of each contract's prices over all scenarios, as in the slabs.

        One array float64 (n_contracts,) for the model's own prices and one per alternative (core
        rows only); in ticks per lot if the model rounds, else in US dollars per unit. Empty if
        contracts are priced on demand.
        """
        if self.slabs is None:
            return ()
        found: dict[str, FloatArray] = {}
        for slab in self.slabs:
            prices = [("", slab.largest_move)]
            prices += [(label, other.largest_move) for label, other in slab.alternatives]
            for label, largest in prices:
                found[label] = np.maximum(found.get(label, largest), largest)
        return tuple(found.values())

    def holds_prices_of(self, names: Iterable[str]) -> bool:
        """Return True if prices of all `names` are held."""
        place = self.market.contracts.place
        return self.slabs is not None and all(map(place.__contains__, names))

    def lay_out(self, book: Book) -> LaidOut:
        """Return a book laid out for the kernels.

        The contracts are those of `market` if their prices are held and they include the book's,
        else exactly the book's instruments.

        Raises
        ------
        InvalidPortfolio, MissingMarketData
            If an instrument cannot be priced or a quantity is not a whole number of lots; names
            all of them.
        """
        market, terms = self.market, None
        if self.holds_prices_of(book.instruments):
            terms = self.terms
        else:  # a book without positions still needs a market of at least one contract
            names = book.instruments or market.contracts.names[:1]
            market = market.lay_out(names)
        if terms is None:
            terms = market_terms(market, self.scenarios)
        return LaidOut(book, market, terms, hold(market, book, terms))

    def profits(self, laid: LaidOut, *, keep_pnl: bool = False) -> BookProfits:
        """Return the profits of every account over all scenarios.

        The profit in every scenario is returned if `keep_pnl` is set or the measures need it, else
        only the least profits.

        Raises
        ------
        InvalidPortfolio
            If accounts are too large to be summed exactly; names all of them.
        """
        sample, held = self.sample, laid.held
        if self.slabs is None:
            parts = [
                revalue_slice(
                    laid.market,
                    self.scenarios,
                    0,
                    held.holdings,
                    held.groups,
                    sample,
                    keep_pnl=keep_pnl,
                )
            ]
        else:
            parts = [
                slab_profits(slab, held.holdings, held.groups, sample, keep_pnl=keep_pnl)
                for slab in self.slabs_of(laid.market)
            ]
        return book_profits(
            parts,
            held.holdings,
            held.groups,
            n_tail=sample.n_tail,
            accounts=laid.book.accounts,
        )

    def margins(self, book: Book | LaidOut) -> Margins:
        """Return the margins of every account of a book, computed on one thread.

        Raises
        ------
        InvalidPortfolio, MissingMarketData
            As `lay_out`; InvalidPortfolio also if accounts are too large to be summed exactly.
        """
        laid = book if isinstance(book, LaidOut) else self.lay_out(book)
        return requirements(self.profits(laid), laid.held, laid.terms)

    def position_profits_usd(self, book: Book) -> FloatArray:
        """Return the profit of each position of a one-account book in every scenario.

        Returns
        -------
        float64 (n_positions, n_scenarios), US dollars
            Quantity included; over all rows of the scenario set. A loss is negative.
        """
        laid = self.lay_out(book)
        market, holdings = laid.market, laid.held.holdings
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
        """Return slabs for the contracts of `market`, another layout of this one.

        Prices of contracts that this market holds are copied; the others are computed.
        """
        assert self.slabs is not None
        if market is self.market:
            return self.slabs
        listed = self.market.contracts.place
        names = market.contracts.names
        known = np.array([i for i, name in enumerate(names) if name in listed], np.int64)
        column = np.array([listed[names[i]] for i in known], np.int64)
        new = np.array([i for i, name in enumerate(names) if name not in listed], np.int64)
        made = self.market.lay_out([names[i] for i in new])
        labels = [other.label for other in market.alternatives]
        out: list[Slab] = []
        for slab in self.slabs:
            rows = self.scenarios.rows(slab.first_scenario, slab.first_scenario + slab.n_scenarios)
            extra = price_slab(made, rows, slab.first_scenario, n_core=self.sample.n_scenarios)
            listed_others, made_others = dict(slab.alternatives), dict(extra.alternatives)

            def put(
                label: str | None,
                slab: Slab = slab,
                extra: Slab = extra,
                listed_others: dict[str, SlabPrices] = listed_others,
                made_others: dict[str, SlabPrices] = made_others,
            ) -> SlabPrices:
                """Merge the two sides' prices of an alternative, or their own if label is None.

                A side without that alternative contributes its own prices.
                """
                before: Slab | SlabPrices = slab
                fresh: Slab | SlabPrices = extra
                if label is not None:
                    before = listed_others.get(label, slab)
                    fresh = made_others.get(label, extra)
                tiles = min(before.values.shape[0], fresh.values.shape[0])
                values = np.empty((tiles, len(names), TILE))
                values[:, known] = before.values[:tiles, column]
                values[:, new] = fresh.values[:tiles]
                largest = np.empty(len(names))
                largest[known], largest[new] = before.largest_move[column], fresh.largest_move
                return SlabPrices(values, largest)

            own = put(None)
            others = tuple((label, put(label)) for label in labels) if slab.n_core else ()
            out.append(
                Slab(
                    slab.first_scenario,
                    slab.n_scenarios,
                    own.values,
                    own.largest_move,
                    slab.checks,
                    slab.n_core,
                    others,
                )
            )
        return out
