"""What a requirement component is: one declaration and one function from a context to amounts.

A component states what it needs (greeks, position groups, sections of the scenario set, prices
under alternative rules); these are then prepared for every model that enables it. Its function
receives the measures of the accounts and the amounts of the components before it, records the
figures from which the amount can be recomputed, and returns the amount of every account.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.addons import AccountGroups, Charge, ContractRisk, GroupKind
from margin_actors.engine.margin.component_inputs import InputRecorder
from margin_actors.engine.margin.prepared_book import BookPnl, PreparedBook
from margin_actors.engine.margin.requirement.account_measures import AccountMeasures
from margin_actors.engine.margin.risk_inputs import RiskInputs
from margin_actors.engine.margin.sample import Sample
from margin_actors.engine.parameters import ModelParameters, RevaluationParameters
from margin_actors.engine.revaluation import AccountProfits


@dataclass(frozen=True)
class RequirementContext:
    """What the amounts of one component are computed from; accounts are in the book's order."""

    component: str
    """Name of the component."""
    book: PreparedBook
    pnl: BookPnl
    measures: AccountMeasures
    amounts_usd: Mapping[str, FloatArray]
    """float64 (n_accounts,), US dollars: amounts of the components before this one, by name, in
    summation order."""
    parameters: Mapping[str, float]
    """Parameters of a component that the model adds by name; empty for built-in components."""
    recorder: InputRecorder
    """Collects the figures of all components."""

    @property
    def inputs(self) -> RiskInputs:
        """Inputs of requirements other than profits."""
        return self.book.inputs

    @property
    def model(self) -> ModelParameters:
        """The model."""
        return self.book.inputs.model

    @property
    def sample(self) -> Sample:
        """Properties of the scenario set."""
        return self.book.inputs.sample

    @property
    def risk(self) -> ContractRisk:
        """Greeks, spreads and market depth; only for components that need contract risk."""
        assert self.book.inputs.risk is not None, "Component.needs_contract_risk is not set"
        return self.book.inputs.risk

    @property
    def groups(self) -> AccountGroups:
        """Position groups; only for components that need groups."""
        assert self.book.groups is not None, "Component.groups is empty"
        return self.book.groups

    @property
    def n_accounts(self) -> int:
        """Number of accounts."""
        return self.book.holdings.n_accounts

    def total_usd(self, *, before: str = "") -> FloatArray:
        """Return the sum of the amounts that precede component `before`, (n_accounts,), US dollars.

        By default the sum of all components before this one.
        """
        total = np.zeros(self.n_accounts)
        for name, amount in self.amounts_usd.items():
            if name == before:
                break
            total += amount
        return total

    def alternative(self, label: str) -> AccountProfits | None:
        """Return the profits under an alternative's rules; None if nothing is priced otherwise."""
        return dict(self.pnl.alternatives).get(label)

    def record(self, figure: str, value: FloatArray, label: str = "") -> None:
        """Record one figure of every account.

        Parameters
        ----------
        figure : str
            Name; ends with the unit if there is one, for example ``var_usd``.
        value : float64 (n_accounts,)
            In the unit at the end of the name.
        label : str
            What the figure refers to; empty for the account.
        """
        self.recorder.add(self.component, figure, np.arange(value.size), value, label)

    def record_some(
        self,
        figure: str,
        account: IntArray,
        value: FloatArray,
        labels: Sequence[str] | str = "",
        of: IntArray | None = None,
    ) -> None:
        """Record one figure of some accounts, buckets or strikes.

        Parameters
        ----------
        figure : str
        account : int64 (n_values,)
            Index of the account of each value.
        value : float64 (n_values,)
            In the unit at the end of the figure's name.
        labels, of
            As in `InputRecorder.add`.
        """
        self.recorder.add(self.component, figure, account, value, labels, of)

    def record_charge(self, charge: Charge) -> FloatArray:
        """Record the figures of a charge and return its amounts, (n_accounts,), US dollars."""
        for item in charge.figures:
            self.record_some(item.name, item.account, item.value, item.labels, item.of)
        return charge.amount


def _always(_model: ModelParameters) -> bool:
    return True


def _never(_model: ModelParameters) -> bool:
    return False


def _without_sections(_model: ModelParameters) -> frozenset[str]:
    return frozenset()


def _without_alternatives(_model: ModelParameters) -> Mapping[str, RevaluationParameters]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Component:
    """A requirement component."""

    name: str
    """Name in results, files and the contract; lower-case letters, digits and underscores."""
    amount: Callable[[RequirementContext], FloatArray]
    """Function that records the figures of the component and returns float64 (n_accounts,), US
    dollars, each at least 0."""
    is_add_on: bool = True
    """True if it is added to the core and its floors."""
    is_floor: bool = False
    """True if it raises the sum of the components before it to a floor."""
    is_later: bool = False
    """True if models that do not enable it have no column for it: for components that were added
    after results had been published, whose digests cover every column."""
    is_enabled: Callable[[ModelParameters], bool] = _always
    """Whether a model uses the component; always for one that the model names."""
    needs_contract_risk: bool = False
    """True if it needs greeks, spreads and market depth; implied by `groups`."""
    groups: frozenset[GroupKind] = frozenset()
    """Kinds of position groups whose stand-alone measures it needs. Only groups that the built-in
    charges can use are measured; see `account_groups`."""
    sections: Callable[[ModelParameters], frozenset[str]] = _without_sections
    """Names of the sections of the scenario set that it needs besides the core."""
    alternatives: Callable[[ModelParameters], Mapping[str, RevaluationParameters]] = (
        _without_alternatives
    )
    """Alternative revaluation rules, by label, under which it needs the profits of accounts."""
    all_profits: Callable[[ModelParameters], bool] = _never
    """Whether it needs the profits of accounts in all rows, `pnl.accounts.pnl_usd`, and not only
    the least ones of each section."""
    parameters: tuple[str, ...] = ()
    """Names of the parameters that a model which names the component must give."""
