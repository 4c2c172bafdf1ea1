"""Price histories as candles of one source, and conversions from tables and text."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pyarrow as pa

from margin_actors.arrays import FloatArray, TimeArray
from margin_actors.errors import InvalidMarketData, Location, Problem
from margin_actors.market.identity import content_id
from margin_actors.market.tables import number_column, require_columns, time_column


@dataclass(frozen=True)
class Candles:
    """Candles of one instrument from one source, as read: neither sorted nor repaired.

    All arrays have shape (n_rows,).
    """

    source: str
    """Name of the source as in the model parameters, for example ``binance_BTCUSDT_1d``."""
    underlying: str
    interval_seconds: int
    open_time: TimeArray
    """datetime64[ms], UTC; a candle closes `interval_seconds` later. NaT if unreadable."""
    open: FloatArray
    """US dollars (or dollar stablecoins) per coin; NaN if absent."""
    high: FloatArray
    """As `open`."""
    low: FloatArray
    """As `open`."""
    close: FloatArray
    """As `open`."""
    volume: FloatArray
    """Coins traded over the interval; NaN if the source does not report it."""
    is_synthetic: bool = False

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.open_time.size)

    @property
    def close_time(self) -> TimeArray:
        """Time at which each candle closes, datetime64[ms] (n_rows,), UTC."""
        return self.open_time + np.timedelta64(self.interval_seconds * 1000, "ms")

    @cached_property
    def id(self) -> str:
        """Content id."""
        return content_id(
            "candles",
            {
                "source": self.source,
                "underlying": self.underlying,
                "interval": self.interval_seconds,
                "arrays": [
                    self.open_time,
                    self.open,
                    self.high,
                    self.low,
                    self.close,
                    self.volume,
                ],
                "synthetic": self.is_synthetic,
            },
        )


def at_grid(candles: Candles, interval_seconds: int) -> Candles:
    """Return the candles that close at multiples of a coarser interval since 1970 (UTC).

    Open, high, low and volume of a fine candle do not describe the coarse one and become NaN.
    """
    step = interval_seconds * 1000
    close = candles.close_time.astype(np.int64)
    rows = np.flatnonzero(~np.isnat(candles.open_time) & (close % step == 0))
    nothing = np.full(rows.size, np.nan)
    return Candles(
        source=candles.source,
        underlying=candles.underlying,
        interval_seconds=interval_seconds,
        open_time=(close[rows] - step).astype("datetime64[ms]"),
        open=nothing,
        high=nothing,
        low=nothing,
        close=candles.close[rows],
        volume=nothing,
        is_synthetic=candles.is_synthetic,
    )


def candles_to_table(candles: Candles) -> pa.Table:
    """Return the table in which the store keeps candles; `candles_from_table` reads it."""
    return pa.table(
        {
            "timestamp": pa.array(candles.open_time, pa.timestamp("ms", "UTC")),
            "open": candles.open,
            "high": candles.high,
            "low": candles.low,
            "close": candles.close,
            "volume": candles.volume,
        }
    )


_TIME_COLUMNS = ("timestamp", "date")


def candles_from_table(
    table: pa.Table,
    *,
    source: str,
    underlying: str,
    interval_seconds: int,
    where: str,
    is_synthetic: bool = False,
) -> Candles:
    """Return the candles in a table with columns ``timestamp`` (or ``date``) and ``close``.

    The columns ``open``, ``high``, ``low`` and ``volume`` are optional. `where` names the table in
    error messages.

    Raises
    ------
    InvalidMarketData
        Naming every column that is missing or of the wrong type.
    """
    time_name = next((n for n in _TIME_COLUMNS if n in table.column_names), "timestamp")
    optional = [n for n in ("open", "high", "low", "volume") if n in table.column_names]
    require_columns(
        table,
        {time_name: "time", "close": "number", **dict.fromkeys(optional, "number")},
        where=where,
    )
    missing = np.full(table.num_rows, np.nan)
    column = {
        n: number_column(table, n) if n in optional else missing
        for n in ("open", "high", "low", "volume")
    }
    return Candles(
        source=source,
        underlying=underlying,
        interval_seconds=interval_seconds,
        open_time=time_column(table, time_name),
        open=column["open"],
        high=column["high"],
        low=column["low"],
        close=number_column(table, "close"),
        volume=column["volume"],
        is_synthetic=is_synthetic,
    )


_EPOCH_UNITS = ((1e17, 1e6), (1e14, 1e3), (1e11, 1.0), (0.0, 1e-3))
_TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %I-%p",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
)


def times_from_text(texts: list[str]) -> TimeArray:
    """Return datetime64[ms] (n_texts,), UTC, from epoch numbers or from the known date formats.

    The texts are read as epoch numbers if all of them are numbers. The unit of each (s, ms, us or
    ns) follows from its magnitude, because one known supplier changes from milliseconds to seconds
    in the middle of a file. Unreadable texts become NaT.
    """
    out = np.full(len(texts), np.datetime64("NaT", "ms"))
    try:
        numbers = np.array(texts, dtype=np.float64)
    except ValueError:
        numbers = None
    if numbers is not None:
        ms = np.full(numbers.shape, np.nan)
        for least, divisor in reversed(_EPOCH_UNITS):
            ms = np.where(np.abs(numbers) >= least, numbers / divisor, ms)
        good = np.isfinite(ms)
        out[good] = ms[good].round().astype(np.int64).astype("datetime64[ms]")
        return out
    for i, text in enumerate(texts):
        cleaned = text.strip().removesuffix("Z")
        for form in _TIME_FORMATS:
            try:
                out[i] = np.datetime64(datetime.strptime(cleaned, form), "ms")  # noqa: DTZ007
                break
            except ValueError:
                continue
    return out


def interval_from_times(times: TimeArray) -> int:
    """Return the most frequent non-zero distance between adjacent rows, in seconds.

    `times` is datetime64[ms] of shape (n_rows,), ascending or descending.

    Raises
    ------
    InvalidMarketData
        If there are fewer than two different times.
    """
    steps = np.abs(np.diff(times[~np.isnat(times)].astype(np.int64)))
    steps = steps[steps > 0]
    if steps.size == 0:
        what = f"{times.size} rows, fewer than two different times"
        raise InvalidMarketData(
            "the candles have too few rows to determine their interval",
            [
                Problem(
                    Location("candles"),
                    what,
                    "give at least two, or end the file's name with the interval, for example _1d",
                )
            ],
        )
    values, counts = np.unique(steps, return_counts=True)
    return int(values[counts.argmax()] // 1000)
