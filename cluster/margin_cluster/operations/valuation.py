"""Unsettled variation and option values of all accounts in US cents, exactly rounded down.

The sums are computed in floating point together with a bound of their error. Where the bound does
not decide which cent the exact value is rounded down to, it is computed with rational numbers. The
result is therefore that of `house.valuing.position_value`, to the cent, at the cost of array
operations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import floor

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray
from margin_actors.clearing.house.valuing import asset_price
from margin_actors.clearing.settlement import Contract
from margin_actors.clearing.settlement.exact import EXACT
from margin_actors.market.instruments import Kind
from margin_cluster.operations.lots import LotRow, LotTable

_CENTS = 100
_UNIT = 2.0**-53
"""Largest relative error of one rounding to float64."""
_ROUNDINGS = 16
"""More roundings than any term has, those of its inputs included."""


@dataclass(frozen=True)
class BookValues:
    """Values of the positions of all accounts, US cents; lists in the order of the accounts."""

    unsettled_cents: tuple[int, ...]
    """Unsettled variation, rounded down; a profit is positive."""
    option_values_cents: Mapping[str, tuple[int, ...]]
    """Net option value by settlement asset, rounded down; assets without options are left out."""
    missing: Mapping[int, tuple[str, ...]]
    """By row of the account: instruments without a mark, or assets without a price. The values of
    these accounts are not valid."""


@dataclass(frozen=True)
class _Terms:
    """Values of lots with what bounds their error; arrays of shape (n_lots,)."""

    value: FloatArray
    """float64: value of the lot, US dollars."""
    magnitude: FloatArray
    """float64: largest intermediate result of the value, absolute, US dollars."""


def value_book(
    table: LotTable,
    lots: Sequence[Sequence[LotRow]],
    contracts: Mapping[str, Contract],
    *,
    marks: Mapping[str, Decimal],
    prices: Mapping[str, Decimal],
) -> BookValues:
    """Return the values of all positions.

    Parameters
    ----------
    table : LotTable
        The columns of `lots`.
    lots : sequence of sequences of LotRow
        One sequence per account.
    contracts : mapping of str to Contract
        Those of `table.contracts`.
    marks, prices : mapping of str to Decimal
        See `CycleRecorded`. Marks of inverse futures and perpetuals must be positive.
    """
    own = [contracts[name] for name in table.contracts]
    worth = {c.asset.name: asset_price(c.asset.name, prices) for c in own}
    absent = {
        c.name if c.name not in marks else c.asset.name
        for c in own
        if c.name not in marks or worth[c.asset.name] is None
    }
    missing = _missing(table, own, absent)
    terms = _terms(table, own, marks, worth)
    is_option = table.is_option
    exact = _Exact(lots, contracts, marks, worth, missing)
    unsettled = _rounded(table, terms, ~is_option, exact, None)
    assets = sorted({c.asset.name for c in own if c.kind is Kind.OPTION})
    values: dict[str, tuple[int, ...]] = {}
    asset_of = np.array([assets.index(c.asset.name) if c.kind is Kind.OPTION else -1 for c in own])
    for number, asset in enumerate(assets):
        chosen = is_option & (asset_of[table.contract] == number)
        values[asset] = _rounded(table, terms, chosen, exact, asset)
    return BookValues(unsettled, values, missing)


def _missing(
    table: LotTable, own: Sequence[Contract], absent: set[str]
) -> dict[int, tuple[str, ...]]:
    if not absent:
        return {}
    lacks = np.array([c.name in absent or c.asset.name in absent for c in own], np.bool_)
    found: dict[int, set[str]] = {}
    for row in np.flatnonzero(lacks[table.contract]).tolist():
        contract = own[int(table.contract[row])]
        name = contract.name if contract.name in absent else contract.asset.name
        found.setdefault(int(table.account[row]), set()).add(name)
    return {account: tuple(sorted(names)) for account, names in found.items()}


def _terms(
    table: LotTable,
    own: Sequence[Contract],
    marks: Mapping[str, Decimal],
    worth: Mapping[str, Fraction | None],
) -> _Terms:
    mark: FloatArray = np.array([float(marks.get(c.name, 1)) for c in own], np.float64)
    price: FloatArray = np.array([float(worth[c.asset.name] or 1) for c in own], np.float64)
    inverse: BoolArray = np.array(
        [c.is_inverse and c.kind is not Kind.OPTION for c in own], np.bool_
    )
    of = table.contract
    M, P, is_inverse = mark[of], price[of], inverse[of]
    is_option = table.is_option
    base = np.where(is_option, 0.0, table.base)
    scale = np.where(is_inverse, base * M, 1.0)
    size = table.size * P
    value = size * (M - base) / scale
    return _Terms(value, np.abs(size) * (np.abs(M) + np.abs(base)) / np.abs(scale))


def _rounded(
    table: LotTable, terms: _Terms, chosen: BoolArray, exact: "_Exact", asset: str | None
) -> tuple[int, ...]:
    """Return the sums over chosen lots by account in cents, rounded down exactly."""
    n = table.n_accounts
    rows = table.account[chosen]
    total = np.bincount(rows, terms.value[chosen], n) * _CENTS
    counts: IntArray = np.bincount(rows, minlength=n)
    gross = np.bincount(rows, terms.magnitude[chosen], n) * _CENTS
    error = 2.0 * (counts + _ROUNDINGS) * _UNIT * gross
    low, high = np.floor(total - error), np.floor(total + error)
    # The differences of float64 numbers of this size are exact.
    is_certain = (low == high) & (np.abs(total) < 2.0**52)
    cents = [int(x) for x in low.tolist()]
    for row in np.flatnonzero(~is_certain).tolist():
        cents[row] = exact.cents(row, asset)
    return tuple(cents)


@dataclass(frozen=True)
class _Exact:
    """Values of single accounts as rational numbers."""

    lots: Sequence[Sequence[LotRow]]
    contracts: Mapping[str, Contract]
    marks: Mapping[str, Decimal]
    worth: Mapping[str, Fraction | None]
    missing: Mapping[int, tuple[str, ...]]

    def cents(self, row: int, asset: str | None) -> int:
        """Return the option value in an asset, or the unsettled variation if it is None."""
        if row in self.missing:
            return 0
        linear: dict[str, Decimal] = {}
        total = Fraction(0)
        for lot in self.lots[row]:
            contract = self.contracts[lot.instrument]
            name = contract.asset.name
            if (lot.base is None) != (asset is not None) or asset not in (None, name):
                continue
            mark = self.marks[lot.instrument]
            if lot.base is None:
                value = EXACT.multiply(lot.size, mark)
            elif not contract.is_inverse:
                value = EXACT.multiply(lot.size, EXACT.subtract(mark, lot.base))
            else:
                S0, S1 = Fraction(lot.base), Fraction(mark)
                total += Fraction(lot.size) * (S1 - S0) / (S0 * S1) * self._price(name)
                continue
            linear[name] = EXACT.add(linear.get(name, Decimal(0)), value)
        total += sum((Fraction(v) * self._price(a) for a, v in linear.items()), Fraction(0))
        return floor(total * _CENTS)

    def _price(self, asset: str) -> Fraction:
        price = self.worth[asset]
        assert price is not None
        return price


__all__ = ["BookValues", "value_book"]
