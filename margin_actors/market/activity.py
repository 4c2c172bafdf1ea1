"""Trading activity and quotes of an option chain, by underlying and expiry bucket.

Greeks are those of Black-76 at the mark volatility of each option.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.numerics.black76 import black76_delta, black76_vega

OUTRIGHTS = "outrights"
"""Name of the bucket of perpetuals and spot."""


def bucket_names(bucket_days: Sequence[float]) -> tuple[str, ...]:
    """Return the names of the expiry buckets whose upper ends are `bucket_days`, in days.

    Examples
    --------
    >>> bucket_names((7.0, 30.0))
    ('outrights', '0-7 d', '7-30 d', 'over 30 d')
    """
    edges = (0.0, *bucket_days)
    inner = [f"{a:g}-{b:g} d" for a, b in pairwise(edges)]
    return (OUTRIGHTS, *inner, f"over {edges[-1]:g} d")


@dataclass(frozen=True)
class BucketActivity:
    """Volumes and quotes of one snapshot by bucket.

    All arrays are float64 (n_underlyings, n_buckets). The bucket of outrights and buckets without
    options have volumes of 0, and NaN otherwise. Options without a mark volatility do not count.
    """

    underlyings: tuple[str, ...]
    """Sorted by name."""
    buckets: tuple[str, ...]
    """As `bucket_names`."""
    delta_volume: FloatArray
    """Absolute delta traded over the last day, coins."""
    vega_volume: FloatArray
    """Vega traded over the last day, US dollars per unit of volatility."""
    typical_vega: FloatArray
    """Median vega of the options on one coin, US dollars per unit of volatility."""
    typical_vol: FloatArray
    """Mean mark volatility, weighted by vega; an annual fraction."""
    half_spread_vol: FloatArray
    """Median of half the bid-ask spread, in volatility as a fraction; NaN without a positive
    spread."""


def bucket_activity(snapshot: MarketSnapshot, bucket_days: Sequence[float]) -> BucketActivity:
    """Return the activity of a snapshot; `bucket_days` are the upper ends of the buckets, days."""
    quotes, names = snapshot.options, bucket_names(bucket_days)
    underlyings = tuple(sorted(snapshot.index_usd))
    place = {u: i for i, u in enumerate(underlyings)}
    of = quotes.expiry_index
    underlying = np.array([place[e.underlying] for e in snapshot.expiries], np.int64)[of]
    tenor = np.array([e.tenor_years for e in snapshot.expiries], np.float64)[of]
    forward = np.array([e.forward_usd for e in snapshot.expiries], np.float64)[of]
    index = np.array([snapshot.index_usd[u] for u in underlyings])[underlying]
    bucket = 1 + np.searchsorted(np.array(bucket_days), tenor * 365.0)
    known = np.isfinite(quotes.mark_vol) & (quotes.mark_vol > 0.0)
    vol = np.where(known, quotes.mark_vol, 1.0)
    delta = np.abs(black76_delta(forward, quotes.strike_usd, vol, tenor, quotes.is_call))
    scale = np.where(quotes.is_inverse, index / forward, 1.0)
    vega = scale * black76_vega(forward, quotes.strike_usd, vol, tenor)
    volume = np.where(known & np.isfinite(quotes.volume), quotes.volume, 0.0)
    half = 0.5 * (quotes.ask - quotes.bid) * np.where(quotes.is_inverse, index, 1.0)
    points = np.where(vega > 0.0, half / np.where(vega > 0.0, vega, 1.0), np.nan)
    cells = (len(underlyings), len(names))
    delta_volume, vega_volume = np.zeros(cells), np.zeros(cells)
    typical, mean_vol, spread = (np.full(cells, np.nan) for _ in range(3))
    for u in range(cells[0]):
        for b in range(1, cells[1]):
            here = (underlying == u) & (bucket == b) & known
            if not here.any():
                continue
            delta_volume[u, b] = float((volume * delta)[here].sum())
            vega_volume[u, b] = float((volume * vega)[here].sum())
            typical[u, b] = float(np.median(vega[here]))
            whole = float(vega[here].sum())
            if whole > 0.0:
                mean_vol[u, b] = float((vega * vol)[here].sum()) / whole
            seen = points[here & (points > 0.0)]
            if seen.size:
                spread[u, b] = float(np.median(seen))
    return BucketActivity(underlyings, names, delta_volume, vega_volume, typical, mean_vol, spread)
