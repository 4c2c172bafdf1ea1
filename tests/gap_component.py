"""A requirement component of one venue, defined outside the packages: gap risk per coin of delta.

`MARGIN_COMPONENTS` names this module in all tests; only models that name `gap_risk` use it.
"""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin import Component, RequirementContext


def gap_amount(context: RequirementContext) -> FloatArray:
    """Return an amount per coin of gross delta, (n_accounts,), US dollars."""
    holdings = context.book.holdings
    coins = np.abs(context.book.quantity * context.risk.delta[holdings.index])
    gross = holdings.sums(coins)
    context.record("gross_delta_coins", gross)
    return context.parameters["usd_per_coin"] * gross


COMPONENTS = [
    Component(
        name="gap_risk",
        amount=gap_amount,
        needs_contract_risk=True,
        parameters=("usd_per_coin",),
    )
]
