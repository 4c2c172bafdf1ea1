"""Procyclicality tool (a): a buffer on the core with its diversification components."""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.requirement.component import Component, RequirementContext
from margin_actors.engine.scenarios.procyclicality import buffer_amount


def amount(context: RequirementContext) -> FloatArray:
    """Return the buffer of every account, (n_accounts,), US dollars."""
    share = account_shares(context)
    context.record("buffer_share", share)
    return buffer_amount(context.total_usd(), share)


def account_shares(context: RequirementContext) -> FloatArray:
    """Return the largest buffer share of the underlyings that an account holds, (n_accounts,)."""
    holdings, risk = context.book.holdings, context.risk
    shares = context.inputs.calibration.buffer_shares
    # The snapshot may have underlyings that the scenario set lacks; no account holds them.
    share = np.array([shares.get(u, np.nan) for u in risk.depth.underlyings])
    per_position = share[risk.underlying[holdings.index]]
    assert not np.isnan(per_position).any()
    out = np.zeros(holdings.n_accounts)
    account = np.repeat(np.arange(holdings.n_accounts), np.diff(holdings.start))
    np.maximum.at(out, account, per_position)
    return out


BUFFER = Component(
    name="buffer",
    amount=amount,
    is_add_on=False,
    is_enabled=lambda model: model.procyclicality.buffer.enabled,
    needs_contract_risk=True,
)
