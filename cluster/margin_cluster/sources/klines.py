"""Candles from files published by exchanges and data suppliers.

Supported formats: Binance archives (ZIP or CSV, with or without header, milliseconds or
microseconds); Kraken's archive (seconds, no header); OHLC with a header in any column order (comma,
semicolon or tab, optionally below a notice line, with epoch seconds and milliseconds, even mixed,
or 24- or 12-hour dates); and the JSON arrays of Bitfinex, in the order open, close, high, low.
"""

from pathlib import Path

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.errors import InvalidMarketData, Problem, named_input
from margin_actors.market.candles import Candles, interval_from_times, times_from_text
from margin_actors.market.tables import is_number
from margin_cluster.sources.files import read_json, read_text_rows

_BINANCE = ("timestamp", "open", "high", "low", "close", "volume")
_ALIASES = {
    "open_time": "timestamp",
    "unix": "timestamp",
    "unix timestamp": "timestamp",
    "time": "timestamp",
    "timestamp": "timestamp",
    "date": "date",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "volume": "volume",
}


def candles_from_file(
    path: Path, *, underlying: str, source: str | None = None, interval_seconds: int | None = None
) -> Candles:
    """Return the candles of a CSV, ZIP or JSON file.

    Only time and close are required of a file with a header; missing columns become NaN.

    Parameters
    ----------
    path : Path
    underlying : str
    source : str, optional
        Name of the source; by default the file name up to its first dot.
    interval_seconds : int, optional
        By default the most frequent distance between adjacent rows.

    Raises
    ------
    InvalidMarketData
        If the file is damaged or its columns cannot be identified.
    """
    where = str(path)
    if ".json" in path.suffixes:
        columns = _bitfinex(path)
    else:
        columns = _from_rows(read_text_rows(path, what="candles"), underlying, where)
    times = times_from_text(columns["timestamp"])
    numbers = {
        n: _numbers(columns[n]) if n in columns else np.full(times.size, np.nan)
        for n in ("open", "high", "low", "close", "volume")
    }
    with named_input("candles", where):
        seconds = interval_seconds or interval_from_times(times)
    return Candles(
        source=source or path.name.split(".")[0],
        underlying=underlying,
        interval_seconds=seconds,
        open_time=times,
        open=numbers["open"],
        high=numbers["high"],
        low=numbers["low"],
        close=numbers["close"],
        volume=numbers["volume"],
    )


def _bitfinex(path: Path) -> dict[str, list[str]]:
    rows = read_json(path, what="candles")
    if not (isinstance(rows, list) and all(isinstance(r, list) and len(r) >= 6 for r in rows)):
        raise InvalidMarketData(
            "cannot read the candles",
            [Problem(str(path), "is not a list of [ms, open, close, high, low, volume]")],
        )
    order = ("timestamp", "open", "close", "high", "low", "volume")
    return {name: [str(row[i]) for row in rows] for i, name in enumerate(order)}


def _from_rows(rows: list[list[str]], underlying: str, where: str) -> dict[str, list[str]]:
    if rows and len(rows[0]) <= 2 and not is_number(rows[0][0]) and not _is_header(rows[0]):
        rows = rows[1:]  # a notice or an address above the header
    if not rows:
        raise InvalidMarketData("cannot read the candles", [Problem(where, "has no rows")])
    if all(is_number(cell) for cell in rows[0]):
        if len(rows[0]) < 6:
            raise InvalidMarketData(
                "cannot read the candles",
                [
                    Problem(
                        where, f"no header and {len(rows[0])} columns", "six or more are expected"
                    )
                ],
            )
        return {name: [row[i] for row in rows] for i, name in enumerate(_BINANCE)}
    header = [cell.strip().lower() for cell in rows[0]]
    index: dict[str, int] = {}
    for i, name in enumerate(header):
        key = _ALIASES.get(name)
        if key and key not in index:
            index[key] = i
        elif name == f"volume {underlying.lower()}":
            index["volume"] = i
    if "timestamp" not in index and "date" in index:
        index["timestamp"] = index["date"]
    missing = [n for n in ("timestamp", "close") if n not in index]
    if missing:
        raise InvalidMarketData(
            "cannot read the candles",
            [
                Problem(where, f"column {n!r} is missing", f"the header is {', '.join(header)}")
                for n in missing
            ],
        )
    width = max(index.values())
    body = [row for row in rows[1:] if len(row) > width]
    return {name: [row[i] for row in body] for name, i in index.items()}


def _is_header(row: list[str]) -> bool:
    return "close" in {_ALIASES.get(cell.strip().lower()) for cell in row}


def _numbers(texts: list[str]) -> FloatArray:
    try:
        return np.array(texts, dtype=np.float64)
    except ValueError:
        return np.array([float(t) if is_number(t) else np.nan for t in texts], np.float64)
