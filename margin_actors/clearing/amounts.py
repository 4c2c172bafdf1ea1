"""Amounts of money and coins as integers in the smallest unit of an asset."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

from margin_actors.errors import InvalidPortfolio, Problem, raise_if_any

_EXACT = Context(prec=60)
"""Sixty digits: 10^30 units with thirty digits below them."""
_MARGIN_DIGITS = Decimal("1e-6")
UNITS_MAX = 10**18
"""Largest absolute amount in units, so that sums fit in the 64-bit columns of a database."""


@dataclass(frozen=True, order=True)
class Asset:
    """An asset in which balances are held."""

    name: str
    """``USD``, ``USDC``, ``BTC``, …"""
    decimals: int
    """The smallest unit is 10^-decimals."""


USD = Asset("USD", 2)
ASSETS: Mapping[str, Asset] = {
    a.name: a for a in (USD, Asset("USDC", 6), Asset("USDT", 6), Asset("BTC", 8), Asset("ETH", 8))
}
"""Known assets by name."""


def units_of(value: Decimal, asset: Asset) -> int:
    """Return a value as units of an asset, rounded half to even.

    Parameters
    ----------
    value : Decimal
        In whole coins or dollars, signed.
    asset : Asset

    Raises
    ------
    InvalidPortfolio
        If the value is not finite or exceeds `UNITS_MAX` units.
    """
    return _scaled(value, asset, ROUND_HALF_EVEN)


def units_exactly(value: Decimal, asset: Asset) -> int:
    """Return a value as units of an asset; it must be a whole number of units.

    Raises
    ------
    InvalidPortfolio
        As `units_of`, and if the value is not a whole number of units.
    """
    units = _scaled(value, asset, ROUND_HALF_EVEN)
    if value_of(units, asset) != value:
        what = f"{value} {asset.name} is not a whole number of its smallest unit"
        remedy = f"give at most {asset.decimals} decimals"
        raise_if_any([Problem("amount", what, remedy)], InvalidPortfolio, "the amount is not valid")
    return units


def value_of(units: int, asset: Asset) -> Decimal:
    """Return units of an asset in whole coins or dollars, exactly."""
    return Decimal(units).scaleb(-asset.decimals, _EXACT)


def requirement_units(margin_usd: float) -> int:
    """Return a margin as US cents, rounded up to a cent after rounding to a millionth of a dollar.

    The first rounding removes the binary representation of decimal figures, which would otherwise
    turn 100.10 dollars into 100.11.

    Raises
    ------
    InvalidPortfolio
        If the margin is not finite or exceeds `UNITS_MAX` cents.
    """
    value = Decimal(margin_usd)
    if value.is_finite():
        value = value.quantize(_MARGIN_DIGITS, ROUND_HALF_EVEN, _EXACT)
    return _scaled(value, USD, ROUND_CEILING)


def _scaled(value: Decimal, asset: Asset, rounding: str) -> int:
    try:
        whole = value.scaleb(asset.decimals, _EXACT).to_integral_value(rounding, _EXACT)
    except InvalidOperation:
        whole = Decimal("nan")
    if not whole.is_finite() or abs(whole) > UNITS_MAX:
        what = f"{value} {asset.name} is not an amount of at most 10^18 smallest units"
        raise_if_any([Problem("amount", what)], InvalidPortfolio, "the amount is not valid")
    return int(whole)
