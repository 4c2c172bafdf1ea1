"""Classes that the results of several calls share."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Generation:
    """The market, scenario set and model from which an answer was calculated."""

    number: int
    """Increases by one with every published snapshot and every activated scenario set."""
    snapshot_id: str
    snapshot_time: datetime
    """Valuation time."""
    scenarios_id: str
    scenarios: int
    """Number of scenarios."""
    model_id: str
    model_name: str
    instruments: int
    """Number of listed contracts of the snapshot."""
    is_synthetic: bool
    """True if the market or the scenarios are synthetic."""
    model_version: str = ""
    """Version of the model; name and version together always identify the same parameters."""
    quarantined_expiries: tuple[str, ...] = ()
    """Expiries whose options are not priced, for example ``BTC 27MAR26``: they failed a quality
    gate of the model, or have too few quotes for a smile."""


@dataclass(frozen=True, slots=True)
class ChainFinding:
    """A value of an option chain that violates a limit of the model's quality gates."""

    gate: str
    """Name of the gate, for example ``forward_parity``."""
    underlying: str
    expiry: str
    """Label as in instrument names, for example ``27MAR26``."""
    instrument_name: str
    """Option concerned; empty for a finding on the whole expiry."""
    what: str
    """Sentence with the values that contradict each other."""
    value: float
    """Measured value, in the unit of the limit."""
    limit: float
    effect: str
    """``expiry_quarantined``: neither options nor the future of the expiry are priced;
    ``options_quarantined``: its options are not priced; ``quote_excluded``: the quote of one option
    is not used."""


@dataclass(frozen=True, slots=True)
class InputIds:
    """Content ids of all inputs of a result; equal ids give bit-for-bit equal results."""

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
"""Names of the built-in requirement components that may be added to the core. A model may have
further ones, which results list after these."""


@dataclass(frozen=True, slots=True)
class PartInput:
    """An input from which a requirement component was calculated."""

    name: str
    """Name of the input; it ends in the unit, for example confidence or var_usd."""
    value: float
    of: str = ""
    """Subject of the input: a bucket, a strike, an underlying; empty for the whole account."""


@dataclass(frozen=True, slots=True)
class RequirementPart:
    """One requirement component with the inputs needed to recompute it."""

    name: str
    """"core", one of `PARTS`, or the name of a further component of the model."""
    amount_usd: float
    """Amount that it adds to the requirement; at least 0."""
    inputs: tuple[PartInput, ...]


@dataclass(frozen=True, slots=True)
class AccountMargin:
    """The margin of one account."""

    account_id: str
    member_id: str
    positions: int
    """Number of positions."""
    value_usd: float
    """Value of options and spot; futures and perpetuals are settled daily."""
    var_usd: float
    """Value at risk."""
    var_low_usd: float
    """Lower end of the 95 % confidence interval of VaR."""
    var_high_usd: float
    """Upper end of the 95 % confidence interval of VaR."""
    es_usd: float
    """Expected shortfall."""
    es_standard_error_usd: float
    worst_usd: float
    """Loss in the worst scenario."""
    worst_scenario: int
    """Index of the worst scenario in the scenario set, from 0."""
    core_usd: float
    """Core component: the risk measure selected by the model, at least 0."""
    initial_margin_usd: float
    """The requirement."""
    rounding_bound_usd: float
    """Upper bound of the effect of rounding to ticks on any profit of the account."""
    parts: tuple[RequirementPart, ...]
    """Requirement components; they add up to initial_margin_usd."""
    undiversified_usd: float | None = None
    """Sum over underlyings of the core's measure. This and the following fields are None if the
    model does not calculate them."""
    span_usd: float | None = None
    """SPAN requirement."""
    venue_grid_usd: float | None = None
    """Requirement of the venue's scenario grid."""
    long_usd: float | None = None
    """The measure over the long lookback."""
    stress_period_usd: float | None = None
    """The measure over the stress days."""
    stress_usd: float | None = None
    """Largest loss in the stress scenarios, at least 0."""
    stress_name: str = ""
    """Name of the scenario of stress_usd; empty if the model has no stress scenarios."""
    expired_instruments: tuple[str, ...] = ()
    """Instruments that had expired at the snapshot's time. They await settlement, carry no risk
    and are not part of any other field. Empty in a book, which only counts them per account."""
    dominant_add_on: str = ""
    """The add-on that exceeds half of the requirement; empty if none does."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a long call."""

    done: int
    """Number of steps done."""
    total: int
    """Total number of steps; 0 if the steps cannot be counted."""
    stage: str = ""
    """Human-readable name of the current stage."""


@dataclass(frozen=True, slots=True)
class AccountProblem:
    """One reason why an account could not be margined."""

    instrument_name: str
    """Instrument concerned; empty if the reason concerns the account as a whole."""
    description: str
    """Description of the fault with the value concerned, and its remedy."""


@dataclass(frozen=True, slots=True)
class AccountFailure:
    """An account that a book run could not margin; the other accounts are not affected."""

    account_id: str
    member_id: str
    positions: int
    problems: tuple[AccountProblem, ...]
    """The first 20 reasons, in the order of instrument names."""
    problems_total: int
    """Number of all reasons."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Where in the log of the clearing house an answer was read."""

    number: int
    """Number of the last event that the answer includes; 0 before the first."""
    time: datetime | None
    """Time at which that event was recorded; None for a past state."""
    token: str
    """A watch continues after that event; empty for a past state."""


@dataclass(frozen=True, slots=True)
class CollateralValue:
    """What an asset contributes to the resources of an account."""

    asset: str
    units: int
    """Smallest units of the asset; negative if owed."""
    market_cents: int
    counted_cents: int
    """Value that counts, US cents."""


@dataclass(frozen=True, slots=True)
class AccountResources:
    """Resources of a clearing account against its requirement, US cents."""

    requirement_cents: int
    resources_cents: int
    """Collateral after haircut, net option value and unsettled variation."""
    excess_cents: int
    """Resources less requirement; negative for a deficit."""
    reserved_cents: int
    """Margin of open reservations, and of block trades that no cycle includes yet."""
    free_cents: int
    """Excess less reserved margin, at least 0."""
    collateral: tuple[CollateralValue, ...]
    option_cents: int
    unsettled_cents: int
    is_frozen: bool
    """True if the account is frozen by a default."""
    position: LogPosition
    """The state from which the resources were computed."""
