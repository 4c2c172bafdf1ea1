"""Conversion of the exchange's book summary, as its API returns it, into a chain table."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from margin_actors.arrays import FloatArray
from margin_actors.market.instruments import instrument_from_name
from margin_actors.market.snapshots import tenor_years
from margin_actors.market.tables import ColumnKind, number_column, require_columns, text_column
from margin_actors.numerics.black76 import black76_implied_deviation

QUOTE_TIME = "timestamp"
"""Optional column of a chain table: the time of each quote."""

SUMMARY_COLUMNS: dict[str, ColumnKind] = {
    "creation_timestamp": "number",
    "instrument_name": "text",
    "underlying_price": "number",
    "estimated_delivery_price": "number",
    "bid_price": "number",
    "ask_price": "number",
    "mark_price": "number",
    "open_interest": "number",
    "volume": "number",
}


def chain_from_book_summary(table: pa.Table, *, origin: str) -> pa.Table:
    """Return a chain table from the exchange's book summary, a table with the columns of its API.

    The table is one collection run; its time is the last `creation_timestamp`, truncated to the
    second. Mark volatilities are `mark_iv` (percent) or, without that column, solved from the
    marks. `origin` names the table in error messages.

    Raises
    ------
    InvalidMarketData
        Naming every column that is missing or of another type.
    """
    require_columns(table, SUMMARY_COLUMNS, where=origin)
    seconds = int(np.nanmax(number_column(table, "creation_timestamp"))) // 1000
    time = datetime.fromtimestamp(seconds, UTC)
    n = table.num_rows
    vol = (
        number_column(table, "mark_iv") / 100.0
        if "mark_iv" in table.column_names
        else _solved_vols(table, time)
    )
    renamed = {
        "underlying": "underlying_price",
        "index_price": "estimated_delivery_price",
        **{c: c for c in ("bid_price", "ask_price", "mark_price", "open_interest", "volume")},
    }
    return pa.table(
        {
            "snapshot": pa.array([time] * n, pa.timestamp("us", "UTC")),
            "instrument_name": table.column("instrument_name"),
            "implied_volatility": vol,
            QUOTE_TIME: _times(number_column(table, "creation_timestamp")),
            **{name: number_column(table, raw) for name, raw in renamed.items()},
        }
    )


def _times(milliseconds: FloatArray) -> pa.Array:
    """Return times in milliseconds since 1970 as a column (n_rows,); NaN becomes null."""
    known = np.isfinite(milliseconds)
    whole = np.where(known, milliseconds, 0.0).astype(np.int64)
    return pa.array(whole, mask=~known).cast(pa.timestamp("ms", "UTC"))


def _solved_vols(table: pa.Table, time: datetime) -> FloatArray:
    """Return the annual volatilities implied by the marks (n_rows,), NaN where there is none."""
    n = table.num_rows
    forward, mark = number_column(table, "underlying_price"), number_column(table, "mark_price")
    strike, root, is_call = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.bool_)
    unit = np.ones(n)
    for row, name in enumerate(text_column(table, "instrument_name")):
        try:
            item = instrument_from_name(name or "")
        except ValueError:
            continue
        if item.expiry is not None and item.strike is not None and item.expiry > time:
            strike[row], is_call[row] = item.strike, bool(item.is_call)
            root[row] = np.sqrt(tenor_years(time, item.expiry))
            unit[row] = forward[row] if item.is_inverse else 1.0
    known = np.flatnonzero(np.isfinite(strike) & (forward > 0) & np.isfinite(mark))
    out = np.full(n, np.nan)
    out[known] = black76_implied_deviation(
        (mark * unit)[known], forward[known], strike[known], is_call[known]
    )
    return np.where(out > 0, out / root, np.nan)
