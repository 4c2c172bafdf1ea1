"""Minute bars from trades or ticks. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from margin_actors.arrays import FloatArray, IntArray

MINUTE_MS = 60_000
BAR_SCHEMA = pa.schema(
    [
        ("timestamp", pa.timestamp("ms", "UTC")),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("close", pa.float64()),
        ("volume", pa.float64()),
        ("trades", pa.int32()),
    ]
)
"""Columns of a table of bars: start of the minute, prices, coins (NaN for ticks), count."""


def minute_bars(time_ms: IntArray, price: FloatArray, coins: FloatArray) -> pa.Table:
    """Return one bar per minute with a trade; columns as in `BAR_SCHEMA`.

    Parameters
    ----------
    time_ms : int64 (n_trades,)
        Milliseconds since 1970-01-01 UTC, ascending; equal times are in the order of trading.
    price : float64 (n_trades,)
        US dollars per coin, or volatility points.
    coins : float64 (n_trades,)
        Sizes in coins; NaN for ticks.
    """
    if time_ms.size == 0:
        return BAR_SCHEMA.empty_table()
    minute = time_ms // MINUTE_MS
    first = np.flatnonzero(np.append(True, np.diff(minute) != 0))
    last = np.append(first[1:], minute.size) - 1
    return pa.table(
        {
            "timestamp": pa.array(minute[first] * MINUTE_MS, pa.int64()).cast(
                pa.timestamp("ms", "UTC")
            ),
            "open": price[first],
            "high": np.maximum.reduceat(price, first),
            "low": np.minimum.reduceat(price, first),
            "close": price[last],
            "volume": np.add.reduceat(coins, first),
            "trades": pa.array(last - first + 1, pa.int32()),
        },
        schema=BAR_SCHEMA,
    )


_NO_BARS = BAR_SCHEMA.empty_table()


@dataclass
class OpenMinutes:
    """The trades or ticks of one series in minutes that are not complete.

    A value is identified by its key, so that a repetition has no effect. Minutes that began before
    the series was observed, or of which something is lost, are never closed into a bar.
    """

    known_from_ms: int | None = None
    """Start of the time that is observed without a gap; None before the first value."""
    late: int = 0
    """Number of values that arrived after their minute was closed."""
    _closed_ms: int = -1
    _minutes: dict[int, dict[object, tuple[int, int, float, float]]] = field(
        default_factory=dict[int, dict[object, tuple[int, int, float, float]]]
    )
    _unknown: set[int] = field(default_factory=set[int])

    def add(self, time_ms: int, price: float, coins: float, *, key: object, order: int) -> None:
        """Add a value; `order` decides between values of the same millisecond."""
        if self.known_from_ms is None:
            self.known_from_ms = time_ms
        if time_ms < self._closed_ms:
            self.late += 1
            return
        minute = self._minutes.setdefault(time_ms // MINUTE_MS, {})
        minute.setdefault(key, (time_ms, order, price, coins))

    def lose(self, first_ms: int, last_ms: int) -> None:
        """Note that values between two times are lost: their minutes are unknown."""
        low, high = first_ms // MINUTE_MS, last_ms // MINUTE_MS
        if low <= high:
            self._unknown.add(low)
            self._unknown.add(high)
            self._unknown.update(m for m in self._minutes if low <= m <= high)

    def restart(self) -> None:
        """Note that the observation is interrupted: what is open is never complete."""
        self._minutes.clear()
        self._unknown.clear()
        self.known_from_ms = None

    def close_before(self, time_ms: int) -> pa.Table:
        """Return the bars of the minutes that ended by a time; they accept no more values."""
        end = time_ms // MINUTE_MS
        if end * MINUTE_MS <= self._closed_ms:
            return _NO_BARS
        self._closed_ms = max(self._closed_ms, end * MINUTE_MS)
        rows: list[tuple[int, int, float, float]] = []
        for minute in sorted(m for m in self._minutes if m < end):
            values = self._minutes.pop(minute)
            whole = self.known_from_ms is not None and minute * MINUTE_MS >= self.known_from_ms
            if whole and minute not in self._unknown:
                rows += values.values()
        self._unknown = {m for m in self._unknown if m >= end}
        return _bars_of(rows)


def _bars_of(rows: Sequence[tuple[int, int, float, float]]) -> pa.Table:
    ordered = sorted(rows, key=lambda row: row[:2])
    return minute_bars(
        np.array([row[0] for row in ordered], np.int64),
        np.array([row[2] for row in ordered], np.float64),
        np.array([row[3] for row in ordered], np.float64),
    )
