"""Documents of `margin backtest` and `margin procyclicality`."""

from typing import Literal

from pydantic import Field

from margin_cluster.cli.schemas.base import Document, Record


class BacktestTest(Record):
    """Tests of one portfolio under one engine at one confidence level."""

    portfolio: str
    """A benchmark portfolio, or an account of the book."""
    engine: str
    confidence: float
    """Probability that the loss is not exceeded."""
    exceptions_all_dates: int
    """Number of losses greater than VaR over all dates; their windows overlap."""
    all_dates: int
    exceptions: int
    """Number of losses greater than VaR over the dates whose windows do not overlap."""
    dates: int
    """Number of dates whose windows do not overlap."""
    expected: float
    """Expected number of exceptions on these dates."""
    kupiec: float
    """Kupiec's likelihood ratio of coverage, chi-square with 1 degree of freedom."""
    kupiec_p: float
    independence: float
    """Christoffersen's likelihood ratio of independence, chi-square with 1 degree of freedom."""
    independence_p: float
    conditional: float
    """Sum of both ratios, chi-square with 2 degrees of freedom."""
    conditional_p: float
    light: Literal["green", "yellow", "red"]
    """Zone of the Basel traffic light."""
    severity_mean: float
    """Mean over the exceptions of (loss - VaR) / VaR; 0 if there are none."""
    severity_max: float
    """Maximum over the exceptions of (loss - VaR) / VaR; 0 if there are none."""


class BacktestDocument(Document):
    """Results of a backtest."""

    form_id: Literal["margin.backtest/1"] = Field(
        default="margin.backtest/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    out: str
    """Folder of the results."""
    first_date: str
    """First date of the replay, ISO 8601."""
    last_date: str
    """Last date of the replay, ISO 8601."""
    remarks: list[str]
    """Sentences on the end of the replay and on positions that were left out."""
    tests: list[BacktestTest]


class ToolResponse(Record):
    """Changes of one portfolio's margin under one procyclicality tool; fractions."""

    portfolio: str
    tool: str
    mean: float
    """Mean margin, as a fraction of the index price."""
    peak_to_trough: float
    """Largest margin divided by smallest margin."""
    largest_rise_1d: float
    """Largest rise from one date to the next, as a fraction of the earlier margin."""
    largest_rise_5d: float
    """Largest rise over five dates, as a fraction of the earlier margin."""
    largest_rise_30d: float
    """Largest rise over 30 dates, as a fraction of the earlier margin."""


class ProcyclicalityDocument(Document):
    """Changes of margins over the years under each procyclicality tool."""

    form_id: Literal["margin.procyclicality/1"] = Field(
        default="margin.procyclicality/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    out: str
    """Folder of the results."""
    first_date: str
    """First date of the replay, ISO 8601."""
    last_date: str
    """Last date of the replay, ISO 8601."""
    remarks: list[str]
    """Sentences on the end of the replay."""
    responses: list[ToolResponse]
