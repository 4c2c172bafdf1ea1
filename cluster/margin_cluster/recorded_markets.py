"""The recorded option chains of a data folder as a series of dates."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from margin_actors.arrays import DAY_MS, IntArray, TimeArray
from margin_actors.engine.backtest import IndexPath
from margin_actors.errors import MarginError
from margin_actors.market.instruments import instrument_from_name
from margin_actors.market.tables import number_column, text_codes, time_column
from margin_cluster.sources import ChainFile, read_chain
from margin_cluster.wiring import Workspace, stamp_of

_FAR = np.datetime64("9999-01-01", "ms")
_NEAR_MS = DAY_MS // 4
_END_TOLERANCE_MS = DAY_MS // 12


def snapshot_times(workspace: Workspace) -> TimeArray:
    """Return the times of all recorded chains, datetime64[ms] (n_snapshots,), UTC, ascending."""
    files = workspace.data.chains
    if not files:
        return np.empty(0, "datetime64[ms]")
    return np.unique(np.concatenate([f.times for f in files])).astype("datetime64[ms]")


def daily_times(
    workspace: Workspace,
    first: datetime,
    last: datetime | None,
    *,
    hour: int = 0,
    every: bool = False,
) -> list[np.datetime64]:
    """Return the times of recorded chains from `first` to `last`.

    There is at most one time per day, that of the chain nearest to `hour` o'clock UTC and at most 6
    hours away from it; if `every`, all chains are returned.
    """
    times = snapshot_times(workspace)
    begin, end = stamp_of(first), stamp_of(last) if last is not None else _FAR
    if not every:
        times = _nearest_per_day(times, hour)
    return [np.datetime64(t, "ms") for t in times[(times >= begin) & (times <= end)]]


def _nearest_per_day(times: TimeArray, hour: int) -> TimeArray:
    stamps: IntArray = times.astype(np.int64)
    if stamps.size == 0:
        return times
    days = range(int(stamps[0]) // DAY_MS * DAY_MS, int(stamps[-1]) + 2 * DAY_MS, DAY_MS)
    found: list[int] = []
    for day in days:
        wanted = day + hour * 3_600_000
        nearest = int(stamps[np.abs(stamps - wanted).argmin()])
        if abs(nearest - wanted) <= _NEAR_MS and (not found or nearest > found[-1]):
            found.append(nearest)
    return np.array(found, np.int64).astype("datetime64[ms]")


def snapshot_pairs(
    workspace: Workspace,
    first: datetime,
    last: datetime | None,
    horizon_hours: float,
    *,
    hour: int = 0,
    every: bool = False,
) -> list[tuple[np.datetime64, np.datetime64]]:
    """Return pairs of times of recorded chains: a date, and the chain nearest to a horizon later.

    The dates are those of `daily_times`; a date is left out if the later chain misses the end of
    the horizon by more than 2 hours.
    """
    times = snapshot_times(workspace).astype(np.int64)
    step = round(horizon_hours * 3.6e6)
    pairs: list[tuple[np.datetime64, np.datetime64]] = []
    for now in daily_times(workspace, first, last, hour=hour, every=every):
        wanted = int(now.astype(np.int64)) + step
        then = int(times[np.abs(times - wanted).argmin()])
        if abs(then - wanted) <= _END_TOLERANCE_MS:
            pairs.append((now, np.datetime64(then, "ms")))
    return pairs


def utc(time: np.datetime64) -> datetime:
    """Return a datetime64 as an aware time, UTC."""
    return time.astype("datetime64[ms]").astype(datetime).replace(tzinfo=UTC)


def index_paths(files: Sequence[ChainFile]) -> dict[str, IndexPath]:
    """Return the recorded index of every underlying: the median over the rows of each chain."""
    found: dict[str, dict[int, float]] = {}
    for item in files:
        try:
            table = read_chain(item.path, ["snapshot", "instrument_name", "index_price"])
            stamps = time_column(table, "snapshot").astype(np.int64)
            price = number_column(table, "index_price")
        except MarginError:
            continue  # a file without these columns; its snapshots are refused where they are read
        codes, distinct = text_codes(table, "instrument_name")
        names = np.array([_underlying(name) for name in distinct], np.str_)[codes]
        for underlying in sorted(set(names.tolist()) - {""}):
            own = np.flatnonzero((names == underlying) & np.isfinite(price))
            order = own[np.argsort(stamps[own], kind="stable")]
            keys, starts = np.unique(stamps[order], return_index=True)
            medians = [float(np.median(p)) for p in np.split(price[order], starts[1:])]
            found.setdefault(underlying, {}).update(zip(keys.tolist(), medians, strict=True))
    return {
        u: IndexPath(
            np.array(sorted(values), np.int64).astype("datetime64[ms]"),
            np.array([values[t] for t in sorted(values)], np.float64),
        )
        for u, values in found.items()
    }


def _underlying(name: str) -> str:
    try:
        return instrument_from_name(name).underlying
    except ValueError:
        return ""


def always_listed(files: Sequence[ChainFile], times: Sequence[np.datetime64]) -> tuple[str, ...]:
    """Return the names of the options that every chain at `times` lists with a mark volatility.

    Futures of the expiries of such options are included. `times` are datetime64[ms], UTC; sorted
    names are returned.
    """
    wanted = {int(t.astype(np.int64)) for t in times}
    common: set[str] | None = None
    for item in files:
        own = wanted & set(item.times.astype(np.int64).tolist())
        if not own:
            continue
        table = read_chain(item.path, ["snapshot", "instrument_name", "implied_volatility"])
        stamps = time_column(table, "snapshot").astype(np.int64)
        marked = number_column(table, "implied_volatility") > 0.0
        codes, distinct = text_codes(table, "instrument_name")
        for stamp in sorted(own):
            listed = {distinct[c] for c in np.unique(codes[(stamps == stamp) & marked]).tolist()}
            common = listed if common is None else common & listed
        wanted -= own
    options = common or set()
    return tuple(sorted(options | {n.rsplit("-", 2)[0] for n in options}))
