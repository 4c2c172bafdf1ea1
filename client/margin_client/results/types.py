"""Results that several calls share."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Generation:
    """One market, one scenario set and one model, from which an answer was calculated."""

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
    """Model name and version together always name the same parameters."""


@dataclass(frozen=True, slots=True)
class InputIds:
    """Content ids of all inputs of a result: equal ids give equal bits."""

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
    """A number from which a part of a requirement was calculated."""

    name: str
    value: float
    of: str = ""
    """Its subject: a bucket, a strike, an underlying; empty for the whole account."""


@dataclass(frozen=True, slots=True)
class RequirementPart:
    """One part of a requirement with the numbers needed to recompute it."""

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
    """Parts of the requirement; they add up to initial_margin_usd."""
    undiversified_usd: float | None = None
    """Sum over underlyings; this and the following are None if the model does not calculate it."""
    span_usd: float | None = None
    venue_grid_usd: float | None = None
    long_usd: float | None = None
    stress_period_usd: float | None = None
    stress_usd: float | None = None
    stress_name: str = ""
    """Name of the row of stress_usd; empty if the model has none."""
    expired_instruments: tuple[str, ...] = ()
    """Instruments that had expired at the snapshot's time; they await settlement, carry no risk,
    and are not part of any other field. Empty in a book, which counts them by account."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a long call."""

    done: int
    total: int
    """0 if the steps cannot be counted."""
    stage: str = ""
    """Human-readable name of the current stage."""


@dataclass(frozen=True, slots=True)
class AccountProblem:
    """One reason why an account could not be margined."""

    instrument_name: str
    """Instrument concerned; empty if the reason concerns the account as a whole."""
    description: str
    """What is wrong, with the value at fault, and what to do about it."""


@dataclass(frozen=True, slots=True)
class AccountFailure:
    """An account that a book run could not margin; the other accounts are not affected."""

    account_id: str
    member_id: str
    positions: int
    problems: tuple[AccountProblem, ...]
    """Reasons, in the order of instrument names; at most 20."""
    problems_total: int
    """Number of reasons, including those beyond the first 20."""
