"""Basis charge of SPAN and the venue grid: deltas of perpetuals against those of other contracts.

The rows of SPAN and of the venue grid move the perpetual as the index, so that a perpetual hedges
spot, options and dated futures completely. The charge covers the part of the risk that remains:

    charge = rate * S * min(|P|, |O|)   if P and O have opposite signs, else 0,

with P the net delta of the account in perpetuals of an underlying, O the net delta of its other
contracts, in coins, S the index, and the rate a quantile of the absolute moves of ln(perpetual /
index) over the margin period of risk, as a relative change.
"""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.engine.measures import value_at_risk
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.numerics.elementary import exponentials
from margin_actors.numerics.jit import compiled


@dataclass(frozen=True)
class BasisRisk:
    """What the basis charge needs of the contracts and underlyings of risk arrays."""

    is_perpetual: BoolArray
    """bool (n_contracts,)."""
    delta: FloatArray
    """float64 (n_contracts,): coins per unit; composite deltas in SPAN."""
    rate: FloatArray
    """float64 (n_underlyings,): charge per coin of offsetting delta, as a fraction of the index."""


def basis_rates(scenarios: ScenarioSet, model: ModelParameters) -> FloatArray | None:
    """Return the basis charge per coin, float64 (n_underlyings,), as a fraction of the index.

    Rates that the model does not give are the quantile, at the confidence of its measure, of the
    absolute relative moves of the basis over the core rows. None if the scenario set does not move
    the basis of perpetuals.
    """
    core = scenarios.core
    if core.perpetual_basis is None:
        return None
    given = model.scenarios.perpetual_basis.charge_rate or {}
    size = np.abs(exponentials(core.perpetual_basis.change) - 1.0)
    weight = core.weight if np.any(core.weight != core.weight[0]) else None
    quantile = value_at_risk(
        -np.ascontiguousarray(size.T), confidence=model.measure.confidence, weight=weight
    )
    return np.array(
        [given.get(u, float(q)) for u, q in zip(scenarios.underlyings, quantile, strict=True)]
    )


@compiled
def _net_deltas(
    start: IntArray,
    index: IndexArray,
    quantity: FloatArray,
    underlying: IndexArray,
    is_perpetual: BoolArray,
    delta: FloatArray,
    out: FloatArray,
) -> None:
    """Add the deltas of perpetuals (last index 1) and of all other contracts (0) to `out`."""
    for a in range(start.size - 1):
        for p in range(start[a], start[a + 1]):
            i = index[p]
            out[a, underlying[i], 1 if is_perpetual[i] else 0] += quantity[p] * delta[i]


def basis_charges(
    start: IntArray,
    index: IndexArray,
    quantity: FloatArray,
    risk: BasisRisk,
    underlying: IndexArray,
    index_usd: FloatArray,
) -> FloatArray:
    """Return the basis charges of accounts, float64 (n_accounts, n_underlyings), US dollars.

    Parameters
    ----------
    start, index, quantity
        Positions of the accounts, as in `span_charges`.
    risk : BasisRisk
    underlying : int32 (n_contracts,)
        Index of the underlying of each contract.
    index_usd : float64 (n_underlyings,)
        Index, US dollars.
    """
    net = np.zeros((start.size - 1, index_usd.size, 2))
    _net_deltas(start, index, quantity, underlying, risk.is_perpetual, risk.delta, net)
    other, perpetual = net[:, :, 0], net[:, :, 1]
    matched = np.where(other * perpetual < 0.0, np.minimum(np.abs(other), np.abs(perpetual)), 0.0)
    return matched * (risk.rate * index_usd)
