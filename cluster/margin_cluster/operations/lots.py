"""Lots of all accounts as columns: what unsettled variation and option values are computed from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray
from margin_actors.clearing.journal import Lot
from margin_actors.clearing.settlement import Contract
from margin_actors.clearing.settlement.exact import EXACT


class LotRow(NamedTuple):
    """One lot of one account."""

    instrument: str
    size: Decimal
    """Quantity × multiplier, exact; long is positive."""
    base: Decimal | None
    """Base price, US dollars per coin; None for options."""


def lot_rows(contract: Contract, lots: Iterable[Lot]) -> list[LotRow]:
    """Return the lots of a position in a contract."""
    return [
        LotRow(contract.name, EXACT.multiply(lot.quantity, contract.multiplier), lot.base_price)
        for lot in lots
    ]


@dataclass(frozen=True)
class LotTable:
    """The lots of all accounts; arrays of shape (n_lots,), grouped by account."""

    n_accounts: int
    contracts: tuple[str, ...]
    """Contracts in which there are lots, sorted; n_contracts."""
    account: IntArray
    """int64: row of the account, ascending."""
    contract: IntArray
    """int64: index in `contracts`."""
    size: FloatArray
    """float64: nearest number to the size."""
    base: FloatArray
    """float64: nearest number to the base price; NaN for options."""

    @property
    def is_option(self) -> BoolArray:
        """Whether the lot is one of an option, bool (n_lots,)."""
        return np.isnan(self.base)


def lot_table(lots: Sequence[Sequence[LotRow]]) -> LotTable:
    """Return the lots of accounts as columns; `lots` has one sequence per account."""
    contracts = tuple(sorted({row.instrument for rows in lots for row in rows}))
    code = {name: place for place, name in enumerate(contracts)}
    counts = np.array([len(rows) for rows in lots], np.int64)
    account: IntArray = np.repeat(np.arange(len(lots)), counts)
    n = account.size
    nan = float("nan")
    return LotTable(
        len(lots),
        contracts,
        account,
        np.fromiter((code[row.instrument] for rows in lots for row in rows), np.int64, n),
        np.fromiter((float(row.size) for rows in lots for row in rows), np.float64, n),
        np.fromiter(
            (nan if row.base is None else float(row.base) for rows in lots for row in rows),
            np.float64,
            n,
        ),
    )


__all__ = ["LotRow", "LotTable", "lot_rows", "lot_table"]
