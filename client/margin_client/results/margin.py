"""Results of calls of MarginService."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from margin_client import _tables
from margin_client.results.types import (
    AccountFailure,
    AccountMargin,
    AccountResources,
    Generation,
    InputIds,
    RequirementPart,
)

if TYPE_CHECKING:
    import pandas as pd


_MARGIN_FIELDS = frozenset(field.name for field in fields(AccountMargin))


@dataclass(frozen=True, slots=True)
class MarginResult:
    """The recorded margin of one account or portfolio."""

    calculation_id: str
    generation: Generation
    inputs: InputIds
    digest: str
    """Hash of the inputs and of every bit of the result."""
    margin: AccountMargin
    portfolio_version: int = 0
    """Version of the margined positions; 0 for a portfolio in the request."""
    resources: AccountResources | None = None
    """Resources against this margin; None if the account has no clearing account, or they cannot be
    valued."""


@dataclass(frozen=True, slots=True)
class BookResult:
    """The recorded margins of many accounts.

    Iterating yields account ids, and indexing by an account id returns an AccountMargin.
    """

    calculation_id: str
    generation: Generation
    inputs: InputIds
    digest: str
    """Hash of the inputs, of every bit of the results, and of the failures with their reasons."""
    positions: int
    """Number of margined positions."""
    initial_margin_usd: float
    """Sum of the requirements of all margined accounts."""
    columns: Mapping[str, Sequence[str] | Sequence[float]]
    """Columns by name, with one entry per margined account each: the fields of AccountMargin,
    ``{name}_usd`` for each requirement component that the service sent, expired_positions, and, if
    any account has a clearing account, has_resources, resources_cents and excess_cents."""
    places: Mapping[str, int]
    """Index of each account in the columns, by account id."""
    failures: tuple[AccountFailure, ...] = ()
    """Accounts that could not be margined, in the order of account ids."""
    is_complete: bool = True
    """True if every account was margined."""
    portfolio_version: int = 0
    """Version of the margined positions."""
    expired_positions: int = 0
    """Number of positions that had expired at the snapshot's time and await settlement."""

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __getitem__(self, account_id: str) -> AccountMargin:
        """Return the margin of one account; raises KeyError if it was not margined."""
        row = self.places[account_id]
        values = {name: column[row] for name, column in self.columns.items()}
        parts = [RequirementPart("core", float(values["core_usd"]), ())]
        for name, value in values.items():
            if name not in _MARGIN_FIELDS and name.endswith("_usd") and value:
                parts.append(RequirementPart(name.removesuffix("_usd"), float(value), ()))
        given: dict[str, Any] = {n: v for n, v in values.items() if n in _MARGIN_FIELDS}
        return AccountMargin(**given, parts=tuple(parts))

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row per margined account, indexed by account_id."""
        return _tables.frame_of_columns(self.columns, index="account_id")

    def failures_to_pandas(self) -> "pd.DataFrame":
        """Return one row per account that could not be margined."""
        return _tables.frame_of(self.failures)


@dataclass(frozen=True, slots=True)
class ExportedFiles:
    """The files from which a margin can be recomputed; see docs/files-for-members.md."""

    content: dict[str, bytes]
    """Content by name of the file; each agrees with the hash in ``manifest.json``."""

    def write(self, folder: str) -> None:
        """Write the files to a folder, which is created if it does not exist."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for name, content in self.content.items():
            (path / name).write_bytes(content)


@dataclass(frozen=True, slots=True)
class SimulatedMargin:
    """The effect of one candidate; a change is the value after minus the value before."""

    candidate_id: str
    after: AccountMargin
    """Margin with the trades of the candidate."""
    initial_margin_change_usd: float
    var_change_usd: float
    es_change_usd: float
    value_change_usd: float
    can_carry: bool | None = None
    """Whether the account can carry the trades; None if it has no clearing account."""
    headroom_cents: int | None = None
    """Resources less the requirement after the trades and less reserved margin, US cents."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """The effects of all candidates, in the request's order."""

    generation: Generation
    before: AccountMargin
    """Margin without any candidate."""
    candidates: tuple[SimulatedMargin, ...]
    resources: AccountResources | None = None
    """Resources against the margin before; None if the account has no clearing account."""

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row per candidate."""
        return _tables.frame_of(self.candidates)


@dataclass(frozen=True, slots=True)
class PositionContribution:
    """Contribution of one position to the account's VaR and expected shortfall (ES)."""

    instrument_name: str
    quantity: float
    """Long positive; unit as Position.quantity."""
    value_usd: float
    """Value of the position; 0 for futures and perpetuals."""
    component_var_usd: float
    """The components of all positions add up to VaR."""
    component_es_usd: float
    """The components of all positions add up to ES."""
    marginal_var_usd: float
    """Change of VaR per additional unit of quantity."""
    marginal_es_usd: float
    """Change of ES per additional unit of quantity."""
    incremental_var_usd: float
    """VaR with the position minus VaR without it."""
    incremental_es_usd: float
    """ES with the position minus ES without it."""


@dataclass(frozen=True, slots=True)
class UnderlyingMove:
    """Change of one underlying in a scenario."""

    underlying: str
    spot_return: float
    """Log return of the index over the horizon."""
    vol_change_30d: float
    """Log change of the at-the-money volatility at 30 days."""
    basis_change_30d: float
    """Change of ln(forward / index) at 30 days over the horizon; not per year."""
    provenance: str
    """Origin of the volatility move: none, observed, proxied_by_spot, proxied_by_vol_index or made
    (generated: Monte Carlo, SPAN and stress scenarios)."""


@dataclass(frozen=True, slots=True)
class TailScenario:
    """One of the worst scenarios of an account."""

    scenario: int
    """Index in the scenario set, from 0."""
    window_start: datetime | None
    """Start of the historical window; None if the scenario has none."""
    window_end: datetime | None
    profit_usd: float
    """Profit of the account; a loss is negative."""
    moves: tuple[UnderlyingMove, ...]
    """One move per underlying."""
    name: str = ""
    """Name of the scenario, or the day on which its window closes."""


@dataclass(frozen=True, slots=True)
class TracedPosition:
    """Prices of a position before and after one scenario; None if a field does not apply.

    The value of an option is scale * Black-76(forward, strike, volatility, tenor), undiscounted.
    """

    instrument_name: str
    quantity: float
    """Long positive; unit as Position.quantity."""
    tenor_years: float
    """Time to expiry in years; 0 for perpetuals and spot."""
    strike_usd: float | None
    forward_usd: float
    """Forward; index price for perpetuals and spot."""
    forward_after_usd: float
    volatility: float | None
    """Annual volatility as a fraction."""
    volatility_after: float | None
    """None also if the value after the scenario is intrinsic."""
    scale: float | None
    """US dollars of value per US dollar of undiscounted price: index / forward for coin-settled
    options, otherwise a discount factor."""
    scale_after: float | None
    unit_value_usd: float
    """Value per unit of quantity."""
    unit_value_after_usd: float
    profit_usd: float
    """Profit of the position; a loss is negative. The profits add up to the account's profit."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Contributions of positions and tail scenarios that explain a margin."""

    generation: Generation
    margin: AccountMargin
    positions: tuple[PositionContribution, ...]
    """One contribution per position, in the order of instrument names."""
    scenarios: tuple[TailScenario, ...]
    """Tail scenarios, the worst first."""
    traced: tuple[TracedPosition, ...] = ()
    """One entry per position for the requested scenario; empty if none was requested."""

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row per position."""
        return _tables.frame_of(self.positions)


class CalculationKind(StrEnum):
    """Subject of a calculation."""

    UNKNOWN = "unknown"
    """A kind that this version of the client does not know."""
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
    """Account of a calculation of one account, otherwise empty."""
    accounts_failed: int = 0
    """Number of accounts of a book that could not be margined."""
    is_complete: bool = True
    """True if every account was margined."""
    portfolio_version: int = 0
    """Version of the positions; 0 for a portfolio in the request and for old records."""
    expired_positions: int = 0
    """Number of positions that had expired at the snapshot's time and await settlement."""


@dataclass(frozen=True, slots=True)
class CalculationDetail:
    """A recorded calculation with margins."""

    calculation: Calculation
    margins: tuple[AccountMargin, ...]
    """The margin of a single account; of a book, the margins of the requested accounts."""
    failures: tuple[AccountFailure, ...] = ()
    """Accounts of the book that could not be margined; at most the first 1,000."""
