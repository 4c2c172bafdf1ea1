"""The canonical form of values under a content hash: equal values have one text."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ID_LENGTH_MAX = 500
"""Largest number of characters of an id."""
DIGITS_MAX = 18
"""Largest number of digits before and after the decimal point of a quantity or price."""
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Return a time, timezone-aware, as whole microseconds since 1970-01-01 UTC."""
    return (moment - EPOCH) // _MICROSECOND


def decimal_text(value: Decimal) -> str:
    """Return a finite decimal without exponent and without trailing zeros.

    Examples
    --------
    >>> [decimal_text(Decimal(x)) for x in ("1.50", "1E+3", "-0.0", "-0.010")]
    ['1.5', '1000', '0', '-0.01']
    """
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def id_fault(text: str) -> str:
    """Return what is wrong with an id, or an empty text."""
    if text and len(text) <= ID_LENGTH_MAX and text.isprintable():
        return ""
    return f"{text[:ID_LENGTH_MAX]!r} is not an id of 1 to {ID_LENGTH_MAX} printable characters"


def time_fault(moment: datetime) -> str:
    """Return what is wrong with a time, or an empty text."""
    if moment.tzinfo is UTC or moment.utcoffset() == timedelta(0):
        return ""
    return f"{moment} is not a timezone-aware time in UTC"


def decimal_fault(value: Decimal) -> str:
    """Return what is wrong with a quantity or price, or an empty text."""
    if value.is_finite() and abs(value) < 10**DIGITS_MAX and _decimals(value) <= DIGITS_MAX:
        return ""
    return f"{value} is not a number of at most {DIGITS_MAX} digits on either side of the point"


def _decimals(value: Decimal) -> int:
    """Return the number of digits after the point; `value` is finite."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent
