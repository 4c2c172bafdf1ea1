"""Data-quality findings: faults of price sources, and the prices that were dropped or filled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from margin_actors.arrays import FloatArray, TimeArray

FAULTS = (
    "unreadable",
    "not_positive",
    "off_grid",
    "out_of_order",
    "duplicate",
    "inconsistent",
    "stale",
    "outlier",
    "disagreement",
)
"""Kinds of fault; each is counted per source."""

FAULT_MEANING: Mapping[str, str] = {
    "unreadable": "time or price missing or not a number",
    "not_positive": "price zero or below",
    "off_grid": "time not on the grid; dropped",
    "out_of_order": "row earlier than the row before; sorted into place",
    "duplicate": "second row for one time; the first is kept",
    "inconsistent": "close outside the candle's own high and low; flagged, kept",
    "stale": "same close too many times in a row; dropped",
    "outlier": "far from the source's own recent prices and contradicted; dropped",
    "disagreement": "far from the other sources; dropped",
}


@dataclass(frozen=True, slots=True)
class Repair:
    """One price that was dropped or filled."""

    time: str
    """Grid time (the close), ISO 8601, UTC."""
    source: str
    rule: str
    """A fault of `FAULTS`, or ``filled:previous`` / ``filled:linear``."""
    found: float
    """Price before the repair, US dollars per coin; NaN if there was none."""
    reference: float
    """Median of the other sources, the rolling median, or the filled price, by rule.

    NaN for a stale price.
    """


@dataclass(frozen=True, slots=True)
class SourceQuality:
    """Counts for one source of one underlying."""

    source: str
    rows: int
    first: str
    """First close time, to the minute, UTC; empty if there is none."""
    last: str
    """Last close time, to the minute, UTC; empty if there is none."""
    faults: dict[str, int]
    """Number of rows or points with each fault of `FAULTS`."""
    missing: int
    """Grid points without a usable price between the first and the last usable price."""
    not_used: int
    """Rows with a price that close after the valuation time; they are correct, and not used."""


class SourceMapping(TypedDict):
    """The fields of `SourceQuality` for JSON."""

    source: str
    rows: int
    first: str
    last: str
    missing: int
    not_used: int
    faults: dict[str, int]


class RepairMapping(TypedDict):
    """The fields of `Repair` for JSON; a price that does not exist is None."""

    time: str
    source: str
    rule: str
    found: float | None
    reference: float | None


class QualityMapping(TypedDict):
    """The fields of `QualityReport` for JSON."""

    underlying: str
    frequency_seconds: int
    grid_points: int
    missing: int
    filled: int
    dropped: int
    end_age_hours: float
    breaches: list[str]
    sources: list[SourceMapping]
    repairs: list[RepairMapping]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Findings for one underlying at one frequency."""

    underlying: str
    frequency_seconds: int
    sources: tuple[SourceQuality, ...]
    repairs: tuple[Repair, ...]
    """Repairs of the whole grid; of the dropped prices at most the first 10,000."""
    grid_points: int
    """Number of points in the judged range, the last points of the grid."""
    missing: int
    """Number of these points without a price after all repairs."""
    filled: int
    """Number of these points whose price was filled."""
    dropped: int
    """Number of prices of any source dropped within the judged range."""
    end_age_hours: float
    """Age of the last price at the valuation time, hours."""
    breaches: tuple[str, ...] = ()
    """One message per quality limit that is exceeded; a calculation then stops."""

    def to_mapping(self) -> QualityMapping:
        """Return the report as plain types for JSON; NaN becomes None."""
        return {
            "underlying": self.underlying,
            "frequency_seconds": self.frequency_seconds,
            "grid_points": self.grid_points,
            "missing": self.missing,
            "filled": self.filled,
            "dropped": self.dropped,
            "end_age_hours": self.end_age_hours,
            "breaches": list(self.breaches),
            "sources": [
                {
                    "source": s.source,
                    "rows": s.rows,
                    "first": s.first,
                    "last": s.last,
                    "missing": s.missing,
                    "not_used": s.not_used,
                    "faults": s.faults,
                }
                for s in self.sources
            ],
            "repairs": [
                {
                    "time": r.time,
                    "source": r.source,
                    "rule": r.rule,
                    "found": None if np.isnan(r.found) else r.found,
                    "reference": None if np.isnan(r.reference) else r.reference,
                }
                for r in self.repairs
            ],
        }


@dataclass(frozen=True)
class PriceGrid:
    """One price per grid point for one underlying."""

    underlying: str
    interval_seconds: int
    time: TimeArray
    """datetime64[ms] (n_points,), close times, equally spaced."""
    price_usd: FloatArray
    """float64 (n_points,), US dollars per coin; NaN if missing."""
    is_synthetic: bool = False
