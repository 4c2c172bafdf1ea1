"""A market held ready: priced once in every scenario, then asked for many margins.

`calculate_margin` starts from nothing and prices the instruments of one book. A service prices all
listed contracts once (in slices of the scenarios, anywhere) and answers from the result; contracts
that are not listed are priced when they are asked for. The bits are the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.addons import account_groups
from margin_actors.engine.margin.margins import Margins, Sample, position_sums, sample_of
from margin_actors.engine.margin.prepared import PreparedMarket
from margin_actors.engine.margin.requirement import BookProfits, HeldPositions, requirements
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
from margin_actors.market.portfolios import Book


def hold(market: PreparedMarket, book: Book, terms: Terms, *, where: str = "book") -> HeldPositions:
    """Return a book's positions in the contracts of a market, with the groups its add-ons need.

    Raises
    ------
    InvalidPortfolio
        Naming every position that is not a whole number of lots.
    """
    holdings = holdings_from_book(market.contracts, book, where=where)
    value = position_sums(market.unit_value_usd, holdings.start, holdings.index, book.quantity)
    groups = None
    if terms.risk is not None:
        groups = account_groups(holdings, book.quantity, terms.risk, terms.parameters)
    return HeldPositions(holdings, book.quantity, groups, value, np.diff(book.start))


def market_terms(market: PreparedMarket, scenarios: ScenarioSet) -> Terms:
    """Return the terms of a market's contracts under its model."""
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
    """A book as the kernels of one priced market take it."""

    book: Book
    market: PreparedMarket
    terms: Terms
    held: HeldPositions
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

    @cached_property
    def terms(self) -> Terms:
        """The terms of the contracts laid out."""
        return market_terms(self.market, self.scenarios)

    @cached_property
    def largest_moves(self) -> tuple[FloatArray, ...]:
        """Largest absolute profit of one lot of each contract over all scenarios, in ticks.

        float64 (n_contracts,) for the model's own prices and for each alternative; empty if prices
        are made when they are needed.
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
        """Return whether every one of `names` is priced already."""
        place = self.market.contracts.place
        return self.slabs is not None and all(map(place.__contains__, names))

    def lay_out(self, book: Book, *, where: str = "book") -> LaidOut:
        """Return a book as the kernels take it.

        The contracts are the listed ones if these suffice, else exactly the book's.

        Raises
        ------
        InvalidPortfolio, MissingMarketData
            Naming everything that cannot be margined.
        """
        market, terms = self.market, None
        if self.holds_prices_of(book.instruments):
            terms = self.terms
        else:  # if nothing is held, any one contract does
            names = book.instruments or market.contracts.names[:1]
            market = market.lay_out(names, where=where)
        if terms is None:
            terms = market_terms(market, self.scenarios)
        return LaidOut(book, market, terms, hold(market, book, terms, where=where), where)

    def profits(self, laid: LaidOut, *, keep_pnl: bool = False) -> BookProfits:
        """Return the profits of every account over all scenarios, the worst or all of them."""
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
            where=laid.where,
        )

    def margins(self, book: Book | LaidOut, *, where: str = "book") -> Margins:
        """Return the margins of every account of a book, on one thread.

        Raises
        ------
        InvalidPortfolio, MissingMarketData
            Naming everything that cannot be margined.
        """
        laid = book if isinstance(book, LaidOut) else self.lay_out(book, where=where)
        return requirements(self.profits(laid), laid.held, laid.terms)

    def position_profits_usd(self, book: Book, *, where: str = "portfolio") -> FloatArray:
        """Return the profit of each position of a one-account book, (n_positions, n_scenarios)."""
        laid = self.lay_out(book, where=where)
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
                """Return prices by label; where one side has no such label its own prices do."""
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
