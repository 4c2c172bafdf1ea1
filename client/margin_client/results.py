"""What a caller gets back: frozen values named as in the contract, whose comments say more.

Amounts are US dollars; a VaR, a shortfall and a requirement are positive losses. Times are UTC.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from margin_client import _tables
from margin_client.values import Position

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Generation:
    """One market, one scenario set and one model: what an answer came from."""

    number: int
    snapshot_id: str
    snapshot_time: datetime
    scenarios_id: str
    scenarios: int
    model_id: str
    model_name: str
    instruments: int
    is_synthetic: bool
    model_version: str = ""
    """With the model's name it stands for the same parameters for ever."""


@dataclass(frozen=True, slots=True)
class InputIds:
    """Content ids of everything that decided a result: equal ids give equal bits."""

    snapshot_id: str
    scenarios_id: str
    model_id: str
    book_id: str
    surface_ids: tuple[str, ...]


PARTS = (
    "diversification_cap",
    "correlation_stress",
    "buffer",
    "stressed_weight",
    "floor",
    "concentration",
    "liquidity",
    "model_risk",
    "expiry_risk",
)
"""Parts of a requirement that may follow its core."""


@dataclass(frozen=True, slots=True)
class PartInput:
    """A figure that went into a part of a requirement."""

    name: str
    value: float
    of: str = ""
    """What it is of: a bucket, a strike, an underlying; empty for the account."""


@dataclass(frozen=True, slots=True)
class RequirementPart:
    """One part of a requirement with what is needed to recompute it."""

    name: str
    amount_usd: float
    inputs: tuple[PartInput, ...]


@dataclass(frozen=True, slots=True)
class AccountMargin:
    """The margin of one account."""

    account_id: str
    member_id: str
    positions: int
    value_usd: float
    var_usd: float
    var_low_usd: float
    var_high_usd: float
    es_usd: float
    es_standard_error_usd: float
    worst_usd: float
    worst_scenario: int
    core_usd: float
    initial_margin_usd: float
    rounding_bound_usd: float
    parts: tuple[RequirementPart, ...]
    """What the requirement is made of; adds up to initial_margin_usd."""
    undiversified_usd: float | None = None
    """Sum over underlyings; this and the following are None where the model has no such figure."""
    span_usd: float | None = None
    venue_grid_usd: float | None = None
    long_usd: float | None = None
    stress_period_usd: float | None = None
    stress_usd: float | None = None
    stress_name: str = ""
    """Name of the worst stress row."""
    """Adds up to initial_margin_usd; empty in a book."""


@dataclass(frozen=True, slots=True)
class MarginResult:
    """One recorded margin."""

    calculation_id: str
    generation: Generation
    inputs: InputIds
    digest: str
    """Hash of inputs and result, to the bit."""
    margin: AccountMargin


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long call has come."""

    done: int
    total: int
    """0 where the steps cannot be counted."""
    stage: str = ""
    """What is being done, in words."""


@dataclass(frozen=True, slots=True)
class BookResult:
    """The recorded margins of many accounts; by account like a mapping, as a table by to_pandas."""

    calculation_id: str
    generation: Generation
    inputs: InputIds
    digest: str
    positions: int
    initial_margin_usd: float
    """Sum of the requirements."""
    columns: Mapping[str, Sequence[str] | Sequence[float]]
    """Fields of AccountMargin, and ``{part}_usd`` for every part that is not 0 for all accounts;
    each as long as there are accounts."""
    places: Mapping[str, int]
    """Row of each account."""

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __getitem__(self, account_id: str) -> AccountMargin:
        """Return the margin of one account; KeyError for one that is not there."""
        row = self.places[account_id]
        fields: dict[str, Any] = {name: column[row] for name, column in self.columns.items()}
        parts = [RequirementPart("core", fields["core_usd"], ())]
        parts += [
            RequirementPart(name, fields.pop(f"{name}_usd"), ())
            for name in PARTS
            if f"{name}_usd" in fields
        ]
        return AccountMargin(**fields, parts=tuple(parts))

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row an account, indexed by account_id."""
        return _tables.frame_of_columns(self.columns, index="account_id")


@dataclass(frozen=True, slots=True)
class SimulatedMargin:
    """The effect of one candidate; a change is after less before."""

    candidate_id: str
    after: AccountMargin
    initial_margin_change_usd: float
    var_change_usd: float
    es_change_usd: float
    value_change_usd: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """The effects of all candidates, in the request's order."""

    generation: Generation
    before: AccountMargin
    candidates: tuple[SimulatedMargin, ...]

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row a candidate."""
        return _tables.frame_of(self.candidates)


@dataclass(frozen=True, slots=True)
class PositionContribution:
    """What one position contributes; components add up to the account's VaR and shortfall."""

    instrument_name: str
    quantity: float
    value_usd: float
    component_var_usd: float
    component_es_usd: float
    marginal_var_usd: float
    marginal_es_usd: float
    incremental_var_usd: float
    incremental_es_usd: float


@dataclass(frozen=True, slots=True)
class UnderlyingMove:
    """What a scenario does to one underlying."""

    underlying: str
    spot_return: float
    vol_change_30d: float
    basis_change_30d: float
    provenance: str


@dataclass(frozen=True, slots=True)
class TailScenario:
    """One of the scenarios that make the margin."""

    scenario: int
    window_start: datetime | None
    window_end: datetime | None
    profit_usd: float
    moves: tuple[UnderlyingMove, ...]
    name: str = ""
    """Its name, or the day on which its window closes."""


@dataclass(frozen=True, slots=True)
class TracedPosition:
    """A position before and after one scenario; None where the contract has no such figure."""

    instrument_name: str
    quantity: float
    tenor_years: float
    strike_usd: float | None
    forward_usd: float
    forward_after_usd: float
    volatility: float | None
    volatility_after: float | None
    scale: float | None
    scale_after: float | None
    unit_value_usd: float
    unit_value_after_usd: float
    profit_usd: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a margin is what it is."""

    generation: Generation
    margin: AccountMargin
    positions: tuple[PositionContribution, ...]
    scenarios: tuple[TailScenario, ...]
    """The worst first."""
    traced: tuple[TracedPosition, ...] = ()
    """Prices in the scenario asked for."""

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row a position."""
        return _tables.frame_of(self.positions)


class CalculationKind(StrEnum):
    """What was calculated."""

    UNKNOWN = "unknown"
    """Something that this client is too old to know."""
    ACCOUNT = "account"
    """One account or one portfolio."""
    BOOK = "book"
    """A book of accounts."""


@dataclass(frozen=True, slots=True)
class Calculation:
    """A recorded calculation."""

    calculation_id: str
    kind: CalculationKind
    create_time: datetime
    request_id: str
    generation: Generation
    inputs: InputIds
    digest: str
    accounts: int
    positions: int
    initial_margin_usd: float
    account_id: str


@dataclass(frozen=True, slots=True)
class CalculationDetail:
    """A recorded calculation with margins."""

    calculation: Calculation
    margins: tuple[AccountMargin, ...]


@dataclass(frozen=True, slots=True)
class PublishedSnapshot:
    """A snapshot is stored and current."""

    snapshot_id: str
    generation: int
    options: int


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
        """Return one row an expiry."""
        return _tables.frame_of(self.slices)


@dataclass(frozen=True, slots=True)
class UploadedPositions:
    """The positions are replaced."""

    version: int
    book_id: str
    accounts: int
    positions: int


@dataclass(frozen=True, slots=True)
class AppliedTrades:
    """The trades are added."""

    version: int
    was_repeated: bool
    """True where they had been added before under the same key; nothing was added again."""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """An account's positions."""

    account_id: str
    member_id: str
    positions: tuple[Position, ...]
    version: int

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row a position."""
        return _tables.frame_of(self.positions)


@dataclass(frozen=True, slots=True)
class ScenarioSetSummary:
    """A stored scenario set."""

    scenarios_id: str
    engine: str
    underlyings: tuple[str, ...]
    scenarios: int
    horizon_hours: float
    first_window_end: datetime | None
    last_window_end: datetime | None
    is_synthetic: bool
    create_time: datetime
    is_active: bool


@dataclass(frozen=True, slots=True)
class ActivatedScenarioSet:
    """The set is in use."""

    generation: int


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """A scenario shard."""

    shard: int
    first_scenario: int
    scenarios: int
    node_id: str
    slabs_priced: int


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """The state of the gateway that answers and of the cluster behind it."""

    version: str
    uptime_seconds: float
    generation: Generation | None
    generation_pending: int
    shards: tuple[ShardStatus, ...]
    nodes: int
    requests_active: int
    requests_rejected: int
    portfolio_version: int
    accounts: int
    positions: int
    last_fault: str
