"""Concentration and liquidity charges, with all intermediate figures for reports.

The concentration charge has two terms: one for each bucket that takes d days to close, with a
margin period of risk of h days, and one for each strike of which the account holds a large share of
the open interest:

    bucket VaR * (sqrt(max(1, d / h)) - 1),      rate(share) * strike VaR.

If the model bounds the charge by the cost of a hedge, what the vega adds to the factor of the
bucket's delta is at most phi, see `hedging`.

The liquidity charge of a bucket follows from C, half the bid-ask spread of all positions scaled up
with their size, and from V+ and V-, the absolute vegas of the long and of the short options:

    C * (1 - offset_share * 2 min(V+, V-) / (V+ + V-)).
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray, IntArray
from margin_actors.engine.addons.exposures import ContractRisk
from margin_actors.engine.addons.groups import (
    AccountGroups,
    BucketExposures,
    GroupKind,
    MemberSizes,
    days_to_close,
    strike_shares,
)
from margin_actors.engine.addons.hedging import HedgeRates, hedged_factors
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import Holdings


@dataclass
class Figures:
    """Values of one intermediate figure, for one or more accounts, buckets or strikes."""

    name: str
    """Name of the figure; ends in the unit if there is one."""
    account: IntArray
    """int64 (n_values,): index of the account."""
    labels: tuple[str, ...]
    """Names of all buckets or strikes."""
    of: IntArray
    """int64 (n_values,): index into `labels`, the bucket or strike of each value."""
    value: FloatArray
    """float64 (n_values,), in the unit that `name` states."""


@dataclass
class Charge:
    """One charge for every account, with the figures from which it was computed."""

    amount: FloatArray
    """float64 (n_accounts,), US dollars; a charge is positive."""
    figures: list[Figures] = field(default_factory=list[Figures])
    """Intermediate figures, in the order of the calculation."""

    def note(
        self,
        name: str,
        account: IntArray,
        labels: tuple[str, ...],
        of: IntArray,
        value: FloatArray,
    ) -> None:
        """Append a figure; `account`, `labels`, `of` and `value` are as in `Figures`."""
        self.figures.append(Figures(name, account, labels, of, np.asarray(value, np.float64)))


@dataclass(frozen=True)
class GroupMeasures:
    """The measure of each group of positions alone, from which charges follow."""

    groups: AccountGroups
    value_usd: FloatArray
    """float64 (n_groups,), US dollars: VaR or expected shortfall; a loss is positive."""
    kind: Literal["var", "es"] = "var"
    """The measure, for the names of the figures."""

    def of(self, kind: GroupKind) -> tuple[IntArray, IndexArray, FloatArray]:
        """Return (owner, key, measure) of the groups of a kind, each (n_groups_of_kind,).

        Owners and keys are as in `AccountGroups`; the measure is at least 0, US dollars.
        """
        chosen = np.flatnonzero(self.groups.kind == kind)
        measure = np.maximum(self.value_usd[chosen], 0.0)
        return self.groups.owner[chosen], self.groups.key[chosen], measure


def concentration_charges(
    holdings: Holdings,
    quantity: FloatArray,
    risk: ContractRisk,
    exposures: BucketExposures,
    measures: GroupMeasures,
    parameters: ModelParameters,
    members: MemberSizes | None = None,
    hedge: HedgeRates | None = None,
) -> Charge:
    """Return the concentration charge of every account.

    Parameters
    ----------
    holdings : Holdings
    quantity : float64 array of shape (n_positions,)
        Signed quantity of each position, in units of its contract; long is positive.
    risk : ContractRisk
    exposures : BucketExposures
        Exposures of the same holdings.
    measures : GroupMeasures
        Of groups of the same holdings, which must include the buckets and strikes of
        `account_groups`.
    parameters : ModelParameters
    members : MemberSizes, optional
        Sizes of the members' positions.
    hedge : HedgeRates, optional
        Cost rates of hedges; if given, they bound the charge.
    """
    charge = Charge(np.zeros(holdings.n_accounts))
    _buckets(charge, risk, exposures, measures, parameters, members, hedge)
    _strikes(charge, holdings, quantity, risk, measures, parameters, members)
    return charge


def _buckets(
    charge: Charge,
    risk: ContractRisk,
    exposures: BucketExposures,
    measures: GroupMeasures,
    parameters: ModelParameters,
    members: MemberSizes | None,
    hedge: HedgeRates | None,
) -> None:
    owner, key, measure = measures.of(GroupKind.BUCKET)
    n_buckets = len(risk.depth.buckets)
    u, b = key // n_buckets, key % n_buckets
    days = days_to_close(exposures, risk, parameters, members)
    horizon = parameters.horizon_hours_total / 24.0
    factor = _waiting_factor(days.days[owner, u, b], horizon)
    bound: FloatArray | None = None
    if hedge is not None:
        phi = hedged_factors(exposures.vega, hedge, risk.depth, parameters)
        if members is not None:
            whole = hedged_factors(members.vega, hedge, risk.depth, parameters)
            phi = np.maximum(phi, whole)
        bound = _waiting_factor(days.delta[owner, u, b], horizon) + phi[owner, u, b]
        factor = np.minimum(factor, bound)
    amount = measure * factor
    charge.amount += np.bincount(owner, weights=amount, minlength=charge.amount.size)
    figures = [
        ("delta_coins", exposures.delta[owner, u, b]),
        ("vega_usd_per_point", 0.01 * exposures.vega[owner, u, b]),
    ]
    if members is not None:
        figures += [
            ("member_delta_coins", members.delta[owner, u, b]),
            ("member_vega_usd_per_point", 0.01 * members.vega[owner, u, b]),
        ]
    figures += [
        ("delta_days_to_close", days.delta[owner, u, b]),
        ("vega_days_to_close", days.vega[owner, u, b]),
    ]
    if bound is not None:
        figures.append(("factor_max", bound))
    figures += [(f"bucket_{measures.kind}_usd", measure), ("charge_usd", amount)]
    for name, value in figures:
        charge.note(name, owner, risk.depth.bucket_labels, key.astype(np.int64), value)


def _waiting_factor(days: FloatArray, horizon_days: float) -> FloatArray:
    """Return sqrt(max(1, d / h)) - 1."""
    return np.sqrt(np.maximum(1.0, days / horizon_days)) - 1.0


def _strikes(
    charge: Charge,
    holdings: Holdings,
    quantity: FloatArray,
    risk: ContractRisk,
    measures: GroupMeasures,
    parameters: ModelParameters,
    members: MemberSizes | None,
) -> None:
    steps = parameters.addons.concentration.open_interest_steps
    owner, key, measure = measures.of(GroupKind.STRIKE)
    if not steps or owner.size == 0:
        return
    account = np.repeat(np.arange(holdings.n_accounts), np.diff(holdings.start))
    strike = risk.strike[holdings.index].astype(np.int64)
    held, coins, share = strike_shares(account, strike, quantity, risk, members)
    place = np.searchsorted(held, owner * max(len(risk.strike_names), 1) + key)
    edges, rates = np.array([s for s, _ in steps]), np.array([r for _, r in steps])
    rate = rates[np.searchsorted(edges, share[place], side="right") - 1]
    amount = rate * measure
    charge.amount += np.bincount(owner, weights=amount, minlength=charge.amount.size)
    for name, value in (
        ("held_coins", coins[place]),
        ("open_interest_share", share[place]),
        ("rate", rate),
        (f"strike_{measures.kind}_usd", measure),
        ("charge_usd", amount),
    ):
        charge.note(name, owner, risk.strike_names, key.astype(np.int64), value)


def liquidity_charges(
    exposures: BucketExposures, risk: ContractRisk, parameters: ModelParameters
) -> Charge:
    """Return the liquidity charge of every account from its exposures by bucket."""
    rules = parameters.addons.liquidity
    gross = exposures.vega_long + exposures.vega_short
    both = 2.0 * np.minimum(exposures.vega_long, exposures.vega_short)
    offset = np.divide(both, gross, out=np.zeros_like(gross), where=gross > 0.0)
    amount = exposures.cost * (1.0 - rules.offset_share * offset)
    total = np.zeros(amount.shape[0])
    for u in range(amount.shape[1]):  # a fixed order keeps the result reproducible
        for b in range(amount.shape[2]):
            total += amount[:, u, b]
    charge = Charge(total)
    owner, u, b = np.nonzero(exposures.cost)
    cell = u * len(risk.depth.buckets) + b
    for name, value in (
        ("vega_long_usd_per_point", 0.01 * exposures.vega_long),
        ("vega_short_usd_per_point", 0.01 * exposures.vega_short),
        ("half_spread_usd", exposures.quoted),
        ("half_spread_grown_usd", exposures.cost),
        ("offset_share", offset),
        ("charge_usd", amount),
    ):
        charge.note(name, owner, risk.depth.bucket_labels, cell, value[owner, u, b])
    return charge
