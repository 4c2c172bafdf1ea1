"""Lossless conversion of a snapshot to one table and back; the id is preserved."""

import json
from datetime import date, datetime

import numpy as np
import pyarrow as pa

from margin_actors.errors import InvalidMarketData, Problem
from margin_actors.market.rates import RateCurve
from margin_actors.market.snapshots import ExpiryForward, MarketSnapshot, OptionQuotes
from margin_actors.market.tables import ColumnKind, number_column, require_columns

_META = b"margin.snapshot"
_NUMBERS = ("strike_usd", "bid", "ask", "mark", "mark_vol", "open_interest", "volume")
_AGE = "age_seconds"
"""Column of the ages of quotes, if they are known."""
_COLUMNS: dict[str, ColumnKind] = {
    "instrument_name": "text",
    "expiry_index": "number",
    "is_call": "boolean",
    "is_inverse": "boolean",
    **dict[str, ColumnKind].fromkeys(_NUMBERS, "number"),
}


def snapshot_to_table(snapshot: MarketSnapshot) -> pa.Table:
    """Return a table with one row per listed option; the schema metadata hold all other fields."""
    quotes = snapshot.options
    columns: dict[str, object] = {
        "instrument_name": pa.array(quotes.names, pa.string()),
        "expiry_index": quotes.expiry_index,
        "is_call": pa.array(quotes.is_call),
        "is_inverse": pa.array(quotes.is_inverse),
    } | {name: getattr(quotes, name) for name in _NUMBERS}
    if quotes.age_seconds is not None:
        columns[_AGE] = quotes.age_seconds
    meta: dict[str, object] = {
        "id": snapshot.id,
        "time": snapshot.time.isoformat(),
        "index_usd": snapshot.index_usd,
        "expiries": [
            [e.underlying, e.expiry.isoformat(), e.forward_usd, e.tenor_years]
            for e in snapshot.expiries
        ],
        "is_synthetic": snapshot.is_synthetic,
        "origin": snapshot.origin,
        "discount_annual": snapshot.discount_annual,
    }
    if snapshot.perpetual_usd:
        meta["perpetual_usd"] = snapshot.perpetual_usd
    if snapshot.rates is not None:
        meta["rates"] = {
            "day": snapshot.rates.day.isoformat(),
            "tenor_years": snapshot.rates.tenor_years.tolist(),
            "zero_rate": snapshot.rates.zero_rate.tolist(),
        }
    return pa.table(columns).replace_schema_metadata({_META: json.dumps(meta).encode()})


def snapshot_from_table(table: pa.Table, *, where: str) -> MarketSnapshot:
    """Return the snapshot in a table written by `snapshot_to_table`.

    Raises
    ------
    InvalidMarketData
        If the table does not hold a snapshot, or its content does not match the id in its metadata.
    """
    raw = (table.schema.metadata or {}).get(_META)
    if raw is None:
        raise InvalidMarketData(
            f"{where} does not hold a snapshot", [Problem(where, "its metadata are missing")]
        )
    require_columns(table, _COLUMNS, where=where)
    meta = json.loads(raw)
    rates = meta.get("rates")
    numbers = {name: number_column(table, name) for name in _NUMBERS}
    snapshot = MarketSnapshot(
        time=datetime.fromisoformat(meta["time"]),
        index_usd=meta["index_usd"],
        expiries=tuple(
            ExpiryForward(u, datetime.fromisoformat(e), f, t) for u, e, f, t in meta["expiries"]
        ),
        options=OptionQuotes(
            names=tuple(table.column("instrument_name").to_pylist()),
            expiry_index=number_column(table, "expiry_index").astype(np.int32),
            is_call=np.asarray(table.column("is_call").to_pylist(), np.bool_),
            is_inverse=np.asarray(table.column("is_inverse").to_pylist(), np.bool_),
            **numbers,
            age_seconds=number_column(table, _AGE) if _AGE in table.column_names else None,
        ),
        is_synthetic=meta["is_synthetic"],
        origin=meta["origin"],
        discount_annual=meta["discount_annual"],
        perpetual_usd=meta.get("perpetual_usd", {}),
        rates=None
        if rates is None
        else RateCurve(
            date.fromisoformat(rates["day"]),
            np.array(rates["tenor_years"], np.float64),
            np.array(rates["zero_rate"], np.float64),
        ),
    )
    if snapshot.id != meta["id"]:
        raise InvalidMarketData(
            f"the content of {where} does not match its id",
            [Problem(where, f"stated id {meta['id']}, computed id {snapshot.id}")],
        )
    return snapshot
