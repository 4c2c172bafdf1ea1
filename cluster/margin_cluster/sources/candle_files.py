"""Price files of a data folder: found by name and converted once into the store."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from margin_actors.errors import named_input
from margin_actors.market.candles import (
    Candles,
    candles_from_table,
    candles_to_table,
    interval_from_times,
)
from margin_actors.market.tables import require_columns, time_column
from margin_cluster.sources.archives import ArchiveName, archive_name, interval_of_name
from margin_cluster.sources.files import file_sha256, read_parquet
from margin_cluster.sources.klines import candles_from_file
from margin_cluster.sources.store import ParquetStore

SYNTHETIC_KEY = b"margin_synthetic"
"""Key in the schema metadata of files written by the synthetic data generator."""
_ENDINGS = (".csv.gz", ".json.gz", ".parquet", ".csv", ".zip", ".json")
_OTHER_FOLDERS = ("options", "vol", "portfolios")
"""Folders of a data folder that hold no prices."""


@dataclass(frozen=True, slots=True)
class PriceSource:
    """A price source: one file, or the archives of one contract."""

    name: str
    """Name by which models refer to it: the file name without its ending."""
    paths: tuple[Path, ...]
    """Files in the order of time; several only for archives of one month or day each."""
    interval_seconds: int | None = None
    """Interval of the candles according to the name; None if the name does not state it."""


def price_sources(root: Path) -> list[PriceSource]:
    """Return the sources in `root`/prices, or in `root` if that folder does not exist.

    Files come first, sorted by name; of files that differ only in their ending the first is used.
    Archives are also found in subfolders; a file of the same name takes their place.
    """
    folder = root / "prices" if (root / "prices").is_dir() else root
    found: dict[str, PriceSource] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        ending = next((e for e in _ENDINGS if path.name.endswith(e)), None)
        if ending and path.is_file() and archive_name(path.relative_to(folder)) is None:
            name = path.name.removesuffix(ending)
            found.setdefault(name, PriceSource(name, (path,), interval_of_name(name)))
    groups: dict[str, dict[str, tuple[ArchiveName, Path]]] = {}
    for path, item in _archives(folder):
        groups.setdefault(item.source, {}).setdefault(item.period, (item, path))
    for name, periods in sorted(groups.items()):
        paths = tuple(path for _, (_, path) in sorted(periods.items()))
        seconds = next(iter(periods.values()))[0].interval_seconds
        found.setdefault(name, PriceSource(name, paths, seconds))
    return list(found.values())


def _archives(folder: Path) -> Iterator[tuple[Path, ArchiveName]]:
    """Yield all archives below a folder of prices, sorted by path."""
    for path in sorted(folder.rglob("*-*-*.*")) if folder.is_dir() else []:
        relative = path.relative_to(folder)
        item = archive_name(relative)
        if item is not None and relative.parts[0] not in _OTHER_FOLDERS and path.is_file():
            yield path, item


def matching_sources(
    sources: Sequence[PriceSource], patterns: Sequence[str], underlying: str
) -> list[PriceSource]:
    """Return the sources that match any pattern, in the order of the patterns, without duplicates.

    In a pattern, ``{u}`` stands for the underlying; wildcards are those of `fnmatch`. If a pattern
    matches no source, a source without the name of an exchange is also accepted:
    ``BTCUSDT_1d`` or ``BTCUSDT-1d`` for ``binance_BTCUSDT_1d``.
    """
    chosen: dict[str, PriceSource] = {}
    for pattern in patterns:
        wanted = pattern.replace("{u}", underlying)
        matches = [item for item in sources if fnmatchcase(item.name, wanted)]
        without_exchange = wanted.partition("_")[2]
        if not matches and underlying in without_exchange:
            matches = [
                item
                for item in sources
                if fnmatchcase(item.name.replace("-", "_"), without_exchange)
            ]
        for item in matches:
            chosen.setdefault(item.name, item)
    return list(chosen.values())


def load_candles(
    item: PriceSource, underlying: str, store: ParquetStore | None
) -> tuple[Candles, tuple[str, ...]]:
    """Return (candles, SHA-256 of each raw file).

    With a store, a source is converted once and then read from the store.

    Raises
    ------
    InvalidMarketData
        If a file cannot be read as candles.
    """
    hashes = tuple(file_sha256(path) for path in item.paths)
    joined = hashes[0] if len(hashes) == 1 else sha256("\n".join(hashes).encode()).hexdigest()
    key = f"{joined}-candles-{underlying}"
    kept = None if store is None else _stored_candles(item, underlying, store, key)
    if kept is not None:
        return kept, hashes
    candles = _joined([_parse(path, item, underlying) for path in item.paths])
    if store is not None:
        store.put("candles", candles.id, candles_to_table(candles))
        store.note_raw(
            key,
            {
                "object": candles.id,
                "source": item.name,
                "file": item.paths[0].name,
                "files": len(item.paths),
                "sha256": joined,
                "interval_seconds": candles.interval_seconds,
                "synthetic": candles.is_synthetic,
            },
        )
    return candles, hashes


def _stored_candles(
    item: PriceSource, underlying: str, store: ParquetStore, key: str
) -> Candles | None:
    """Return the candles into which the source was converted before, or None."""
    record = store.raw_record(key)
    if record is None or record["source"] != item.name:
        return None
    object_id = str(record["object"])
    if not store.has("candles", object_id):
        return None
    return candles_from_table(
        store.get("candles", object_id),
        source=item.name,
        underlying=underlying,
        interval_seconds=int(record["interval_seconds"]),
        where=str(item.paths[0]),
        is_synthetic=bool(record["synthetic"]),
    )


def _joined(parts: Sequence[Candles]) -> Candles:
    """Return the candles of all files of one source as one history."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return Candles(
        source=first.source,
        underlying=first.underlying,
        interval_seconds=first.interval_seconds,
        open_time=np.concatenate([c.open_time for c in parts]),
        open=np.concatenate([c.open for c in parts]),
        high=np.concatenate([c.high for c in parts]),
        low=np.concatenate([c.low for c in parts]),
        close=np.concatenate([c.close for c in parts]),
        volume=np.concatenate([c.volume for c in parts]),
        is_synthetic=any(c.is_synthetic for c in parts),
    )


def _parse(path: Path, item: PriceSource, underlying: str) -> Candles:
    where = str(path)
    if path.suffix != ".parquet":
        return candles_from_file(
            path, underlying=underlying, source=item.name, interval_seconds=item.interval_seconds
        )
    table = read_parquet(path, what="candles")
    if "symbol" in table.column_names:  # several underlyings in one file
        symbols = table.column("symbol").to_pylist()
        table = table.filter(pa.array([str(s).startswith(underlying) for s in symbols]))
    name = "timestamp" if "timestamp" in table.column_names else "date"
    require_columns(table, {name: "time", "close": "number"}, where=where)
    with named_input("candles", where):
        interval = item.interval_seconds or interval_from_times(time_column(table, name))
    return candles_from_table(
        table,
        source=item.name,
        underlying=underlying,
        interval_seconds=interval,
        where=where,
        is_synthetic=SYNTHETIC_KEY in (table.schema.metadata or {}),
    )


def is_marked_synthetic(path: Path) -> bool:
    """Return whether a file is a Parquet file that the synthetic data generator wrote."""
    if path.suffix != ".parquet" or not path.is_file():
        return False
    return SYNTHETIC_KEY in (pq.read_schema(path).metadata or {})
