"""Results of calls of MarketDataService."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from margin_client import _tables
from margin_client.results.types import ChainFinding

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class PublishedSnapshot:
    """The result of a publication."""

    snapshot_id: str
    generation: int
    """Number of the generation that holds the snapshot."""
    options: int
    """Number of options accepted."""
    was_repeated: bool = False
    """True if the key had been used with the same content; nothing was changed then."""
    findings: tuple[ChainFinding, ...] = ()
    """Quotes and expiries that fail a quality gate of the model, at most 1,000."""


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
    """Time to expiry in years of 365 days."""
    forward_usd: float
    parameters: tuple[float, ...]
    """SVI: a, b, rho, m, sigma of total variance. SABR: alpha, beta, rho, nu, tenor in years."""
    volatility: tuple[float, ...]
    """Annual volatilities as fractions, one per requested ratio of strike to forward."""
    quotes: int
    """Number of quoted options with open interest."""
    quotes_inside: int
    """Number of these that are repriced inside their bid-ask spread."""
    is_arbitrage_free: bool
    """True if neither butterfly nor calendar arbitrage was found."""


@dataclass(frozen=True, slots=True)
class Surface:
    """The fitted volatility surface of one underlying."""

    surface_id: str
    snapshot_id: str
    smile: str
    """Smile model: svi or sabr."""
    slices: tuple[SurfaceSlice, ...]
    """One smile per expiry."""

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row per expiry."""
        return _tables.frame_of(self.slices)
