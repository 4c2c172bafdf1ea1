"""Names of price sources and of archives, as Binance publishes and feeds record them.

An archive holds the candles of one contract over one month or day, for example
``BTCUSDT-1d-2024-01.zip``. All archives of one contract, interval and market form one source. The
months of a recorded feed are archives too.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_INTERVAL = re.compile(r"[_-](\d+)(s|min|m|h|d|w)$")
_ARCHIVE = re.compile(
    r"(?P<symbol>[A-Z0-9_]+)-(?P<interval>\d+[smhdw])-(?P<period>\d{4}-\d{2}(-\d{2})?)"
    r"\.(zip|csv|csv\.gz)"
)
_RECORDED = re.compile(r"(?P<source>[a-z]\w*_\d+(?:s|min|m|h|d))-(?P<period>\d{4}-\d{2})\.parquet")
"""One month of a recorded feed, for example ``deribit_perp_BTCUSD_1min-2026-05.parquet``."""
_MARKETS = {"markPriceKlines": "perp_mark_", "indexPriceKlines": "index_", "futures": "perp_"}
"""Folders of the published layout and the corresponding part of a source's name; the first folder
in this order decides. Other archives are of the spot market."""
_NOT_PRICES = "premiumIndexKlines"


@dataclass(frozen=True, slots=True)
class ArchiveName:
    """What the name of an archive says about its content."""

    source: str
    """Name of the source, for example ``binance_BTCUSDT_1d``."""
    interval_seconds: int
    period: str
    """Month or day, ISO 8601."""


def interval_of_name(name: str) -> int | None:
    """Return the candle interval given by the ending of a name such as ``x_1d``, in seconds."""
    found = _INTERVAL.search(name)
    return None if found is None else int(found[1]) * _SECONDS[found[2]] or None


def archive_name(path: Path) -> ArchiveName | None:
    """Return what the name of an archive says, or None if the file is not such an archive.

    `path` is relative to the folder of prices: its folders distinguish spot and futures.
    """
    recorded = _RECORDED.fullmatch(path.name)
    if recorded is not None:
        seconds = interval_of_name(recorded["source"])
        return None if seconds is None else ArchiveName(recorded["source"], seconds, recorded[2])
    found = _ARCHIVE.fullmatch(path.name)
    if found is None or _NOT_PRICES in path.parts:
        return None
    market = next((word for folder, word in _MARKETS.items() if folder in path.parts), "")
    source = f"binance_{market}{found['symbol']}_{found['interval']}"
    seconds = interval_of_name(source)
    return None if seconds is None else ArchiveName(source, seconds, found["period"])
