"""Exact arithmetic: values are rational numbers and are rounded once, when they become units."""

from datetime import datetime, timedelta
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from fractions import Fraction

from margin_actors.clearing.amounts import UNITS_MAX, Asset
from margin_actors.errors import InvalidPortfolio, Problem, raise_if_any

EXACT = Context(prec=120, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
"""Context in which a sum or product of decimals is exact, or raises."""
MAGNITUDE_MAX = Decimal("1e15")
DECIMALS_MAX = 24
"""Bounds of every price and quantity, so that exact numbers stay short."""


def number_problems(value: Decimal, location: str) -> list[Problem]:
    """Return why `value` cannot be used as a price or quantity; empty if it can.

    It must be finite, at most `MAGNITUDE_MAX` in absolute value, with at most `DECIMALS_MAX`
    decimals. The sign is not checked.
    """
    if not value.is_finite():
        return [Problem(location, f"is {value}, not a finite number")]
    if abs(value) > MAGNITUDE_MAX:
        return [Problem(location, f"is {value}, larger than {MAGNITUDE_MAX:.0e} in absolute value")]
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > DECIMALS_MAX:
        return [Problem(location, f"is {value}, which has more than {DECIMALS_MAX} decimals")]
    return []


def time_problems(time: datetime, location: str) -> list[Problem]:
    """Return a problem if `time` is not a timezone-aware time in UTC."""
    if time.utcoffset() != timedelta(0):
        return [Problem(location, f"is {time.isoformat()}", "give a time in UTC with its zone")]
    return []


def canonical(value: Decimal) -> str:
    """Return a decimal as text that is the same for equal values.

    Examples
    --------
    >>> canonical(Decimal("48000.00")), canonical(Decimal("4.8E+4")), canonical(Decimal("-0.0"))
    ('48000', '48000', '0')
    """
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def utc_text(time: datetime) -> str:
    """Return a time in UTC as text, for example ``2026-03-02T08:00:00Z``."""
    return time.isoformat().replace("+00:00", "Z")


def rounded_units(value: Fraction, asset: Asset) -> int:
    """Return a value in whole coins or dollars as units of `asset`, rounded half to even.

    Raises
    ------
    InvalidPortfolio
        If the result exceeds `UNITS_MAX` in absolute value.
    """
    units = round(value * 10**asset.decimals)
    if abs(units) > UNITS_MAX:
        what = f"{float(value):.6g} {asset.name} is more than 10^18 smallest units"
        raise_if_any([Problem("amount", what)], InvalidPortfolio, "the amount is not valid")
    return units


def rounded_decimal(value: Fraction, decimals: int) -> Decimal:
    """Return a rational number with at most `decimals` decimals, rounded half to even."""
    return Decimal(round(value * 10**decimals)).scaleb(-decimals, EXACT)
