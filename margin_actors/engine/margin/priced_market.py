"""A market priced once in every scenario, from which many margins are calculated.

`calculate_margin` prices the instruments of one book. A service instead prices all listed contracts
once (in slices of the scenarios, possibly on several machines) and calculates margins from these
prices; contracts that are not listed are priced on demand. The results are equal, bit for bit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.addons import netted_book
from margin_actors.engine.margin.cube_slice import CubeSlice, price_own_slice, price_slice
from margin_actors.engine.margin.margins import Margins
from margin_actors.engine.margin.pnl import book_pnl, revalue_slice, slice_pnl
from margin_actors.engine.margin.preparation import prepare_book, prepare_inputs
from margin_actors.engine.margin.prepared_book import BookPnl, PreparedBook
from margin_actors.engine.margin.prepared_market import PreparedMarket
from margin_actors.engine.margin.requirement.summation import requirements
from margin_actors.engine.margin.risk_inputs import RiskInputs
from margin_actors.engine.margin.sample import Sample
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation import RiskCube
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book


@dataclass(frozen=True)
class PricedMarket:
    """A prepared market with its scenarios and, if they fit into memory, all its prices."""

    market: PreparedMarket
    scenarios: ScenarioSet
    slices: tuple[CubeSlice, ...] | None
    """Prices in the order of the scenarios; None if contracts are priced on demand."""

    @cached_property
    def sample(self) -> Sample:
        """Properties of the scenario set that the risk measures need."""
        return self.inputs.sample

    @cached_property
    def inputs(self) -> RiskInputs:
        """Risk inputs of the contracts of `market`."""
        return prepare_inputs(self.market, self.scenarios)

    @cached_property
    def largest_moves(self) -> tuple[FloatArray, ...]:
        """Largest absolute entry of each contract's prices over all scenarios, as in the slices.

        One array float64 (n_contracts,) for the model's own prices and one per alternative (core
        rows only); in ticks per lot if the model rounds, else in US dollars per unit. Empty if
        contracts are priced on demand.
        """
        if self.slices is None:
            return ()
        found: dict[str, FloatArray] = {}
        for item in self.slices:
            for label, prices in (("", item.cube), *item.alternatives):
                largest = prices.largest_move
                found[label] = np.maximum(found.get(label, largest), largest)
        return tuple(found.values())

    def holds_prices_of(self, names: Iterable[str]) -> bool:
        """Return True if prices of all `names` are held."""
        listed = self.market.contracts.place
        return self.slices is not None and all(map(listed.__contains__, names))

    def prepare_book(
        self, book: Book, others: Book | None = None
    ) -> tuple[PreparedMarket, PreparedBook]:
        """Return (market, book prepared in its contracts).

        The market is `self.market` if prices of all the book's instruments are held, else one with
        exactly the book's instruments. `others` are further accounts of the book's members, see
        `preparation.prepare_book`.

        Raises
        ------
        InvalidPortfolio, MissingMarketData
            If an instrument cannot be priced or a quantity is not a whole number of lots; names
            all of them.
        """
        if self.holds_prices_of(book.instruments):
            return self.market, prepare_book(self.market, book, self.inputs, others)
        # A book without positions still needs a market of at least one contract.
        names = book.instruments or self.market.contracts.names[:1]
        market = self.market.with_contracts(names)
        inputs = prepare_inputs(market, self.scenarios)
        return market, prepare_book(market, book, inputs, others)

    def repeated_others(self, others: Book, members: Sequence[str]) -> Book:
        """Return a book in which each of `members` has one account with the sum of `others`.

        For alternatives of one account, each of which is a member of its own.

        Raises
        ------
        InvalidPortfolio, MissingMarketData
            If an instrument cannot be priced.
        """
        contracts = self.market.contracts
        if not contracts.place.keys() >= {*others.instruments}:
            contracts = self.market.with_contracts(others.instruments).contracts
        return netted_book(contracts, others, members)

    def pnl(self, market: PreparedMarket, book: PreparedBook, *, keep_pnl: bool = False) -> BookPnl:
        """Return the profits of every account over all scenarios.

        Parameters
        ----------
        market, book
            As `prepare_book` returns them.
        keep_pnl : bool
            Return the profit in every scenario even if the measures do not need it.

        Raises
        ------
        InvalidPortfolio
            If accounts are too large to be summed exactly; names all of them.
        """
        if self.slices is None:
            slices = [revalue_slice(market, self.scenarios, 0, book, keep_pnl=keep_pnl)]
        else:
            slices = [slice_pnl(item, book, keep_pnl=keep_pnl) for item in self.slices_of(market)]
        return book_pnl(slices, book)

    def margins(self, book: Book, others: Book | None = None) -> Margins:
        """Return the margins of every account of a book, computed on one thread.

        `others` are further accounts of the book's members.

        Raises
        ------
        InvalidPortfolio, MissingMarketData
            As `prepare_book`; InvalidPortfolio also if accounts are too large to be summed exactly.
        """
        return self.prepared_margins(*self.prepare_book(book, others))

    def prepared_margins(self, market: PreparedMarket, book: PreparedBook) -> Margins:
        """Return the margins of every account of a prepared book, computed on one thread.

        `market` and `book` are as `prepare_book` returns them.

        Raises
        ------
        InvalidPortfolio
            If accounts are too large to be summed exactly; names all of them.
        """
        return requirements(self.pnl(market, book), book)

    def position_profits_usd(self, book: Book) -> FloatArray:
        """Return the profit of each position of a one-account book in every scenario.

        Returns
        -------
        float64 (n_positions, n_scenarios), US dollars
            Quantity included; over all rows of the scenario set. A loss is negative.
        """
        market, prepared = self.prepare_book(book)
        if self.slices is None:
            slices: Sequence[CubeSlice] = [price_own_slice(market, self.scenarios, 0)]
        else:
            slices = self.slices_of(market)
        out = np.empty((book.n_positions, len(self.scenarios)))
        for item in slices:
            for p, contract in enumerate(prepared.holdings.index.tolist()):
                unit = item.cube.profits_usd(market.contracts, contract)
                out[p, item.rows] = book.quantity[p] * unit
        return out

    def slices_of(self, market: PreparedMarket) -> Sequence[CubeSlice]:
        """Return slices for the contracts of `market`, which may differ from this market's.

        Prices of contracts that this market holds are copied; the others are computed.
        """
        assert self.slices is not None
        if market is self.market:
            return self.slices
        union = _Union(self.market, market)
        labels = [other.label for other in market.alternatives]
        out: list[CubeSlice] = []
        for held in self.slices:
            rows = self.scenarios.rows(held.rows.start, held.rows.stop)
            new = price_slice(
                union.unlisted, rows, held.first_scenario, n_core=self.sample.n_scenarios
            )
            held_others, new_others = dict(held.alternatives), dict(new.alternatives)
            # A side without an alternative contributes its own prices.
            others = tuple(
                (
                    label,
                    union.merge(held_others.get(label, held.cube), new_others.get(label, new.cube)),
                )
                for label in (labels if held.n_core else ())
            )
            cube = union.merge(held.cube, new.cube)
            out.append(CubeSlice(held.first_scenario, held.n_core, cube, others, held.checks))
        return out


class _Union:
    """The contracts of a market, divided into those that another market lists and the rest."""

    def __init__(self, listing: PreparedMarket, market: PreparedMarket) -> None:
        listed, names = listing.contracts.place, market.contracts.names
        self.size = len(names)
        self.known: IntArray = np.array([i for i, n in enumerate(names) if n in listed], np.int64)
        self.column: IntArray = np.array([listed[n] for n in names if n in listed], np.int64)
        self.new: IntArray = np.array([i for i, n in enumerate(names) if n not in listed], np.int64)
        self.unlisted = listing.with_contracts([n for n in names if n not in listed])

    def merge(self, held: RiskCube, new: RiskCube) -> RiskCube:
        """Return the prices of all contracts from those held and those of the unlisted ones."""
        tiles = min(held.values.shape[0], new.values.shape[0])
        values = np.empty((tiles, self.size, TILE))
        values[:, self.known] = held.values[:tiles, self.column]
        values[:, self.new] = new.values[:tiles]
        largest = np.empty(self.size)
        largest[self.known] = held.largest_move[self.column]
        largest[self.new] = new.largest_move
        return RiskCube(values, min(held.n_scenarios, new.n_scenarios), largest)
