"""A book's positions in the layout of the kernels: contracts of a cube, in whole lots."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.engine.revaluation.contracts import Contracts
from margin_actors.errors import InvalidPortfolio, Location, Problem, raise_if_any
from margin_actors.market.books import Book


@dataclass(frozen=True)
class Holdings:
    """Positions of n_accounts accounts in the contracts of one cube."""

    start: IntArray
    """int64 (n_accounts + 1,): account a owns positions start[a] to start[a + 1]."""
    index: IndexArray
    """int32 (n_positions,): contract of each position, ascending within an account."""
    lots: FloatArray
    """float64 (n_positions,): whole lots, or quantities if the model does not round; long is
    positive."""
    quantum_usd: float
    """US dollars per tick of one lot; 1 if the model does not round."""
    is_exact: bool
    """True if the model rounds, so that sums are exact in any order."""

    @property
    def n_accounts(self) -> int:
        """Number of accounts."""
        return self.start.size - 1

    def part(self, first: int, last: int) -> "Holdings":
        """Return accounts [first, last) with their positions."""
        begin, end = int(self.start[first]), int(self.start[last])
        return replace(
            self,
            start=self.start[first : last + 1] - begin,
            index=self.index[begin:end],
            lots=self.lots[begin:end],
        )

    @cached_property
    def rounding_bound_usd(self) -> FloatArray:
        """float64 (n_accounts,), US dollars: bound on the effect of rounding on any profit."""
        if not self.is_exact:
            return np.zeros(self.n_accounts)
        return 0.5 * self.quantum_usd * self.sums(self._absolute_lots)

    @cached_property
    def _absolute_lots(self) -> FloatArray:
        return np.abs(self.lots)

    @cached_property
    def _spans(self) -> tuple[IntArray, BoolArray]:
        """First position of each account, and whether it has one; each (n_accounts,)."""
        first = np.minimum(self.start[:-1], self.index.size)
        return first, np.diff(self.start) > 0

    def sums(self, per_position: FloatArray) -> FloatArray:
        """Return the sum over each account's positions, in a fixed order.

        `per_position` is float64 (n_positions,) in any unit; the result is float64 (n_accounts,) in
        the same unit.
        """
        first, holds = self._spans
        return np.add.reduceat(np.append(per_position, 0.0), first) * holds

    def gross(self, largest_move: FloatArray) -> FloatArray:
        """Return a bound on each account's absolute profit, float64 (n_accounts,).

        `largest_move` is float64 (n_contracts,), as `RiskCube.largest_move`. The bound is in ticks
        if the model rounds, else in US dollars.
        """
        return self.sums(self._absolute_lots * largest_move[self.index])


def whole_lots(quantity: FloatArray, lot: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return quantities in lots, rounded to whole numbers, and the indices of those not whole.

    The tolerance covers the rounding of decimal quantities: 0.3 in lots of 0.1 is not exactly 3.

    Parameters
    ----------
    quantity, lot : float64 (n_positions,)
        Quantity of each position, and of one lot of its contract; in the same unit.

    Returns
    -------
    float64 (n_positions,), int64 (n_broken,)
    """
    lots = quantity / lot
    whole = np.round(lots)
    # The smallest quantities give exactly zero lots.
    unequal = np.flatnonzero((lots != whole) | ((whole == 0.0) & (quantity != 0.0)))
    distance = np.abs(lots[unequal] - whole[unequal])
    bound = 1e-6 * np.maximum(1.0, np.abs(whole[unequal])) ** 0.5
    # A quantity that would be rounded to zero lots is an error, however small.
    return whole, unequal[~(distance <= bound) | (whole[unequal] == 0.0)]


def broken_lot(name: str, quantity: float, lot: float) -> tuple[str, str]:
    """Return (fault, remedy) of a quantity that is not a whole number of lots."""
    return (
        f"{quantity:g} of {name} is not a whole number of lots of {lot:g}",
        f"give a multiple of {lot:g}, the lot size (revaluation.lot_coins or lot_usd of the model)",
    )


def holdings_from_book(contracts: Contracts, book: Book) -> Holdings:
    """Return a book's positions in a cube's contracts, which must include all its instruments.

    An account's positions keep the order of the book, in which unrounded sums are computed.

    Raises
    ------
    InvalidPortfolio
        If a quantity is not a whole number of lots; names all such positions.
    """
    index = book.instrument_index
    if contracts.names != book.instruments:
        place = contracts.place
        columns = np.array([place[name] for name in book.instruments], np.int32)
        index = columns[index]
    quantum = contracts.quantum_usd
    if quantum is None:
        return Holdings(book.start, index, book.quantity, 1.0, is_exact=False)
    whole, bad = whole_lots(book.quantity, contracts.lot[index])
    account = np.searchsorted(book.start, bad, side="right") - 1
    problems = [
        Problem(
            Location("book", book.accounts[a]),
            *broken_lot(
                contracts.names[index[p]],
                float(book.quantity[p]),
                float(contracts.lot[index[p]]),
            ),
        )
        for p, a in zip(bad, account, strict=True)
    ]
    raise_if_any(
        problems,
        InvalidPortfolio,
        "the book contains quantities that are not a whole number of lots",
    )
    return Holdings(book.start, index, whole, quantum, is_exact=True)
