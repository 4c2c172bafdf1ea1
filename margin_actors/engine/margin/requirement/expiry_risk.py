"""Expiry risk add-on: options that expire within the margin period of risk, settled at expiry."""

from collections.abc import Mapping

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray
from margin_actors.engine.margin.requirement.component import Component, RequirementContext
from margin_actors.engine.margin.sample import measures_of
from margin_actors.engine.parameters import ModelParameters, RevaluationParameters
from margin_actors.engine.revaluation import Holdings

EXPIRING = "expiring options settled"
"""Label of the alternative in which options that expire within the horizon are settled."""


def amount(context: RequirementContext) -> FloatArray:
    """Return the increase of the measure of accounts with expiring options, (n_accounts,).

    US dollars; the measure is VaR or expected shortfall, see `AddOnParameters.measure`.
    """
    profits = context.alternative(EXPIRING)
    if profits is None:
        return np.zeros(context.n_accounts)
    measures = context.measures
    settled = measures.for_add_ons(measures_of(profits, context.sample))
    affected = _holds(context.book.holdings, context.risk.expires_within)
    accounts = np.flatnonzero(affected)
    context.record_some(f"{measures.add_on_kind}_settled_usd", accounts, settled[accounts])
    return np.where(affected, np.maximum(settled - measures.add_on_base_usd, 0.0), 0.0)


def _holds(holdings: Holdings, chosen: BoolArray) -> BoolArray:
    """Return which accounts hold any of the chosen contracts, bool (n_accounts,)."""
    account = np.repeat(np.arange(holdings.n_accounts), np.diff(holdings.start))
    out = np.zeros(holdings.n_accounts, np.bool_)
    out[account[chosen[holdings.index]]] = True
    return out


def alternatives(model: ModelParameters) -> Mapping[str, RevaluationParameters]:
    """Return the rules with settlement of expiring options, unless the model's own have time."""
    own = model.revaluation
    if own.time != "instantaneous":
        return {}
    return {EXPIRING: own.model_copy(update={"time": "settle_expiring"})}


EXPIRY_RISK = Component(
    name="expiry_risk",
    amount=amount,
    is_enabled=lambda model: model.addons.expiry_risk.enabled,
    needs_contract_risk=True,
    alternatives=alternatives,
)
