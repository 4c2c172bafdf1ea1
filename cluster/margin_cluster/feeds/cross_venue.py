"""Prices of collateral and of underlyings from several venues."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from margin_actors.clearing.settlement import IndexPrice, SourcePrice, index_price
from margin_actors.clearing.settlement.parameters import IndexParameters


@dataclass(frozen=True, slots=True)
class VenuePrice:
    """The price of an asset at one venue."""

    venue: str
    price_usd: Decimal
    """US dollars per unit of the asset."""
    time_ms: int
    """Time of the price, milliseconds since 1970-01-01 UTC."""
    weight: Decimal = Decimal(1)


def cross_venue_price(
    prices: Sequence[VenuePrice],
    parameters: IndexParameters,
    *,
    now_ms: int,
    age_seconds_max: float = 60.0,
) -> IndexPrice:
    """Return the price of an asset over the venues that deliver at the moment.

    Prices older than `age_seconds_max`, later than `now_ms` by more than that, or not positive are
    left out; the others are clamped to their median and then weighted, as the index of an
    underlying is. Hence one venue, at whatever price, moves the result by at most the clamp, as
    long as three deliver. Of several prices of one venue the latest counts.

    Parameters
    ----------
    prices : sequence of VenuePrice
    parameters : IndexParameters
    now_ms : int
        Current time, milliseconds since 1970-01-01 UTC.
    age_seconds_max : float

    Returns
    -------
    IndexPrice
        Its status is not `sound` if a person must confirm the price: fewer than two venues
        deliver, or two that contradict each other.

    Raises
    ------
    InvalidMarketData
        If a weight is not positive.
    """
    latest: dict[str, VenuePrice] = {}
    for item in prices:
        is_recent = abs(now_ms - item.time_ms) <= 1000.0 * age_seconds_max
        if not (is_recent and item.price_usd.is_finite() and item.price_usd > 0):
            continue
        known = latest.get(item.venue)
        if known is None or item.time_ms > known.time_ms:
            latest[item.venue] = item
    sources = [SourcePrice(v, p.price_usd, p.weight) for v, p in sorted(latest.items())]
    return index_price(sources, parameters)
