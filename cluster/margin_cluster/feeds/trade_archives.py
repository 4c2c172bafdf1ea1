"""Minute bars from the archives of trades that exchanges publish.

Supported are CSV files, plain, gzipped or as the only file of a ZIP archive:

- Binance, spot and USDT-margined futures, ``trades`` and ``aggTrades``, with or without a header,
  with times in milliseconds or microseconds;
- Bybit: ``timestamp,symbol,side,size,price,…,trdMatchID,…``, times in seconds with a fraction;
- Deribit: the columns of its API, ``trade_seq,timestamp,price,amount,instrument_name,…``.
"""

import gzip
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.errors import InvalidMarketData, Problem
from margin_actors.market.instruments import instrument_from_name
from margin_cluster.feeds.bars import minute_bars
from margin_cluster.feeds.minute_files import MinuteFiles
from margin_cluster.sources.files import require_file

_NO_HEADER = {
    6: ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker"),
    7: None,  # trades of spot or aggregates of futures: decided by the sixth column
    8: ("id", "price", "qty", "first", "last", "time", "is_buyer_maker", "is_best_match"),
}
_SPOT_TRADES = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match")
_FUTURES_AGGREGATE = ("id", "price", "qty", "first", "last", "time", "is_buyer_maker")
_NAMES = {
    "time": ("time", "transact_time", "timestamp"),
    "price": ("price",),
    "size": ("qty", "quantity", "size", "amount"),
    "id": ("id", "agg_trade_id", "trade_seq", "trdmatchid", "trade_id"),
}
_UNITS = ((1e17, 1e6), (1e14, 1e3), (1e11, 1.0), (0.0, 1e-3))
"""(smallest magnitude of a time, number of its units in a millisecond), as in `candles`."""


@dataclass(frozen=True)
class ArchivedTrades:
    """Trades of one contract in the order of trading; all arrays have shape (n_trades,)."""

    time_ms: IntArray
    """Milliseconds since 1970-01-01 UTC, ascending."""
    price: FloatArray
    """US dollars (or dollar stablecoins) per coin."""
    coins: FloatArray
    """Size in coins."""

    def bars(self) -> pa.Table:
        """Return one bar per minute with a trade, columns as in `BAR_SCHEMA`."""
        return minute_bars(self.time_ms, self.price, self.coins)


def trades_from_archive(path: Path) -> ArchivedTrades:
    """Return the trades of an archive, without repeated ones, sorted by time.

    Trades of the same time keep the order of the file. Sizes of inverse contracts of Bybit
    (``BTCUSD``) and Deribit (``BTC-PERPETUAL``) are US dollars and converted into coins at the
    trade's price.

    Raises
    ------
    InvalidMarketData
        If the file is damaged, its columns are not known, it holds trades of several contracts, or
        a time, price or size is not a positive number.
    """
    table = _read(path)
    column = {n: _column(table, n, path) for n in ("time", "price", "size", "id")}
    stamp, price, size = (_numbers(column[n], n, path) for n in ("time", "price", "size"))
    time_ms = _milliseconds(stamp)
    _, first = np.unique(_keys(column["id"]), return_index=True)
    kept = np.sort(first)
    order = kept[np.argsort(time_ms[kept], kind="stable")]
    coins = size / price if _is_in_dollars(table, path) else size
    return ArchivedTrades(time_ms[order], price[order], coins[order])


def record_archive(path: Path, folder: Path, series: str) -> int:
    """Add the minute bars of an archive to a data folder; return the number of new bars.

    Minutes that are recorded are not changed, so that an archive may be added again.

    Parameters
    ----------
    path : Path
        The archive. It must cover whole minutes: the published files cover days or months.
    folder : Path
        The data folder.
    series : str
        Name of the price source, which ends in ``_1min``, for example ``binance_BTCUSDT_1min``.

    Raises
    ------
    InvalidMarketData
        As `trades_from_archive`, or if the name does not end in ``_1min``.
    """
    if not series.endswith("_1min"):
        problem = Problem("series", repr(series), "end the name with _1min")
        raise InvalidMarketData("minute bars cannot be recorded", [problem])
    return MinuteFiles(folder / "prices").add(series, trades_from_archive(path).bars())


def _read(path: Path) -> pa.Table:
    require_file(path, what="trades")
    try:
        raw = _content(path)
        first = raw[: raw.find(b"\n") if b"\n" in raw else len(raw)].decode("utf-8-sig")
        cells = [cell.strip() for cell in first.split(",")]
        names = [cell.lower() for cell in cells]
        has_header = any(name in names for name in _NAMES["price"])
        if not has_header:
            names = _names_without_header(cells)
        options = pa_csv.ReadOptions(
            column_names=names, skip_rows=int(has_header), block_size=1 << 24
        )
        return pa_csv.read_csv(io.BytesIO(raw), read_options=options)
    except (
        pa.ArrowException, OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile,
    ) as fault:  # fmt: skip
        text = str(fault).splitlines()[0][:200] if str(fault) else type(fault).__name__
        raise InvalidMarketData(
            "cannot read the trades",
            [Problem(str(path), f"damaged, or not an archive of trades: {text}", "fetch it again")],
        ) from fault


def _content(path: Path) -> bytes:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/")]
            if len(names) != 1:
                raise ValueError(f"holds {len(names)} files, one is expected")
            return archive.read(names[0])
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _names_without_header(cells: list[str]) -> list[str]:
    """Return the columns of one of Binance's files without a header; ValueError for others."""
    names = _NO_HEADER.get(len(cells), ())
    if names is None:
        # The sixth column is a flag in a file of trades, and a time in one of aggregates.
        names = _SPOT_TRADES if cells[5].lower() in ("true", "false") else _FUTURES_AGGREGATE
    if not names:
        raise ValueError(f"{len(cells)} columns without a header are not known")
    return list(names)


def _column(table: pa.Table, what: str, path: Path) -> pa.ChunkedArray:
    name = next((n for n in _NAMES[what] if n in table.column_names), None)
    if name is None:
        columns = ", ".join(table.column_names)
        problem = Problem(str(path), f"has no column of the {what}", f"the columns are {columns}")
        raise InvalidMarketData("cannot read the trades", [problem])
    return table.column(name)


def _numbers(column: pa.ChunkedArray, what: str, path: Path) -> FloatArray:
    try:
        values = np.asarray(pc.cast(column, pa.float64()).to_numpy(), np.float64)
    except pa.ArrowException:
        values = np.full(len(column), np.nan)
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0.0)))
    if bad.size:
        shown = column[int(bad[0])].as_py()
        told = f"{bad.size} rows have no positive {what}, the first is row {int(bad[0])}: {shown!r}"
        raise InvalidMarketData("cannot read the trades", [Problem(str(path), told)])
    return values


def _milliseconds(stamp: FloatArray) -> IntArray:
    """Return times in seconds, ms, us or ns, by their magnitude, as int64 milliseconds.

    float64 holds times in microseconds exactly. A fraction of a millisecond is dropped, so that a
    trade before the end of a minute stays in it.
    """
    out = np.zeros(stamp.size, np.float64)
    for least, divisor in reversed(_UNITS):
        out = np.where(stamp >= least, stamp / divisor, out)
    # A binary fraction such as 0.123 s must not become 122 ms.
    return np.floor(out + 1e-4).astype(np.int64)


def _keys(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy())
    return np.asarray(pc.cast(column, pa.string()).to_numpy(zero_copy_only=False), np.str_)


def _is_in_dollars(table: pa.Table, path: Path) -> bool:
    """Return whether sizes are US dollars: those of inverse futures and perpetuals."""
    name = next((n for n in ("instrument_name", "symbol") if n in table.column_names), None)
    if name is None:
        return False
    found = [str(value) for value in table.column(name).unique().to_pylist()]
    if len(found) != 1:
        problem = Problem(str(path), f"holds trades of {len(found)} contracts", "separate them")
        raise InvalidMarketData("cannot read the trades", [problem])
    if name == "symbol":
        return found[0].endswith("USD")
    try:
        item = instrument_from_name(found[0])
    except ValueError as fault:
        problem = Problem(str(path), f"{found[0]!r} is not a contract: {fault}")
        raise InvalidMarketData("cannot read the trades", [problem]) from fault
    return item.is_inverse and item.strike is None
