"""Results of calls of PortfolioService."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from margin_client import _tables
from margin_client.values import Position

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class UploadedPositions:
    """The result of an upload of positions."""

    version: int
    """Version of the positions; it increases with every change."""
    book_id: str
    """Content id of the uploaded book."""
    accounts: int
    """Number of accounts with positions."""
    positions: int
    """Number of positions; rows of quantity 0 are dropped."""
    was_repeated: bool = False
    """True if the key had been used with the same positions; nothing was changed then."""
    expired_positions: int = 0
    """Number of these positions that had expired at the snapshot's time and await settlement."""


@dataclass(frozen=True, slots=True)
class AppliedTrades:
    """The result of applying trades."""

    version: int
    """Version of the positions after the trades."""
    was_repeated: bool
    """True if the key had been used with the same trades; nothing was changed then."""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """The positions of one account."""

    account_id: str
    member_id: str
    positions: tuple[Position, ...]
    """Positions in the order of instrument names."""
    version: int
    """Version of the positions."""
    book_id: str = ""
    """Content id of these positions; equal to InputIds.book_id of a calculation of the account."""

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row per position."""
        return _tables.frame_of(self.positions)
