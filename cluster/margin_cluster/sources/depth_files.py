"""Trading activity of recorded chains by day, from the chain files of a data folder."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from margin_actors.arrays import DAY_MS
from margin_actors.engine.scenarios import DepthHistory, depth_history
from margin_actors.errors import MarginError
from margin_actors.market.activity import BucketActivity, bucket_activity, bucket_names
from margin_actors.market.chains import CHAIN_COLUMNS, snapshot_from_chain
from margin_actors.market.identity import content_id
from margin_actors.market.tables import require_columns
from margin_actors.numerics.jit import source_digest
from margin_cluster.sources.chain_files import ChainFile, read_chain, utc_time
from margin_cluster.sources.files import file_sha256
from margin_cluster.sources.store import ParquetStore

_ARRAYS = ("delta_volume", "vega_volume", "typical_vega", "typical_vol", "half_spread_vol")
_SCHEMA = pa.schema(
    [
        ("time", pa.int64()),
        ("underlying", pa.string()),
        ("index_usd", pa.float64()),
        *((name, pa.list_(pa.float64())) for name in _ARRAYS),
    ]
)
"""One row per snapshot (milliseconds since 1970-01-01 UTC) and underlying, a value per bucket."""


def load_depth_history(
    files: Sequence[ChainFile],
    bucket_days: Sequence[float],
    *,
    until: datetime,
    store: ParquetStore | None,
) -> DepthHistory | None:
    """Return the activity of the last snapshot of each UTC day that ended by `until`.

    Each file is read once and the result kept in the store, if there is one. Snapshots that cannot
    be used are omitted. None if there are no days.

    Parameters
    ----------
    files : sequence of ChainFile
    bucket_days : sequence of float
        Upper ends of the expiry buckets, days.
    until : aware datetime
        Time of the valuation; its own day is not included.
    store : ParquetStore, optional
    """
    today = int(until.timestamp() * 1000) // DAY_MS
    found: list[tuple[int, BucketActivity, dict[str, float]]] = []
    for item in files:
        if int(item.times[0].astype(np.int64)) // DAY_MS < today:
            found += _from_table(_daily_table(item, bucket_days, store), bucket_days)
    days = [
        (time // DAY_MS, activity, index)
        for time, activity, index in sorted(found, key=lambda row: row[0])
        if time // DAY_MS < today
    ]
    return depth_history(days) if days else None


def _daily_table(
    item: ChainFile, bucket_days: Sequence[float], store: ParquetStore | None
) -> pa.Table:
    """Return the activity of the last snapshot of each day of a file, in the form of `_SCHEMA`."""
    buckets = content_id("buckets", {"days": list(bucket_days)})[-12:]
    digest = source_digest("numerics", "market")
    key = f"{file_sha256(item.path)}-depth-{buckets}-{digest}"
    if store is not None and store.has("depth_history", key):
        return store.get("depth_history", key)
    table = read_chain(item.path)
    require_columns(table, CHAIN_COLUMNS, where=str(item.path))
    stamps = item.times.astype(np.int64)
    is_last = np.append(np.diff(stamps // DAY_MS) != 0, True)
    rows: list[dict[str, object]] = []
    for stamp in item.times[is_last]:
        try:
            snapshot = snapshot_from_chain(table, time=utc_time(stamp), origin=str(item.path))
        except MarginError:
            continue
        activity = bucket_activity(snapshot, bucket_days)
        for u, underlying in enumerate(activity.underlyings):
            rows.append(
                {
                    "time": int(stamp.astype(np.int64)),
                    "underlying": underlying,
                    "index_usd": snapshot.index_usd[underlying],
                    **{name: getattr(activity, name)[u].tolist() for name in _ARRAYS},
                }
            )
    out = pa.Table.from_pylist(rows, schema=_SCHEMA)
    if store is not None:
        store.put("depth_history", key, out)
        store.note_raw(key, {"object": key, "file": item.path.name, "days": int(is_last.sum())})
    return out


def _from_table(
    table: pa.Table, bucket_days: Sequence[float]
) -> list[tuple[int, BucketActivity, dict[str, float]]]:
    """Return (time in milliseconds, activity, index by underlying) of each snapshot of a table."""
    by_time: dict[int, list[dict[str, object]]] = {}
    for row in table.to_pylist():
        by_time.setdefault(row["time"], []).append(row)
    out: list[tuple[int, BucketActivity, dict[str, float]]] = []
    for time, rows in by_time.items():
        arrays = {name: np.array([row[name] for row in rows], np.float64) for name in _ARRAYS}
        names = tuple(str(row["underlying"]) for row in rows)
        index = {str(row["underlying"]): float(str(row["index_usd"])) for row in rows}
        out.append((time, BucketActivity(names, bucket_names(bucket_days), **arrays), index))
    return out
