"""Replay of recorded snapshots, and of recorded prices between them, at any speed."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from margin_actors.arrays import TimeArray
from margin_actors.errors import MarginError, MissingMarketData, Problem
from margin_actors.market.chains import snapshot_from_chain
from margin_actors.market.tables import time_column
from margin_cluster.feeds.events import (
    FeedEvent,
    IndexTick,
    SnapshotArrived,
    StatusChange,
    StatusKind,
    UnreadableSnapshot,
)
from margin_cluster.feeds.interface import Clock, SystemClock
from margin_cluster.sources import DataFolder, read_chain
from margin_cluster.sources.candle_files import SYNTHETIC_KEY, PriceSource, load_candles
from margin_cluster.sources.chain_files import utc_time

_INTERVAL_MAX = 3_600
"""Longest interval of candles that are replayed between snapshots, seconds."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One time of the replay: a snapshot, or the prices of some underlyings."""

    time_ms: int
    snapshot: bool
    prices: tuple[tuple[str, float], ...] = ()


class ReplayFeed:
    """The chains of a data folder in the order of their times, at `speed` times real time.

    Between two snapshots, index ticks follow from the closes of the recorded prices with the
    shortest interval. Snapshots keep their recorded times.

    Parameters
    ----------
    folder : Path
        A data folder.
    speed : float
        Recorded seconds per second; infinity for no pauses.
    first, last : aware datetime, optional
        Range of the replay, both inclusive.
    clock : Clock, optional

    Raises
    ------
    MissingMarketData
        If the folder does not exist or has no snapshot in the range.
    """

    is_historical = True

    def __init__(
        self,
        folder: Path,
        speed: float = 1.0,
        *,
        first: datetime | None = None,
        last: datetime | None = None,
        clock: Clock | None = None,
        source: str = "replay",
    ) -> None:
        self.source = source
        self._folder = DataFolder(folder)
        self._speed, self._clock = speed, clock or SystemClock()
        times = [f.times for f in self._folder.chains]
        every = np.unique(np.concatenate(times)) if times else np.empty(0, "datetime64[ms]")
        keep = np.ones(every.size, np.bool_)
        if first is not None:
            keep &= every >= _stamp(first)
        if last is not None:
            keep &= every <= _stamp(last)
        self._read: tuple[Path, pa.Table] | None = None
        self.times: TimeArray = every[keep]
        """Times of the snapshots, datetime64[ms] (n_snapshots,), ascending, UTC."""
        if self.times.size == 0:
            what = "holds no option chains of this time" if every.size else "holds no option chains"
            raise MissingMarketData(
                "there is nothing to replay",
                [Problem(str(folder), what, "name a data folder with options/*chain*.parquet")],
            )

    async def events(self) -> AsyncGenerator[FeedEvent]:
        """Return the events; see `MarketFeed`. It ends after the last snapshot."""
        steps = await asyncio.to_thread(lambda: list(self._steps()))
        start, first_ms = self._clock.monotonic(), steps[0].time_ms
        yield self._status("connected", f"{self.times.size:,} snapshots at {self._speed:g}x")
        for step in steps:
            due = start + (step.time_ms - first_ms) / 1000.0 / self._speed
            delay = due - self._clock.monotonic()
            if delay > 0.0:
                await self._clock.sleep(delay)
            for underlying, price in step.prices:
                yield IndexTick(self.source, underlying, step.time_ms, price)
            if step.snapshot:
                yield await asyncio.to_thread(self._load, step.time_ms)
        yield self._status("disconnected", "the replay is complete")

    def _steps(self) -> Iterator[_Step]:
        prices: dict[int, list[tuple[str, float]]] = {}
        for underlying in self._underlyings():
            for time_ms, price in self._closes(underlying):
                prices.setdefault(time_ms, []).append((underlying, price))
        snapshots = set(self.times.astype(np.int64).tolist())
        for time_ms in sorted(snapshots | set(prices)):
            yield _Step(time_ms, time_ms in snapshots, tuple(prices.get(time_ms, ())))

    def _underlyings(self) -> list[str]:
        """Return the underlyings of the first snapshot that can be read."""
        for time in self.times:
            found = self._load(int(time.astype(np.int64)))
            if isinstance(found, SnapshotArrived):
                return sorted(found.snapshot.index_usd)
        return []

    def _closes(self, underlying: str) -> list[tuple[int, float]]:
        """Return (time in milliseconds, close) of the finest recorded prices within the replay."""
        sources = [
            s
            for s in self._folder.prices
            if underlying in s.name and s.interval_seconds and s.interval_seconds <= _INTERVAL_MAX
        ]
        for item in sorted(sources, key=_fineness):
            try:
                candles, _ = load_candles(item, underlying, None)
            except MarginError:
                continue  # `margin data check` reports it; other prices may be readable
            known = np.isfinite(candles.close) & ~np.isnat(candles.open_time)
            time = candles.close_time
            inside = known & (time >= self.times[0]) & (time <= self.times[-1])
            if inside.any():
                stamps = time[inside].astype(np.int64).tolist()
                return sorted(zip(stamps, candles.close[inside].tolist(), strict=True))
        return []

    def _load(self, time_ms: int) -> SnapshotArrived | UnreadableSnapshot:
        time = utc_time(np.datetime64(time_ms, "ms"))
        table = self._rows(time)
        try:
            snapshot = snapshot_from_chain(
                table,
                time=time,
                origin=f"feed {self.source}",
                is_synthetic=SYNTHETIC_KEY in (table.schema.metadata or {}),
                for_gates=True,
            )
        except MarginError as error:
            problems = error.problems or (Problem("snapshot", error.summary),)
            return UnreadableSnapshot(self.source, time_ms, table, problems)
        return SnapshotArrived(self.source, snapshot)

    def _rows(self, time: datetime) -> pa.Table:
        """Return the rows of one snapshot as recorded; the last file read is kept."""
        path = next(f.path for f in self._folder.chains if np.any(f.times == _stamp(time)))
        if self._read is None or self._read[0] != path:
            self._read = (path, read_chain(path))
        table = self._read[1]
        stamps = time_column(table, "snapshot")
        return table.filter(pa.array(stamps == _stamp(time)))

    def _status(self, kind: StatusKind, what: str) -> StatusChange:
        return StatusChange(self.source, kind, "", what, round(self._clock.time() * 1000))


def _fineness(item: PriceSource) -> tuple[int, str]:
    return item.interval_seconds or _INTERVAL_MAX, item.name


def _stamp(time: datetime) -> np.datetime64:
    return np.datetime64(round(time.timestamp() * 1000), "ms")
