"""Floor of the short option minimum."""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.requirement.component import Component, RequirementContext
from margin_actors.engine.tails import short_minimum

_SIDES = ("calls", "puts")


def amount(context: RequirementContext) -> FloatArray:
    """Return what raises the margin to the short option minimum, (n_accounts,), US dollars."""
    holdings, rates = context.book.holdings, context.inputs.short
    assert rates is not None
    found = short_minimum(
        holdings.start,
        holdings.index,
        context.book.quantity,
        rates,
        context.model.tails.short_option_minimum,
    )
    context.record("minimum_usd", found.total_usd)
    for u, underlying in enumerate(rates.underlyings):
        for s, side in enumerate(_SIDES):
            account = np.flatnonzero(found.uncovered_coins[:, u, s] > 0.0)
            label = f"{underlying} {side}"
            for figure, value in (
                ("uncovered_coins", found.uncovered_coins[account, u, s]),
                ("side_minimum_usd", found.minimum_usd[account, u, s]),
            ):
                context.record_some(figure, account, value, label)
    return np.maximum(found.total_usd - context.total_usd(), 0.0)


SHORT_OPTION_MINIMUM = Component(
    name="short_option_minimum",
    amount=amount,
    is_add_on=False,
    is_floor=True,
    is_later=True,
    is_enabled=lambda model: model.tails.short_option_minimum.enabled,
)
