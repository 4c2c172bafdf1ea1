"""What the ledger keeps, as frozen dataclasses."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

CalculationKind: TypeAlias = Literal["account", "book"]


@dataclass(frozen=True)
class CalculationRecord:
    """A calculation; arrays of books lie in the store under the calculation's id."""

    calculation_id: str
    kind: CalculationKind
    create_time: datetime
    request_id: str
    account_id: str
    """Empty for books and for portfolios that came with a request."""
    generation: dict[str, Any]
    inputs: dict[str, Any]
    digest: str
    accounts: int
    positions: int
    initial_margin_usd: float
    margin: dict[str, Any] = field(default_factory=dict[str, Any])
    """The margin of an account; empty for books."""


@dataclass(frozen=True)
class SnapshotRecord:
    """A published snapshot."""

    snapshot_id: str
    time: datetime
    options: int
    is_synthetic: bool
    create_time: datetime


@dataclass(frozen=True)
class ScenarioSetRecord:
    """A stored scenario set."""

    scenarios_id: str
    engine: str
    underlyings: tuple[str, ...]
    scenarios: int
    horizon_hours: float
    first_window_end: datetime | None
    """None where no row ever happened."""
    last_window_end: datetime | None
    is_synthetic: bool
    create_time: datetime


@dataclass(frozen=True)
class Trade:
    """A change of one position."""

    account_id: str
    member_id: str
    instrument_name: str
    quantity: float
    """Added to the position; coins, or US dollars of notional for inverse futures."""


@dataclass(frozen=True)
class Change:
    """One change of the positions: an upload of all, or trades."""

    version: int
    kind: Literal["upload", "trades"]
    content: str
    """Id of the uploaded book, or of the trades."""
    trades: tuple[Trade, ...] = ()
