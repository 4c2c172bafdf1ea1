"""Documents of `margin export` and `margin risk-arrays`."""

from typing import Literal

from pydantic import Field

from margin_cluster.cli.schemas.base import Document, Record


class ExportedFileRecord(Record):
    """A file of an export."""

    name: str
    bytes: int
    rows: int | None
    """Number of rows; null for JSON files."""
    sha256: str


class ExportDocument(Document):
    """The files from which the margins of accounts can be recomputed."""

    form_id: Literal["margin.export_result/1"] = Field(
        default="margin.export_result/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    out: str
    """Folder of the files."""
    accounts: int
    """Number of accounts in the files."""
    initial_margin_usd: float
    """Sum of their requirements, US dollars."""
    files: list[ExportedFileRecord]
    """All files except the manifest."""


class ArrayError(Record):
    """Relative errors of the maximum over the arrays over some portfolios, fractions."""

    sample: str
    """Which portfolios, and whether the arrays were chosen from them."""
    portfolios: int
    """Number of portfolios with a positive requirement."""
    worst: float
    """Smallest error: the largest understatement."""
    low: float
    """5 % quantile."""
    median: float
    high: float
    """95 % quantile."""
    largest: float
    """Largest error; at most 0 if the core is expected shortfall."""


class RiskArraysDocument(Document):
    """Risk arrays for members, with the measured errors of the requirement that they give."""

    form_id: Literal["margin.risk_arrays/1"] = Field(
        default="margin.risk_arrays/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    out: str
    """Folder of the files."""
    contracts: int
    """Number of contracts."""
    arrays: int
    """Number of arrays."""
    target: Literal["core", "floored"]
    """What the arrays approximate: the core, or the larger of it and the floors of the model."""
    is_lower_bound: bool
    """True if the maximum over the arrays never exceeds the target."""
    errors: list[ArrayError]
    """Errors by sample."""
