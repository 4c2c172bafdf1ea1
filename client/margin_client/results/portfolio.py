"""Results of PortfolioService."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from margin_client import _tables
from margin_client.values import Position

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class UploadedPositions:
    """The positions are replaced."""

    version: int
    book_id: str
    accounts: int
    positions: int
    was_repeated: bool = False
    """True if the key had been used with the same positions: nothing was changed."""
    expired_positions: int = 0
    """Of the positions, those that had expired at the snapshot's time and await settlement."""


@dataclass(frozen=True, slots=True)
class AppliedTrades:
    """The trades are added."""

    version: int
    was_repeated: bool
    """True if the key had been used with the same trades: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """An account's positions."""

    account_id: str
    member_id: str
    positions: tuple[Position, ...]
    version: int
    book_id: str = ""
    """Content id of these positions, as InputIds.book_id of a calculation of the account."""

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row per position."""
        return _tables.frame_of(self.positions)
