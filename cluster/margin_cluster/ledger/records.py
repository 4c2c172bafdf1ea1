"""Records of the ledger, as frozen dataclasses."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

CalculationKind: TypeAlias = Literal["account", "book"]


@dataclass(frozen=True)
class CalculationRecord:
    """A calculation; the arrays of a book are in the store under the calculation's id."""

    calculation_id: str
    kind: CalculationKind
    create_time: datetime
    request_id: str
    account_id: str
    """Empty for books and for portfolios of requests."""
    generation: dict[str, Any]
    inputs: dict[str, Any]
    digest: str
    accounts: int
    positions: int
    initial_margin_usd: float
    margin: dict[str, Any] = field(default_factory=dict[str, Any])
    """The margin of an account; empty for books."""
    portfolio_version: int = 0
    """Version of the positions that were margined; 0 for portfolios of requests."""
    accounts_failed: int = 0
    """Accounts of a book that could not be margined."""
    expired_positions: int = 0
    """Positions that had expired at the snapshot's time."""
    failures: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The accounts that could not be margined, with reasons; values that JSON can hold."""
    idempotency_key: str = ""
    """Chosen by the caller; empty if the call had none."""


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
    """None if every scenario is simulated."""
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


@dataclass(frozen=True)
class Origin:
    """Who asked for a change; recorded for audit."""

    request_id: str = ""
    caller: str = ""


@dataclass(frozen=True)
class LedgerHead:
    """The end of the ledger's log."""

    sequence: int
    """Number of the last entry; 0 before the first."""
    hash: str
    """Hash of the last entry, which covers all entries before it."""
    portfolio_version: int


@dataclass(frozen=True)
class PositionChange:
    """What a change of positions records, decided while the writer's lock is held."""

    accounts: int
    """Accounts of an upload; 0 for trades."""
    positions: int
    """Positions of an upload; 0 for trades."""
    trades: tuple[Trade, ...] = ()


@dataclass(frozen=True)
class ChangeResult:
    """A recorded change of positions."""

    version: int
    was_repeated: bool
    """True if the key had been used with the same content: nothing was changed."""
    accounts: int
    positions: int


GenerationKind: TypeAlias = Literal["publish", "activate", "import"]


@dataclass(frozen=True)
class GenerationRecord:
    """What was in use from a time on."""

    number: int
    kind: GenerationKind
    """What began it; `import` for the state of a ledger from before this history was kept."""
    snapshot_id: str
    scenarios_id: str
    idempotency_key: str
    request_id: str
    caller: str
    create_time: datetime
