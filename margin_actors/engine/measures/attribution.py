"""Which positions make the tail: component, marginal and incremental VaR and ES.

The component of position i is the mean of its own profit over the scenarios that make the measure
(one scenario for VaR, the tail for ES), with the measure's own weights. Components add up to the
measure because profits add up.

References
----------
Tasche, D. (1999), "Risk contributions and performance measurement", sec. 4 (Euler allocation).
"""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.measures.tail import (
    expected_shortfall,
    tail_shares,
    value_at_risk,
)


@dataclass(frozen=True)
class Attribution:
    """Parts of one account's measures, a row a position; US dollars, a loss is positive."""

    component_var: FloatArray
    """Sums to VaR."""
    component_es: FloatArray
    """Sums to expected shortfall."""
    marginal_var: FloatArray
    """Change of VaR per unit of quantity; 0 where the quantity is 0."""
    marginal_es: FloatArray
    incremental_var: FloatArray
    """VaR with the position less VaR without it."""
    incremental_es: FloatArray


def attribute(
    position_pnl_usd: FloatArray,
    quantity: FloatArray,
    *,
    confidence: float,
    weight: FloatArray | None = None,
) -> Attribution:
    """Return the attribution of one account.

    Parameters
    ----------
    position_pnl_usd : float64 (n_positions, n_scenarios), USD
        Profit of each position (quantity included).
    quantity : float64 (n_positions,)
    confidence : float in (0, 1)
    weight : float64 (n_scenarios,), optional
        Probabilities that sum to 1; default equal.
    """
    total = position_pnl_usd.sum(axis=0)
    order, share = tail_shares(total, confidence=confidence, weight=weight)
    rows = position_pnl_usd[:, order]
    component_var = -rows[:, -1]
    component_es = -(rows * share).sum(axis=1)
    without = total - position_pnl_usd
    measures = value_at_risk, expected_shortfall
    var, es = (f(total[None, :], confidence=confidence, weight=weight)[0] for f in measures)
    less_var, less_es = (f(without, confidence=confidence, weight=weight) for f in measures)
    held = np.where(quantity == 0.0, np.inf, quantity)
    return Attribution(
        component_var=component_var,
        component_es=component_es,
        marginal_var=component_var / held,
        marginal_es=component_es / held,
        incremental_var=var - less_var,
        incremental_es=es - less_es,
    )
