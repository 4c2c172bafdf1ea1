"""Option-chain files of a data folder: snapshots, and the history of fitted surfaces."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from margin_actors.arrays import TimeArray
from margin_actors.engine.scenarios import SurfaceHistory
from margin_actors.errors import MarginError, MissingMarketData, Problem
from margin_actors.market.book_summary import chain_from_book_summary
from margin_actors.market.chain_quality import ChainQualityLimits, screen_snapshot
from margin_actors.market.chains import (
    CHAIN_COLUMNS,
    nearest_times,
    snapshot_from_chain,
    snapshot_times,
)
from margin_actors.market.identity import content_id
from margin_actors.market.snapshots import ExpiryForward, MarketSnapshot
from margin_actors.market.surfaces import (
    SviSlice,
    VolatilitySurface,
    fit_surfaces,
    slice_parameters,
)
from margin_actors.market.tables import require_columns, time_column
from margin_actors.numerics.jit import source_digest
from margin_cluster.sources.candle_files import SYNTHETIC_KEY
from margin_cluster.sources.files import file_sha256, read_parquet
from margin_cluster.sources.store import ParquetStore

Advance = Callable[[int, int], None]
"""Progress callback, called with (number of snapshots done, total number)."""


NO_GATES = ChainQualityLimits()
_SUMMARY = "book_summary"
_PATTERNS = ("*chain*.parquet", f"*{_SUMMARY}*.parquet")


@dataclass(frozen=True, slots=True)
class ChainFile:
    """A chain file and its snapshot times."""

    path: Path
    times: TimeArray
    """datetime64[ms] (n_snapshots,), UTC, ascending."""


def chain_files(root: Path) -> list[ChainFile]:
    """Return the chain files of a data folder, ordered by their first snapshot."""
    folder = root / "options"
    files: list[ChainFile] = []
    paths = {p for pattern in _PATTERNS for p in folder.glob(pattern)} if folder.is_dir() else set()
    for path in sorted(paths):
        table = read_chain(path, columns=["snapshot"])
        require_columns(table, {"snapshot": "time"}, where=str(path))
        files.append(ChainFile(path, snapshot_times(table)))
    return sorted(
        (f for f in files if f.times.size), key=lambda f: int(f.times[0].astype(np.int64))
    )


def read_chain(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Return a chain table from a chain file, or from a book summary in the exchange's format.

    A file is a book summary if its name says so; then all columns are returned.
    """
    if _SUMMARY in path.name:
        table = read_parquet(path, what="book summary")
        return chain_from_book_summary(table, origin=str(path))
    return read_parquet(path, what="option chain", columns=columns)


def utc_time(stamp: np.datetime64) -> datetime:
    """Return a datetime64 stamp, which is UTC, as an aware datetime."""
    return stamp.astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC)


def load_snapshot(
    files: Sequence[ChainFile], time: datetime | None, root: Path, *, for_gates: bool = False
) -> MarketSnapshot:
    """Return the snapshot at `time` (aware), or the latest if `time` is None.

    `root` names the data folder in messages; `for_gates` is as in `snapshot_from_chain`.

    Raises
    ------
    MissingMarketData
        If there are no files, or none has that time; the message then names the nearest times.
    """
    if not files:
        raise MissingMarketData(
            f"{root} has no option chains",
            [
                Problem(
                    str(root / "options"),
                    "no file matches *chain*.parquet",
                    "check --data; add chains with `margin data fetch`; or write the market by "
                    "hand: --snapshot FILE.toml (docs/tutorial.md) with a model that needs no "
                    "chains, for example --model plain-hs",
                )
            ],
        )
    wanted = (
        max(f.times[-1] for f in files)
        if time is None
        else np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "ms")
    )
    for item in files:
        if np.any(item.times == wanted):
            table = read_chain(item.path)
            synthetic = SYNTHETIC_KEY in (table.schema.metadata or {})
            return snapshot_from_chain(
                table,
                time=utc_time(wanted),
                origin=str(item.path),
                is_synthetic=synthetic,
                for_gates=for_gates,
            )
    every = np.sort(np.concatenate([f.times for f in files]))
    raise MissingMarketData(
        f"{root} has no snapshot of {utc_time(wanted).isoformat()}",
        nearest_times(every, utc_time(wanted), str(root)),
    )


def load_surface_histories(
    files: Sequence[ChainFile],
    underlyings: Sequence[str],
    *,
    until: datetime,
    store: ParquetStore | None,
    threads: int,
    advance: Advance | None = None,
    limits: ChainQualityLimits = NO_GATES,
) -> tuple[dict[str, SurfaceHistory], list[str]]:
    """Return the SVI surfaces of all snapshots up to `until`, and remarks on omitted snapshots.

    Surfaces of past snapshots are fitted to the marks, which every listed option has. Each file is
    fitted once and the result kept in the store, if there is one. Snapshots that cannot be fitted
    are omitted and counted. If the quality gates `limits` are enabled, what they exclude is not
    used, and only an expiry that cannot be fitted is omitted.

    Returns
    -------
    histories : dict
        By underlying; without an entry for underlyings that have no surface.
    remarks : list of str
        One sentence per file with omitted snapshots.
    """
    limit = np.datetime64(until.astimezone(UTC).replace(tzinfo=None), "ms")
    parts: list[pa.Table] = []
    remarks: list[str] = []
    total = sum(f.times.size for f in files)
    done = 0
    for item in files:
        if item.times[0] > limit:
            continue

        def step(n: int, base: int = done) -> None:
            if advance:
                advance(base + n, total)

        table = _history_table(item, store, threads, step, limits)
        parts.append(table)
        lost = item.times.size - len(table.column("time").unique())
        if lost:
            remarks.append(
                f"{lost} of {item.times.size} snapshots of {item.path.name} cannot be fitted and "
                "are not part of the chain history"
            )
        done += item.times.size
        step(0, done)
    if advance:
        advance(total, total)
    tables = pa.concat_tables(parts) if parts else None
    return ({} if tables is None else _histories(tables, underlyings, limit)), remarks


def _history_table(
    item: ChainFile,
    store: ParquetStore | None,
    threads: int,
    step: Callable[[int], None],
    limits: ChainQualityLimits,
) -> pa.Table:
    key = f"{file_sha256(item.path)}-surfaces-{source_digest('numerics', 'market/surfaces')}"
    if limits.enabled:
        gates = content_id("limits", limits.model_dump(mode="json"))
        key += f"-{gates}-{source_digest('market/chain_quality')}"
    if store is not None and store.has("surface_history", key):
        return store.get("surface_history", key)
    table = read_chain(item.path)
    require_columns(table, CHAIN_COLUMNS, where=str(item.path))
    rows: list[list[dict[str, object]]] = []

    def fit(stamp: np.datetime64) -> list[dict[str, object]]:
        try:
            snapshot = snapshot_from_chain(
                table, time=utc_time(stamp), origin=str(item.path), for_gates=limits.enabled
            )
            thin = "omit" if limits.enabled else "refuse"
            surfaces = fit_surfaces(screen_snapshot(snapshot, limits), target="marks", thin=thin)
        except MarginError:
            return []
        return [row for u, s in surfaces.items() for row in _rows_of(stamp, snapshot, u, s)]

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for fitted in pool.map(fit, item.times):
            rows.append(fitted)
            step(len(rows))
    flat = [row for group in rows for row in group]
    out = pa.Table.from_pylist(flat, schema=_SCHEMA)
    if store is not None:
        store.put("surface_history", key, out)
        store.note_raw(key, {"object": key, "file": item.path.name, "snapshots": len(rows)})
    return out


_SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("ms", "UTC")),
        ("underlying", pa.string()),
        ("index_usd", pa.float64()),
        ("expiry", pa.timestamp("ms", "UTC")),
        ("forward_usd", pa.float64()),
        ("tenor_years", pa.float64()),
        ("a", pa.float64()),
        ("b", pa.float64()),
        ("rho", pa.float64()),
        ("m", pa.float64()),
        ("sigma", pa.float64()),
    ]
)


def _rows_of(
    stamp: np.datetime64, snapshot: MarketSnapshot, underlying: str, surface: VolatilitySurface
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for item, smile in zip(surface.expiries, surface.slices, strict=True):
        a, b, rho, m, sigma = slice_parameters(smile)
        rows.append(
            {
                "time": utc_time(stamp),
                "underlying": underlying,
                "index_usd": snapshot.index_usd[underlying],
                "expiry": item.expiry,
                "forward_usd": item.forward_usd,
                "tenor_years": item.tenor_years,
                "a": a,
                "b": b,
                "rho": rho,
                "m": m,
                "sigma": sigma,
            }
        )
    return rows


def _histories(
    table: pa.Table, underlyings: Sequence[str], limit: np.datetime64
) -> dict[str, SurfaceHistory]:
    times = time_column(table, "time")
    expiries = table.column("expiry").to_pylist()
    names = np.array(table.column("underlying").to_pylist())
    numbers: Mapping[str, np.ndarray] = {
        n: table.column(n).to_numpy()
        for n in ("index_usd", "forward_usd", "tenor_years", "a", "b", "rho", "m", "sigma")
    }
    out: dict[str, SurfaceHistory] = {}
    for u in underlyings:
        stamps = np.unique(times[(names == u) & (times <= limit)])
        surfaces: list[VolatilitySurface] = []
        index: list[float] = []
        for stamp in stamps:
            rows = np.flatnonzero((names == u) & (times == stamp))
            index.append(float(numbers["index_usd"][rows[0]]))
            forwards = tuple(
                ExpiryForward(
                    u,
                    expiries[r],
                    float(numbers["forward_usd"][r]),
                    float(numbers["tenor_years"][r]),
                )
                for r in rows
            )
            slices = tuple(
                SviSlice(*(float(numbers[n][r]) for n in ("a", "b", "rho", "m", "sigma")))
                for r in rows
            )
            surfaces.append(VolatilitySurface(u, "svi", forwards, slices, ()))
        if surfaces:
            out[u] = SurfaceHistory(u, stamps, np.array(index), tuple(surfaces))
    return out
