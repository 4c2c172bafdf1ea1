"""Documents of `margin run`, `margin compare` and `margin explain`."""

from typing import Literal

from pydantic import Field

from margin_cluster.cli.schemas.base import Document, Record
from margin_cluster.cli.schemas.market import FoundInChain


class RunDocument(Document):
    """Totals of a calculation, over all accounts that were margined; amounts in US dollars."""

    form_id: Literal["margin.run/1"] = Field(default="margin.run/1", serialization_alias="schema")
    """Name and version of this form."""
    out: str
    """Folder of the results."""
    accounts: int
    """Number of accounts that were margined."""
    accounts_failed: int
    """Number of accounts that could not be margined; they are listed in not_margined.csv."""
    is_complete: bool
    """True if every account of the book was margined; otherwise the exit code is 5."""
    expired_positions: int
    """Number of positions that had expired; they carry no margin."""
    positions: int
    instruments: int
    scenarios: int
    """Number of scenarios of the set."""
    value_usd: float
    """Market value of all positions."""
    option_value_usd: float
    """Market value of options and spot positions, long positive."""
    var_usd: float
    """Sum of the accounts' values at risk; a loss is positive."""
    es_usd: float
    """Sum of the accounts' expected shortfalls; a loss is positive."""
    components_usd: dict[str, float]
    """Sum over the accounts of each requirement component that is not zero for all of them."""
    accounts_by_binding: dict[str, int] = Field(default_factory=dict[str, int])
    """Number of accounts whose requirement before add-ons each component determines; empty if the
    model has no floor."""
    initial_margin_usd: float
    """Sum of the requirements."""
    accounts_with_dominant_add_on: int
    """Number of accounts with an add-on above half of their requirement, named in margin.csv."""
    digest: str
    """Hash of the results of all accounts."""
    synthetic: bool
    """True if the market or the scenarios are synthetic."""
    collateral_usd: float | None
    """Collateral after haircut; null if the calculation has no collateral."""
    accounts_in_deficit: int | None
    """Number of accounts with a negative excess; null without collateral."""
    deficit_usd: float | None
    """Sum of the deficits of these accounts, at least 0; null without collateral."""
    notes: list[str]
    """Sentences on the scenarios, the model and on data that were left out."""
    chain_findings: list[FoundInChain]
    """Findings of the model's quality gates on the option chain, and the expiries without a
    smile."""


class MethodTotals(Record):
    """Requirements under one method, summed over all accounts, US dollars."""

    method: str
    """Name of a preset, or path of a model file."""
    account_usd: float
    """Sum of the requirements of the whole accounts."""
    underlyings_usd: float
    """Sum of the requirements of the accounts split by underlying."""
    expiries_usd: float
    """Sum of the requirements of the accounts split by expiry."""
    positions_usd: float
    """Sum of the requirements of the accounts split into single positions."""


class CompareDocument(Document):
    """Requirements of a book under several methods."""

    form_id: Literal["margin.compare/1"] = Field(
        default="margin.compare/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    out: str
    """Folder of the results."""
    accounts: int
    """Number of accounts that can be margined under every method."""
    accounts_failed: int
    """Number of the other accounts; they are listed in not_margined.csv."""
    expired_positions: int
    """Number of positions that had expired; they carry no margin."""
    methods: list[MethodTotals]
    """In the order of the request."""
    remarks: list[str]
    """Sentences on methods that give equal requirements."""


class Figure(Record):
    """A figure from which a requirement component was computed."""

    component: str
    label: str
    """What the figure refers to: a bucket, strike, underlying or alternative; empty for the
    account."""
    figure: str
    """Name; a figure with a unit ends with it, for example ``var_usd``."""
    value: float


class ExplainedPosition(Record):
    """Contributions of one position, US dollars; component values of all positions add up."""

    instrument: str
    quantity: float
    """Signed, in the unit of the instrument."""
    component_var_usd: float
    component_es_usd: float
    incremental_var_usd: float
    """VaR of the account minus its VaR without the position."""
    incremental_es_usd: float
    """ES of the account minus its ES without the position."""


class TailScenario(Record):
    """One of the account's worst scenarios."""

    scenario: int
    """Index in the scenario set."""
    name: str
    """Name of the row, otherwise the date at which its window ends."""
    profit_usd: float
    """A loss is negative."""


class TracedInstrument(Record):
    """One position before and after the traced scenario."""

    instrument: str
    quantity: float
    """Signed, in the unit of the instrument."""
    tenor_years: float
    strike_usd: float | None
    """Null for everything except options."""
    forward_usd: float
    """Forward before the scenario; the index for perpetuals and spot."""
    forward_after_usd: float
    volatility_annual: float | None
    """Fraction per year; null for everything except options."""
    volatility_after_annual: float | None
    """Fraction per year; null for everything except options, and if the price after the scenario
    does not determine it."""
    scale: float | None
    """US dollars of value per dollar of undiscounted price; null for everything except options."""
    scale_after: float | None
    unit_value_usd: float
    """Value of one unit before the scenario."""
    unit_value_after_usd: float
    profit_usd: float
    """Profit of the whole position."""


class TracedScenario(Record):
    """Every position in one scenario."""

    scenario: int
    """Index in the scenario set."""
    name: str
    positions: list[TracedInstrument]
    profit_usd: float
    """Sum over the positions."""


class ExplainAccountDocument(Document):
    """The origin of one account's requirement."""

    form_id: Literal["margin.explain-account/1"] = Field(
        default="margin.explain-account/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    account: str
    initial_margin_usd: float
    var_usd: float
    es_usd: float
    components_usd: dict[str, float]
    """The core, and every other component that is not zero; they sum to the requirement."""
    binding: str
    """The component that determines the requirement before add-ons; `core` includes the limits of
    diversification, the buffer and the stressed weight."""
    figures: list[Figure]
    """All figures from which the components can be recomputed."""
    positions: list[ExplainedPosition]
    """All positions, in the order of the book."""
    tail: list[TailScenario]
    """The worst scenarios, the largest loss first."""
    traced: TracedScenario
    """The scenario closest to VaR, or the one that was asked for."""


class ChangedInput(Record):
    """An input that differs between the two calculations."""

    name: str
    """`portfolio_version`, `book`, `snapshot`, `scenarios` or `model`."""
    before_id: str
    after_id: str


class ChangeStep(Record):
    """One step from the earlier to the later calculation."""

    replaced: str
    """The input that is replaced in this step."""
    change_usd: float
    """Change of the requirement in this step, in whole cents."""
    components_usd: dict[str, float]
    """Changes of the components that are not 0, in whole cents; they sum to the change."""
    inputs: list[ChangedInput]
    """The inputs that the step replaced; empty if they are equal."""


class ExplainChangesDocument(Document):
    """The change of one account's requirement between two calculations."""

    form_id: Literal["margin.explain-changes/1"] = Field(
        default="margin.explain-changes/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    account: str
    before: str
    """Id or folder of the earlier calculation."""
    after: str
    """Id or folder of the later calculation."""
    before_usd: float
    """Requirement in the earlier calculation, rounded up to cents."""
    before_components_usd: dict[str, float]
    """Its components that are not 0, in whole cents; they sum to the requirement."""
    steps: list[ChangeStep]
    """The changes sum to the difference of the requirements."""
    after_usd: float
    """Requirement in the later calculation, rounded up to cents."""
    after_components_usd: dict[str, float]
    """Its components that are not 0, in whole cents; they sum to the requirement."""
