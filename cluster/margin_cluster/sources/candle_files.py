"""Price files of a data folder: found by name and converted once into the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa

from margin_actors.errors import named_input
from margin_actors.market.candles import (
    Candles,
    candles_from_table,
    candles_to_table,
    interval_from_times,
)
from margin_actors.market.tables import require_columns, time_column
from margin_cluster.sources.files import file_sha256, read_parquet
from margin_cluster.sources.klines import candles_from_file
from margin_cluster.sources.store import ParquetStore

SYNTHETIC_KEY = b"margin_synthetic"
"""Key in the schema metadata of files written by the synthetic data generator."""
_ENDINGS = (".parquet", ".csv", ".csv.gz", ".zip", ".json", ".json.gz")
_INTERVALS = {"_1d": 86_400, "_1h": 3_600, "_5m": 300, "_1m": 60, "_1min": 60}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A price file and the name by which models refer to it."""

    name: str
    """File name without its ending."""
    path: Path


def price_files(root: Path) -> list[SourceFile]:
    """Return the price files in `root`/prices, or in `root` if that folder does not exist.

    They are sorted by file name; of files that differ only in their ending the first is used.
    """
    folder = root / "prices" if (root / "prices").is_dir() else root
    found: dict[str, SourceFile] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        ending = next(
            (e for e in sorted(_ENDINGS, key=len, reverse=True) if path.name.endswith(e)), None
        )
        if path.is_file() and ending:
            name = path.name.removesuffix(ending)
            found.setdefault(name, SourceFile(name, path))
    return list(found.values())


def matching_files(
    files: Sequence[SourceFile], patterns: Sequence[str], underlying: str
) -> list[SourceFile]:
    """Return the files that match any pattern, in the order of the patterns, without duplicates.

    In a pattern, ``{u}`` stands for the underlying; wildcards are those of `fnmatch`.
    """
    chosen: dict[str, SourceFile] = {}
    for pattern in patterns:
        wanted = pattern.replace("{u}", underlying)
        for item in files:
            if fnmatchcase(item.name, wanted):
                chosen.setdefault(item.name, item)
    return list(chosen.values())


def interval_of_name(name: str) -> int | None:
    """Return the candle interval given by the ending of a name, in seconds, or None."""
    return next((s for ending, s in _INTERVALS.items() if name.endswith(ending)), None)


def load_candles(
    item: SourceFile, underlying: str, store: ParquetStore | None
) -> tuple[Candles, str]:
    """Return (candles, SHA-256 of the raw file).

    With a store, a file is converted once and then read from the store.

    Raises
    ------
    InvalidMarketData
        If the file cannot be read as candles.
    """
    sha = file_sha256(item.path)
    key = f"{sha}-candles-{underlying}"
    record = store.raw_record(key) if store is not None else None
    if (
        store is not None
        and record is not None
        and record["source"] == item.name
        and store.has("candles", record["object"])
    ):
        candles = candles_from_table(
            store.get("candles", record["object"]),
            source=item.name,
            underlying=underlying,
            interval_seconds=record["interval_seconds"],
            where=str(item.path),
            is_synthetic=record["synthetic"],
        )
        return candles, sha
    candles = _parse(item, underlying)
    if store is not None:
        store.put("candles", candles.id, candles_to_table(candles))
        store.note_raw(
            key,
            {
                "object": candles.id,
                "source": item.name,
                "file": item.path.name,
                "sha256": sha,
                "interval_seconds": candles.interval_seconds,
                "synthetic": candles.is_synthetic,
            },
        )
    return candles, sha


def _parse(item: SourceFile, underlying: str) -> Candles:
    where = str(item.path)
    if item.path.suffix != ".parquet":
        return candles_from_file(
            item.path,
            underlying=underlying,
            source=item.name,
            interval_seconds=interval_of_name(item.name),
        )
    table = read_parquet(item.path, what="candles")
    if "symbol" in table.column_names:  # several underlyings in one file
        symbols = table.column("symbol").to_pylist()
        table = table.filter(pa.array([str(s).startswith(underlying) for s in symbols]))
    name = "timestamp" if "timestamp" in table.column_names else "date"
    require_columns(table, {name: "time", "close": "number"}, where=where)
    with named_input("candles", where):
        interval = interval_of_name(item.name) or interval_from_times(time_column(table, name))
    return candles_from_table(
        table,
        source=item.name,
        underlying=underlying,
        interval_seconds=interval,
        where=where,
        is_synthetic=SYNTHETIC_KEY in (table.schema.metadata or {}),
    )
