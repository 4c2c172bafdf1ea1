"""Liquidity add-on: half the bid-ask spread of the positions that must be closed out."""

from margin_actors.arrays import FloatArray
from margin_actors.engine.addons import liquidity_charges
from margin_actors.engine.margin.requirement.component import Component, RequirementContext


def amount(context: RequirementContext) -> FloatArray:
    """Return the liquidity charge of every account, (n_accounts,), US dollars."""
    exposures = context.measures.exposures
    return context.record_charge(liquidity_charges(exposures, context.risk, context.model))


LIQUIDITY = Component(
    name="liquidity",
    amount=amount,
    is_enabled=lambda model: model.addons.liquidity.enabled,
    needs_contract_risk=True,
)
