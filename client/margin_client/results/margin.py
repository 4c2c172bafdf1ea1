"""Results of MarginService."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from margin_client import _tables
from margin_client.results.types import (
    PARTS,
    AccountFailure,
    AccountMargin,
    Generation,
    InputIds,
    RequirementPart,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class MarginResult:
    """One recorded margin."""

    calculation_id: str
    generation: Generation
    inputs: InputIds
    digest: str
    """Hash of inputs and result, to the bit."""
    margin: AccountMargin
    portfolio_version: int = 0
    """Version of the positions that were margined; 0 for a portfolio in the request."""


@dataclass(frozen=True, slots=True)
class BookResult:
    """The recorded margins of many accounts; a mapping by account id, or a table by to_pandas."""

    calculation_id: str
    generation: Generation
    inputs: InputIds
    digest: str
    """Hash of inputs, results to the bit, and failures with their reasons."""
    positions: int
    """Positions margined."""
    initial_margin_usd: float
    """Sum of the requirements of the accounts margined."""
    columns: Mapping[str, Sequence[str] | Sequence[float]]
    """Fields of AccountMargin, ``{part}_usd`` for each part that the service sent, and
    expired_positions; one entry per account in each column."""
    places: Mapping[str, int]
    """Row of each account."""
    failures: tuple[AccountFailure, ...] = ()
    """Accounts that could not be margined, in the order of account ids."""
    is_complete: bool = True
    """True if every account was margined."""
    portfolio_version: int = 0
    """Version of the positions that were margined."""
    expired_positions: int = 0
    """Positions that had expired at the snapshot's time and await settlement."""

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __getitem__(self, account_id: str) -> AccountMargin:
        """Return the margin of one account; KeyError if it was not margined."""
        row = self.places[account_id]
        fields: dict[str, Any] = {name: column[row] for name, column in self.columns.items()}
        fields.pop("expired_positions", None)
        parts = [RequirementPart("core", fields["core_usd"], ())]
        for name in PARTS:
            amount = fields.pop(f"{name}_usd", 0.0)
            if amount:
                parts.append(RequirementPart(name, amount, ()))
        return AccountMargin(**fields, parts=tuple(parts))

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row per margined account, indexed by account_id."""
        return _tables.frame_of_columns(self.columns, index="account_id")

    def failures_to_pandas(self) -> "pd.DataFrame":
        """Return one row per account that could not be margined."""
        return _tables.frame_of(self.failures)


@dataclass(frozen=True, slots=True)
class SimulatedMargin:
    """The effect of one candidate; a change is the value after minus the value before."""

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
        """Return one row per candidate."""
        return _tables.frame_of(self.candidates)


@dataclass(frozen=True, slots=True)
class PositionContribution:
    """Contribution of one position; components add up to the account's VaR and shortfall."""

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
    """Change of one underlying in a scenario."""

    underlying: str
    spot_return: float
    vol_change_30d: float
    basis_change_30d: float
    provenance: str


@dataclass(frozen=True, slots=True)
class TailScenario:
    """One of the worst scenarios of an account."""

    scenario: int
    window_start: datetime | None
    window_end: datetime | None
    profit_usd: float
    moves: tuple[UnderlyingMove, ...]
    name: str = ""
    """Its name, or the day on which its window closes."""


@dataclass(frozen=True, slots=True)
class TracedPosition:
    """A position before and after one scenario; None if the contract has no such number."""

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
    """Positions and scenarios that explain a margin."""

    generation: Generation
    margin: AccountMargin
    positions: tuple[PositionContribution, ...]
    scenarios: tuple[TailScenario, ...]
    """The worst first."""
    traced: tuple[TracedPosition, ...] = ()
    """Prices in the requested scenario."""

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row per position."""
        return _tables.frame_of(self.positions)


class CalculationKind(StrEnum):
    """Subject of a calculation."""

    UNKNOWN = "unknown"
    """A kind that is newer than this client."""
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
    accounts_failed: int = 0
    """Accounts of a book that could not be margined."""
    is_complete: bool = True
    """True if every account was margined."""
    portfolio_version: int = 0
    """Version of the positions; 0 for portfolios in requests and for old records."""
    expired_positions: int = 0
    """Positions that had expired at the snapshot's time and await settlement."""


@dataclass(frozen=True, slots=True)
class CalculationDetail:
    """A recorded calculation with margins."""

    calculation: Calculation
    margins: tuple[AccountMargin, ...]
    failures: tuple[AccountFailure, ...] = ()
    """Accounts of the book that could not be margined; the first 1,000."""
