"""Document of `margin model impact`."""

from typing import Literal

from pydantic import Field

from margin_cluster.cli.schemas.base import Document, Record
from margin_cluster.cli.schemas.models import ParameterChange


class ComparedModel(Record):
    """One of the two models."""

    name: str
    version: str
    id: str
    """Content id of the parameters."""
    challenge_ratio: float | None
    """Smallest requirement per plausible loss of a challenge; null if none was given."""


class ImpactDate(Record):
    """Sums over all compared accounts on one date; US dollars."""

    time: str
    """Valuation time, ISO 8601, UTC."""
    snapshot_id: str
    old_scenarios_id: str
    new_scenarios_id: str
    old_digest: str
    """Digest of the margins under the old model."""
    new_digest: str
    accounts: int
    old_usd: float
    new_usd: float
    relative: float
    """Relative change, a fraction."""
    old_components_usd: dict[str, float]
    new_components_usd: dict[str, float]
    into_deficit: list[str]
    """Accounts that are in deficit under the new model only; empty without collateral."""
    old_deficit_usd: float | None
    """Sum of the deficits under the old model; null without collateral."""
    new_deficit_usd: float | None
    positions_left_out: int
    """Number of positions that had expired or are not listed."""
    not_compared: list[str]
    """Accounts that at least one model could not margin."""


class AccountImpact(Record):
    """One account on the last date; US dollars."""

    account: str
    member: str
    old_usd: float
    new_usd: float
    change_usd: float
    cause: str
    """Component with the largest absolute change."""
    cause_usd: float
    """Its change."""
    old_excess_usd: float | None
    """Null without collateral."""
    new_excess_usd: float | None


class MemberImpact(Record):
    """One member on the last date; sums over its accounts, US dollars."""

    member: str
    accounts: int
    old_usd: float
    new_usd: float
    change_usd: float


class ImpactResponsiveness(Record):
    """Changes over the dates of the requirements of positions that every date lists."""

    accounts: int
    old_change_95: float | None
    """95th percentile of the absolute daily changes, fractions; null without daily dates."""
    new_change_95: float | None
    old_peak_to_trough: float
    """Of the sum over the accounts."""
    new_peak_to_trough: float


class ModelImpactDocument(Document):
    """Effect of a new model version on the requirements of a book."""

    form_id: Literal["margin.model-impact/1"] = Field(
        default="margin.model-impact/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    out: str
    """Folder of the results."""
    verdict: list[str]
    """The result in sentences."""
    old: ComparedModel
    new: ComparedModel
    book_id: str
    changes: list[ParameterChange]
    """Parameters that differ."""
    dates: list[ImpactDate]
    accounts: list[AccountImpact]
    """By the size of the change, largest first."""
    members: list[MemberImpact]
    distribution: dict[str, float]
    """Percentiles of the relative changes over all pairs of account and date: ``0``, ``5``, ``25``,
    ``50``, ``75``, ``95`` and ``100``; fractions."""
    responsiveness: ImpactResponsiveness | None
    """Null with fewer than two dates, or without positions that every date lists."""
