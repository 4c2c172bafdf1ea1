"""The input of the risk officer's page: who is short, by how much, why, and since when.

The record names no source. `margin run` fills it from a calculation; a running service can fill it
from its ledger, with the resources and the margin calls recorded there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_cluster.report.identity import ReportIdentity

WarningKind = Literal["data", "incomplete", "add_on", "quarantine", "exemption", "comparison"]


@dataclass(frozen=True)
class OfficerWarning:
    """A fact that limits what the page can be relied on for."""

    kind: WarningKind
    text: str
    """One sentence."""
    details: tuple[str, ...] = ()
    """Accounts, expiries or sources concerned."""


@dataclass(frozen=True)
class Resources:
    """What covers the requirements; float64 (n_accounts,), US dollars."""

    collateral_usd: FloatArray
    """After haircut."""
    option_value_usd: FloatArray
    """Market value of options and spot positions, long positive."""
    total_usd: FloatArray
    """What counts against the requirement: the sum of both, plus unsettled amounts, less what is
    not counted in de-peg scenarios."""
    short_since: tuple[datetime | None, ...]
    """Time since which each account has been in deficit; None if it is not in deficit."""
    calls: tuple[str, ...] | None = None
    """State of the margin call of each account, empty without a call; None if not known."""


@dataclass(frozen=True)
class PreviousAmounts:
    """The previous close of the accounts of the page; US dollars."""

    time: datetime
    title: str
    """Model and source of the previous close."""
    requirement_usd: FloatArray
    """float64 (n_accounts,); NaN for an account that the previous close does not have."""
    deficit_usd: FloatArray | None
    """float64 (n_accounts,), at least 0; NaN as above; None if resources were not known."""
    components_usd: Mapping[str, float]
    """Sum over all accounts of the previous close, by component."""
    members_usd: Mapping[str, float]
    """Sum of the requirements of all accounts of the previous close, by member."""
    members_deficit_usd: Mapping[str, float] | None
    """Sum of the deficits, by member."""
    accounts_gone: int
    """Number of accounts of the previous close that the page does not have."""


@dataclass(frozen=True)
class AccountDetails:
    """What the page shows of each account besides its requirement; float64, US dollars."""

    figures: Mapping[str, FloatArray]
    """Columns by title, (n_accounts,), for example VaR; NaN if not known."""
    scenario_names: tuple[str, ...]
    worst_scenario: IntArray
    """int64 (n_accounts, n_worst): indices in `scenario_names`, the largest loss first."""
    worst_loss_usd: FloatArray
    """(n_accounts, n_worst): a loss is positive."""
    instruments: tuple[str, ...]
    risks: Mapping[int, tuple[tuple[int, float, float], ...]]
    """By account: triples (index in `instruments`, quantity, contribution to the expected
    shortfall in US dollars), the largest contribution first. Accounts without are left out."""


@dataclass(frozen=True)
class OfficerPage:
    """Everything that the page shows. Arrays are in the order of `accounts`."""

    identity: ReportIdentity
    title: str
    age: str
    """Age of the data in words, with what it is measured at."""
    model: str
    """Name, version and measure of the model."""
    accounts: tuple[str, ...]
    members: tuple[str, ...]
    """Member of each account."""
    requirement_usd: FloatArray
    """float64 (n_accounts,)."""
    components: tuple[str, ...]
    components_usd: FloatArray
    """float64 (n_accounts, n_components); they sum to the requirement."""
    binding: tuple[str, ...]
    """Component that determines each requirement before add-ons."""
    dominant: tuple[str, ...]
    """Add-on above half of each requirement; empty if none is."""
    details: AccountDetails
    resources: Resources | None = None
    """None if resources are not known: the page then ranks by requirement."""
    previous: PreviousAmounts | None = None
    warnings: tuple[OfficerWarning, ...] = ()

    def __post_init__(self) -> None:
        """Raise InvalidRequest unless all columns have one value per account."""
        n = len(self.accounts)
        lengths = {
            "members": len(self.members),
            "requirement_usd": self.requirement_usd.size,
            "components_usd": self.components_usd.shape[0],
            "binding": len(self.binding),
            "dominant": len(self.dominant),
            "worst_scenario": self.details.worst_scenario.shape[0],
            "worst_loss_usd": self.details.worst_loss_usd.shape[0],
            **{name: values.size for name, values in self.details.figures.items()},
        }
        if self.resources is not None:
            lengths["collateral_usd"] = self.resources.collateral_usd.size
            lengths["option_value_usd"] = self.resources.option_value_usd.size
            lengths["total_usd"] = self.resources.total_usd.size
            lengths["short_since"] = len(self.resources.short_since)
            lengths["calls"] = n if self.resources.calls is None else len(self.resources.calls)
        if self.previous is not None:
            lengths["previous.requirement_usd"] = self.previous.requirement_usd.size
        problems = [
            Problem(name, f"{length} values for {n} accounts", "give one value per account")
            for name, length in lengths.items()
            if length != n
        ]
        raise_if_any(problems, InvalidRequest, "the columns of the page differ in length")

    @property
    def deficit_usd(self) -> FloatArray | None:
        """Requirement above resources, at least 0, US dollars; None if resources are not known."""
        if self.resources is None:
            return None
        return np.maximum(self.requirement_usd - self.resources.total_usd, 0.0)

    @property
    def ranking(self) -> IntArray:
        """Indices of the accounts: by deficit, then by requirement, the largest first."""
        deficit = self.deficit_usd
        by_deficit = np.zeros(len(self.accounts)) if deficit is None else deficit
        return np.lexsort((-self.requirement_usd, -by_deficit)).astype(np.int64)
