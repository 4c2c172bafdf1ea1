"""The positions of the clearing house as arrays, for margining and valuation.

Positions are read from the state of the house. Those of an account are converted again only after
an entry of the log changed them, so that a cycle costs no time per position.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray, IntArray
from margin_actors.clearing.amounts import ASSETS, value_of
from margin_actors.clearing.house.state import HouseState
from margin_actors.clearing.house.valuing import contract_of
from margin_actors.clearing.journal import holdings
from margin_actors.clearing.settlement.exact import EXACT
from margin_actors.engine.parameters import ModelParameters
from margin_actors.market.books import Book, book_of_grouped_rows
from margin_actors.market.instruments import Kind
from margin_cluster.operations.lots import LotRow, LotTable, lot_rows, lot_table


@dataclass(frozen=True)
class _AccountRows:
    """The positions of one account."""

    changed: int
    """Number of the entry that last changed them."""
    lots: tuple[LotRow, ...]
    sizes: Mapping[str, float]
    """Size by instrument, without zeros: quantity × multiplier."""


@dataclass(frozen=True)
class HouseBook:
    """The positions of all accounts as of one entry of the log."""

    number: int
    """Number of the entry."""
    book: Book
    """All open accounts in the order of their names, those without a position included; sizes in
    the unit of `Book.quantity`, with the coins that the model simulates as spot positions."""
    lots: tuple[tuple[LotRow, ...], ...]
    """Lots of each account, in the order of `book.accounts`."""
    table: LotTable
    """The lots as columns."""


class BookReader:
    """Reads the book of the clearing house; keeps what did not change. For one thread at a time.

    Parameters
    ----------
    model : ModelParameters
        Whether coins held as collateral are simulated with the positions, and in which lots.
    """

    def __init__(self, model: ModelParameters) -> None:
        self._model = model
        self._rows: dict[str, _AccountRows] = {}
        self._last: tuple[object, ...] = ()
        self._book: HouseBook | None = None

    def read(self, state: HouseState) -> HouseBook:
        """Return the positions of all accounts in a state.

        Raises
        ------
        InvalidPortfolio
            If a position is in a contract that cannot be settled; the house lists no such contract.
        """
        # The maps are persistent: the same objects have the same content.
        now = (state.accounts, state.last_changes, state.contracts, state.parameters)
        if self._book is None or any(a is not b for a, b in zip(now, self._last, strict=True)):
            self._book, self._last = self._build(state), now
        elif self._book.number != state.number:
            self._book = replace(self._book, number=state.number)
        return self._book

    def _build(self, state: HouseState) -> HouseBook:
        names = tuple(state.accounts)
        rows = [self._account(state, name) for name in names]
        simulated = self._simulated(state, names)
        held = [{**row.sizes, **coins} for row, coins in zip(rows, simulated, strict=True)]
        instruments = sorted({name for sizes in held for name in sizes})
        members = [state.accounts[name].member for name in names]
        book = _book(names, members, instruments, held)
        lots = tuple(row.lots for row in rows)
        return HouseBook(state.number, book, lots, lot_table(lots))

    def _account(self, state: HouseState, name: str) -> _AccountRows:
        changed = state.last_change(name).valuation
        known = self._rows.get(name)
        if known is None or known.changed != changed:
            lots = tuple(
                row
                for instrument in state.held.get(name, ())
                for row in lot_rows(
                    contract_of(state, instrument), state.journal.position(name, instrument).lots
                )
            )
            known = self._rows[name] = _AccountRows(changed, lots, _sizes(state, name))
        return known

    def _simulated(self, state: HouseState, names: Iterable[str]) -> list[dict[str, float]]:
        """Return the coins of each account that the model simulates, by spot instrument.

        The coins are those that the rules of collateral count without a haircut.
        """
        rules = state.parameters.rules
        coins = sorted(rules.simulated) if self._model.collateral.joint_simulation else []
        assets = {name: ASSETS[name] for name in coins if name in ASSETS}
        found: list[dict[str, float]] = []
        for name in names:
            own: dict[str, float] = {}
            for asset, units in (holdings(state.journal, name, assets) if assets else {}).items():
                amount = value_of(units, asset)
                if rules.simulated_lot is not None:
                    amount = amount // rules.simulated_lot * rules.simulated_lot
                if amount > 0:
                    own[f"{asset.name}_USDC"] = float(amount)
            found.append(own)
        return found


def _sizes(state: HouseState, name: str) -> dict[str, float]:
    sizes: dict[str, float] = {}
    for instrument in state.held.get(name, ()):
        quantity: Decimal = state.journal.position(name, instrument).quantity
        if quantity:
            contract = contract_of(state, instrument)
            assert contract.kind is not Kind.SPOT
            sizes[instrument] = float(EXACT.multiply(quantity, contract.multiplier))
    return sizes


def _book(
    names: tuple[str, ...],
    members: list[str],
    instruments: list[str],
    held: list[dict[str, float]],
) -> Book:
    code = {name: place for place, name in enumerate(instruments)}
    counts: IntArray = np.array([len(sizes) for sizes in held], np.int64)
    account: IntArray = np.repeat(np.arange(len(names)), counts)
    order = [sorted(sizes) for sizes in held]
    index: IndexArray = np.fromiter(
        (code[name] for some in order for name in some), np.int32, account.size
    )
    quantity: FloatArray = np.fromiter(
        (sizes[name] for sizes, some in zip(held, order, strict=True) for name in some),
        np.float64,
        account.size,
    )
    return book_of_grouped_rows(names, members, instruments, account, index, quantity)


__all__ = ["BookReader", "HouseBook"]
