"""Results of MarketDataService."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from margin_client import _tables

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class PublishedSnapshot:
    """A snapshot is stored and current."""

    snapshot_id: str
    generation: int
    options: int
    was_repeated: bool = False
    """True if the key had been used with the same content: nothing was changed."""


@dataclass(frozen=True, slots=True)
class SnapshotSummary:
    """A published snapshot."""

    snapshot_id: str
    time: datetime
    create_time: datetime
    options: int
    is_synthetic: bool
    is_current: bool


@dataclass(frozen=True, slots=True)
class SurfaceSlice:
    """The smile of one expiry."""

    expiry: datetime
    tenor_years: float
    forward_usd: float
    parameters: tuple[float, ...]
    volatility: tuple[float, ...]
    quotes: int
    quotes_inside: int
    is_arbitrage_free: bool


@dataclass(frozen=True, slots=True)
class Surface:
    """A fitted volatility surface."""

    surface_id: str
    snapshot_id: str
    smile: str
    slices: tuple[SurfaceSlice, ...]

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row per expiry."""
        return _tables.frame_of(self.slices)
