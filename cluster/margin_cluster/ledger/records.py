"""Records of the ledger, as frozen dataclasses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from margin_actors.market.identity import content_id
from margin_cluster.ledger.calculation_inputs import GenerationSummary, InputIds
from margin_cluster.ledger.margin_records import AccountFailureRecord, AccountMarginRecord

CalculationKind: TypeAlias = Literal["account", "book"]


@dataclass(frozen=True)
class CalculationRecord:
    """A recorded calculation; the arrays of a book are in the store, under the calculation's id."""

    calculation_id: str
    kind: CalculationKind
    create_time: datetime
    request_id: str
    account_id: str
    """Empty for books and for portfolios of requests."""
    generation: GenerationSummary
    inputs: InputIds
    digest: str
    """Hash of the result."""
    accounts: int
    """Accounts that were margined."""
    positions: int
    """Positions that were margined."""
    initial_margin_usd: float
    """Sum over the accounts that were margined."""
    margin: AccountMarginRecord | None = None
    """The margin of an account; None for books."""
    portfolio_version: int = 0
    """Version of the positions that were margined; 0 for portfolios of requests."""
    accounts_failed: int = 0
    """Number of accounts of a book that could not be margined."""
    expired_positions: int = 0
    """Number of positions that had expired at the snapshot's time."""
    failures: tuple[AccountFailureRecord, ...] = ()
    """The first accounts that could not be margined, with reasons."""
    idempotency_key: str = ""
    """Chosen by the caller; empty if the call had none."""
    caller: str = ""
    """Who requested it; empty if an older version recorded it."""
    portfolio: Mapping[str, float] | None = None
    """The positions of a portfolio in the request: signed quantity by instrument name, long
    positive. None for positions of the ledger, and if an older version recorded it."""


@dataclass(frozen=True)
class SnapshotRecord:
    """A published snapshot."""

    snapshot_id: str
    time: datetime
    """Valuation time."""
    options: int
    """Number of option quotes."""
    is_synthetic: bool
    create_time: datetime


@dataclass(frozen=True)
class ScenarioSetRecord:
    """A stored scenario set."""

    scenarios_id: str
    engine: str
    underlyings: tuple[str, ...]
    scenarios: int
    """Number of scenarios."""
    horizon_hours: float
    first_window_end: datetime | None
    """None if every scenario is simulated."""
    last_window_end: datetime | None
    """As `first_window_end`."""
    is_synthetic: bool
    create_time: datetime


@dataclass(frozen=True)
class Trade:
    """A change of one position."""

    account_id: str
    member_id: str
    instrument_name: str
    quantity: float
    """Added to the position, a purchase is positive; coins, or US dollars of notional for inverse
    futures and perpetuals."""


@dataclass(frozen=True)
class Change:
    """One change of the positions: an upload of all, or trades."""

    version: int
    kind: Literal["upload", "trades"]
    content: str
    """Content id of the uploaded book, or of the trades."""
    trades: tuple[Trade, ...] = ()


@dataclass(frozen=True)
class Origin:
    """The request and the caller of a change; recorded for audit."""

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
    """The content of a change of positions, decided while the writer's lock is held."""

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
    """True if the key had been used with the same content; nothing was changed then."""
    accounts: int
    positions: int


GenerationKind: TypeAlias = Literal["publish", "activate", "import"]


@dataclass(frozen=True)
class GenerationRecord:
    """The snapshot and scenario set in use from `create_time` on."""

    number: int
    kind: GenerationKind
    """The change that started it; `import` for the state of a ledger that had no history yet."""
    snapshot_id: str
    scenarios_id: str
    idempotency_key: str
    request_id: str
    caller: str
    create_time: datetime


def trades_id(trades: Iterable[Trade]) -> str:
    """Return the content id of trades."""
    return content_id(
        "trades",
        {"rows": [[t.account_id, t.member_id, t.instrument_name, t.quantity] for t in trades]},
    )
