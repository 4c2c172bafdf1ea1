"""Document of `margin backtest --chains`."""

from typing import Literal

from pydantic import Field

from margin_cluster.cli.schemas.base import Document, Record

Measure = Literal["core", "requirement"]


class PooledShare(Record):
    """Coverage of all accounts of a group over all dates."""

    group: str
    """``benchmark``, or the name of a book."""
    measure: Measure
    observations: int
    """Number of pairs of account and date."""
    exceptions: int
    """Number of these whose loss is greater than the measure."""
    covered: float
    """Share without an exception."""
    dates: int
    dates_with_exceptions: int
    windows: int
    """Effective sample size: number of dates whose margin periods do not overlap."""


class CoverageTest(Record):
    """Coverage of one portfolio, account or member by one measure."""

    scope: Literal["portfolio", "account", "member"]
    group: str
    name: str
    measure: Measure
    observations: int
    """Number of dates; their margin periods overlap."""
    exceptions_all_dates: int
    covered: float
    """Share of the dates without an exception."""
    severity_mean: float
    """Mean over the exceptions of (loss - measure) / measure; 0 if there are none."""
    severity_max: float
    windows: int
    """Number of dates whose margin periods do not overlap."""
    exceptions: int
    """Exceptions on these dates."""
    expected: float
    """Expected number of exceptions on these dates."""
    rejected_from: int
    """Least number of exceptions that Kupiec's test rejects as too many at the 5 % level."""
    kupiec_p: float
    independence_p: float
    conditional_p: float
    light: Literal["green", "yellow", "red"]


class RequirementException(Record):
    """A loss greater than the requirement; US dollars."""

    group: str
    account: str
    member: str
    time: str
    """Valuation time, ISO 8601, UTC."""
    end: str
    """Time of the later chain, ISO 8601, UTC."""
    loss_usd: float
    core_usd: float
    requirement_usd: float
    above_usd: float
    """Loss above the requirement."""


class GroupDate(Record):
    """One group on one date; US dollars."""

    group: str
    time: str
    """Valuation time, ISO 8601, UTC."""
    accounts: int
    core_usd: float
    requirement_usd: float
    components_usd: dict[str, float]
    loss_usd: float
    """Sum of the losses of accounts; profits of others are not deducted."""
    above_core_usd: float
    above_margin_usd: float
    above_collateral_usd: float | None
    """Null without collateral."""
    cover_1_usd: float
    """Realised loss above margin of the member with the largest."""
    cover_1_member: str
    cover_2_usd: float
    """Realised loss above margin of the two members with the largest."""
    stress_cover_1_usd: float | None
    """The same in the model's stress scenarios; null without these."""
    stress_cover_2_usd: float | None
    default_fund_usd: float | None
    """Largest `stress_cover_2_usd` of the last 30 days."""


class MemberDate(Record):
    """Losses of one member on one date that resources did not cover; US dollars."""

    group: str
    member: str
    time: str
    requirement_usd: float
    above_margin_usd: float
    above_collateral_usd: float | None


class MarginResponse(Record):
    """Changes of one margin of positions that do not change."""

    group: str
    name: str
    measure: Measure
    dates: int
    mean: float
    """US dollars; for benchmark portfolios a fraction of the index."""
    peak_to_trough: float
    largest_rise_1d: float
    """Largest rise over one day, as a fraction of the earlier margin."""
    largest_rise_5d: float
    largest_rise_30d: float
    change_95: float | None
    """95th percentile of the absolute daily changes, fractions; null without two daily dates."""


class PooledResponse(Record):
    """Daily changes of the margins of all unchanged parts of accounts, as fractions."""

    changes: int
    core_change_95: float | None
    """95th percentile of the absolute daily changes of the core."""
    requirement_change_95: float | None
    ratio: float | None
    """The latter divided by the former."""
    component_change_95: dict[str, float | None]
    """By component, in fractions of the whole requirement."""


class SkippedDay(Record):
    """A date that could not be margined."""

    time: str
    reason: str


class ChainBacktestDocument(Document):
    """Backtest of the whole requirement on recorded option chains."""

    form_id: Literal["margin.backtest-chains/1"] = Field(
        default="margin.backtest-chains/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    out: str
    """Folder of the results."""
    verdict: list[str]
    """The result in sentences."""
    model: str
    model_id: str
    confidence: float
    """Level of the model's measure, to which coverage is compared."""
    first_date: str
    last_date: str
    remarks: list[str]
    """Why the first and the last date are what they are, and what was left out."""
    definitions: dict[str, str]
    """What each benchmark portfolio holds."""
    pooled: list[PooledShare]
    tests: list[CoverageTest]
    exceptions: list[RequirementException]
    """Every loss greater than the requirement."""
    dates: list[GroupDate]
    members: list[MemberDate]
    """Members and dates with a loss above margin or above collateral."""
    response: PooledResponse
    responses: list[MarginResponse]
    skipped: list[SkippedDay]
