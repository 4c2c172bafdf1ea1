"""Minute bars in files of one month each, and other series that grow.

A bar, once written, is not changed: writing the same minutes again has no effect. Every file is
replaced atomically, so that a reader or a restart sees either the old or the new content.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from margin_actors.arrays import IntArray
from margin_cluster.atomic import write_atomically
from margin_cluster.feeds.bars import BAR_SCHEMA
from margin_cluster.sources.files import read_parquet


class MinuteFiles:
    """The files ``NAME-YYYY-MM.parquet`` of a folder; `sources.archives` finds them by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, bars: pa.Table) -> int:
        """Add the bars of minutes that are not recorded, and return their number."""
        added = 0
        for month in sorted(set(_months(bars))):
            rows = bars.filter(pa.array([m == month for m in _months(bars)]))
            path = self._folder / f"{name}-{month}.parquet"
            added += add_rows(path, rows, key="timestamp")
        return added

    def months(self, name: str) -> list[str]:
        """Return the months with recorded bars, as ``YYYY-MM``, ascending."""
        found = self._folder.glob(f"{name}-????-??.parquet") if self._folder.is_dir() else ()
        return sorted(path.stem[-7:] for path in found)

    def read(self, name: str, months: Sequence[str]) -> pa.Table:
        """Return the recorded bars of some months, columns as in `BAR_SCHEMA`, ascending."""
        tables = [
            read_parquet(self._folder / f"{name}-{month}.parquet", what="minute bars")
            for month in months
        ]
        return pa.concat_tables([BAR_SCHEMA.empty_table(), *tables])

    def end_ms(self, name: str) -> int | None:
        """Return the end of the last recorded minute; None if nothing is recorded."""
        months = self.months(name)
        if not months:
            return None
        return int(stamps_ms(self.read(name, months[-1:]), "timestamp").max()) + 60_000


def add_rows(path: Path, rows: pa.Table, *, key: str) -> int:
    """Add rows whose `key` (a time) is not in a file yet, sorted by it; return their number.

    The file is created if it does not exist, and not written if nothing is new. Of several rows
    with one key the first counts.
    """
    _, first = np.unique(stamps_ms(rows, key), return_index=True)
    rows = rows.take(pa.array(first))
    if path.exists():
        known = read_parquet(path, what="recorded series")
        new = ~np.isin(stamps_ms(rows, key), stamps_ms(known, key))
        rows = rows.filter(pa.array(new))
        table = pa.concat_tables([known, rows.cast(known.schema)])
    else:
        table = rows
    if rows.num_rows:
        table = table.sort_by(key)
        write_atomically(path, lambda aside: pq.write_table(table, aside, compression="zstd"))
    return rows.num_rows


def stamps_ms(table: pa.Table, column: str) -> IntArray:
    """Return a column of times as int64 (n_rows,), milliseconds since 1970-01-01 UTC."""
    times = pc.cast(table.column(column), pa.timestamp("ms"), safe=False)
    return np.asarray(times.to_numpy()).astype("datetime64[ms]").astype(np.int64)


def _months(bars: pa.Table) -> list[str]:
    return [
        f"{datetime.fromtimestamp(ms / 1000.0, UTC):%Y-%m}"
        for ms in stamps_ms(bars, "timestamp").tolist()
    ]
