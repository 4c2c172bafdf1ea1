"""Recorded values of the index, from which delivery prices are computed after any restart.

One file per source, underlying and day, with one line of JSON per value: the time in milliseconds
since 1970-01-01 UTC and the price as text. Lines are only appended. A line that was cut off by a
crash is passed over, so that its time counts as missing.
"""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Protocol

from margin_actors.clearing.settlement import IndexTick
from margin_cluster.feeds.events import IndexTick as FeedTick

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class TickSource(Protocol):
    """Recorded values of the index."""

    def ticks(self, underlying: str, start: datetime, end: datetime) -> Sequence[IndexTick]:
        """Return the values from `start` to `end` (UTC, `end` excluded), ascending in time."""
        ...


class TickFiles:
    """Appends values of the index to files and reads them; for any thread.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    source : str
        Name of the feed whose index is recorded; values of others are ignored.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self._folder, self._source = folder, source
        self._open: dict[Path, IO[bytes]] = {}
        self._last_ms: dict[str, int] = {}
        self._lock = threading.Lock()

    def receive(self, tick: FeedTick) -> None:
        """Append a value; one that is not later than the last one of its underlying is ignored."""
        if tick.source != self._source:
            return
        with self._lock:
            if tick.time_ms <= self._last_ms.get(tick.underlying, 0):
                return
            self._last_ms[tick.underlying] = tick.time_ms
            path = self._path(tick.underlying, _time(tick.time_ms))
            file = self._open.get(path)
            if file is None:
                self._close_others(tick.underlying)
                file = self._open[path] = _opened(path)
            file.write(json.dumps([tick.time_ms, repr(tick.price_usd)]).encode() + b"\n")

    def flush(self) -> None:
        """Write what was received to the disk; raises OSError if that fails."""
        with self._lock:
            for file in self._open.values():
                file.flush()
                os.fsync(file.fileno())

    def close(self) -> None:
        """Write what was received and close the files."""
        self.flush()
        with self._lock:
            for file in self._open.values():
                file.close()
            self._open.clear()

    def ticks(self, underlying: str, start: datetime, end: datetime) -> Sequence[IndexTick]:
        """Return recorded values; see `TickSource.ticks`."""
        with self._lock:
            for file in self._open.values():
                file.flush()
        found: dict[datetime, Decimal] = {}
        day = start.date()
        while day <= end.date():
            path = self._path(underlying, datetime(day.year, day.month, day.day, tzinfo=UTC))
            found |= {time: price for time, price in _read(path) if start <= time < end}
            day += timedelta(days=1)
        return [IndexTick(time, price) for time, price in sorted(found.items())]

    def _path(self, underlying: str, time: datetime) -> Path:
        return self._folder / f"{self._source}_{underlying}" / f"{time:%Y-%m-%d}.jsonl"

    def _close_others(self, underlying: str) -> None:
        folder = self._folder / f"{self._source}_{underlying}"
        for path in [path for path in self._open if path.parent == folder]:
            self._open.pop(path).close()


def _opened(path: Path) -> IO[bytes]:
    """Open a file for appending; a last line that was cut off is ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab+")
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
    return file


def _read(path: Path) -> Iterator[tuple[datetime, Decimal]]:
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            time_ms, price = json.loads(line)
            value = Decimal(price)
        except (ValueError, TypeError, ArithmeticError):
            continue
        if value.is_finite():
            yield _time(int(time_ms)), value


def _time(time_ms: int) -> datetime:
    return _EPOCH + time_ms * _MILLISECOND


__all__ = ["TickFiles", "TickSource"]
