"""Alignment of the rows of one source to an equally spaced grid; faulty rows are counted."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.market.candles import Candles


@dataclass(frozen=True, slots=True)
class GridSpec:
    """A grid of `n` close times first, first + step, ...; milliseconds since 1970, UTC."""

    first_ms: int
    step_ms: int
    n: int


@dataclass(frozen=True)
class AlignedSource:
    """One source on the grid. `price` and `volume` have shape (n_points,)."""

    source: str
    price: FloatArray
    """US dollars per coin; NaN where the source has no usable row."""
    volume: FloatArray
    """Coins; NaN if not reported."""
    faults: dict[str, int]
    """Number of rows with each fault of `FAULTS` that the alignment finds."""
    not_used: int
    """Number of rows with a price that close after the bound."""
    rows: int
    """Number of rows of the source."""
    first: str
    """First close time, to the minute; empty if there is none."""
    last: str
    """Last close time, to the minute; empty if there is none."""
    bad_points: dict[str, IntArray]
    """Indices of the grid points with an inconsistent row, by fault."""


def grid_over(candles: list[Candles], *, interval_seconds: int, until_ms: int) -> GridSpec:
    """Return the smallest grid that covers the usable rows of all sources up to `until_ms`.

    The bound is inclusive, in milliseconds since 1970, UTC. Without usable rows the grid is empty.
    """
    step = interval_seconds * 1000
    firsts, lasts = [], []
    for item in candles:
        usable = ~np.isnat(item.open_time) & (item.close > 0) & np.isfinite(item.close)
        closes = item.close_time[usable].astype(np.int64)
        on_grid = closes[(closes % step == _phase(closes, step)) & (closes <= until_ms)]
        if on_grid.size:
            firsts.append(int(on_grid.min()))
            lasts.append(int(on_grid.max()))
    if not firsts:
        return GridSpec(0, step, 0)
    first = min(firsts)
    return GridSpec(first, step, (max(lasts) - first) // step + 1)


def _phase(closes: IntArray, step: int) -> int:
    """Return the most frequent remainder; the days of a source may begin at 08:00, for example."""
    if closes.size == 0:
        return 0
    values, counts = np.unique(closes % step, return_counts=True)
    return int(values[counts.argmax()])


def align(candles: Candles, grid: GridSpec, *, until_ms: int) -> AlignedSource:
    """Return `candles` on `grid`, without rows that close after `until_ms`.

    Rows are sorted, and all but the first of the rows for one time are dropped. Both faults are
    counted.
    """
    step, n = grid.step_ms, grid.n
    price, volume = np.full(n, np.nan), np.full(n, np.nan)
    closes = candles.close_time.astype(np.int64)
    readable = ~np.isnat(candles.open_time) & np.isfinite(candles.close)
    positive = readable & (candles.close > 0)
    closed = closes <= until_ms
    slot = (closes - grid.first_ms) // max(step, 1)
    on_grid = (closes - grid.first_ms) % max(step, 1) == 0
    usable = positive & closed & on_grid & (slot >= 0) & (slot < n)
    rows = np.flatnonzero(usable)
    order = rows[np.argsort(slot[rows], kind="stable")]
    slots = slot[order]
    is_first = np.ones(slots.size, np.bool_)
    is_first[1:] = slots[1:] != slots[:-1]
    kept = order[is_first]
    price[slot[kept]] = candles.close[kept]
    volume[slot[kept]] = candles.volume[kept]
    timed = closes[readable]
    bounds = np.isfinite(candles.high) & np.isfinite(candles.low) & usable
    slack = 1e-9 * np.abs(candles.close)
    outside = bounds & (
        (candles.close > candles.high + slack) | (candles.close < candles.low - slack)
    )
    stamps = candles.close_time[readable]
    return AlignedSource(
        source=candles.source,
        price=price,
        volume=volume,
        faults={
            "unreadable": int((~readable).sum()),
            "not_positive": int((readable & ~positive).sum()),
            "off_grid": int((positive & closed & ~on_grid).sum()),
            "out_of_order": _out_of_order(timed),
            "duplicate": int(slots.size - kept.size),
            "inconsistent": int(outside.sum()),
        },
        not_used=int((positive & ~closed).sum()),
        rows=len(candles),
        first=str(stamps.min())[:16] if stamps.size else "",
        last=str(stamps.max())[:16] if stamps.size else "",
        bad_points={"inconsistent": slot[outside]},
    )


def _out_of_order(times: IntArray) -> int:
    """Return the number of rows out of order, in a file that may be ascending or descending."""
    if times.size < 2:
        return 0
    steps = np.diff(times)
    return int(min((steps < 0).sum(), (steps > 0).sum()))
