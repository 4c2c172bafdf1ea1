"""Attribution of an account's VaR and ES to its positions: component, marginal and incremental.

The component of position i is the mean of its loss over the scenarios that determine the measure
(one scenario for VaR, the tail for ES), with the weights of the measure. The components sum to the
measure because the profits of the positions sum to the profit of the account.

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
    """Contributions of the positions of one account to its VaR and ES.

    All arrays are float64 of shape (n_positions,), in US dollars (marginal: US dollars per unit of
    quantity); a contribution to the loss is positive.
    """

    component_var: FloatArray
    """Component of VaR; the components sum to VaR."""
    component_es: FloatArray
    """Component of expected shortfall; the components sum to expected shortfall."""
    marginal_var: FloatArray
    """Change of VaR per unit of quantity; 0 where the quantity is 0."""
    marginal_es: FloatArray
    """Change of expected shortfall per unit of quantity; 0 where the quantity is 0."""
    incremental_var: FloatArray
    """VaR of the account minus VaR without the position."""
    incremental_es: FloatArray
    """Expected shortfall of the account minus expected shortfall without the position."""


def attribute(
    position_pnl_usd: FloatArray,
    quantity: FloatArray,
    *,
    confidence: float,
    weight: FloatArray | None = None,
) -> Attribution:
    """Return the contributions of the positions of one account to its VaR and ES.

    Parameters
    ----------
    position_pnl_usd : float64 array of shape (n_positions, n_scenarios), USD
        Profit of each position, for its whole quantity; a profit is positive.
    quantity : float64 array of shape (n_positions,)
        Signed quantity of each position, in units of its contract; long is positive.
    confidence : float in (0, 1)
    weight : float64 array of shape (n_scenarios,), optional
        Probabilities that sum to 1; equal if None.
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
