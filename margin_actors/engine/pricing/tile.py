"""Full revaluation of every contract over one tile of 64 scenarios.

The effect of a scenario on one expiry is prepared once per (curve, scenario) as `FIELDS`. The work
that remains per (contract, scenario) is one evaluation of the smile at the strike and one Black-76
price, both without branches. The smile is evaluated at

    k = scale * ln K + offset,

which is ln(K / F') for sticky moneyness (scale 1, offset -ln F'), ln(K / F) for sticky strike, and
ln(K / F') times exp(-change of ln(at-the-money volatility)) for sticky delta; F' is the forward
after the scenario. The scenario's surface move is a factor on volatility, linear in k between the
seven nodes of the grid and flat outside. Written as a sum of hinges max(k - k_j, 0), it requires
neither a search nor a gather.

The same function prices today's market (a scenario in which nothing moves), so that an
instantaneous scenario without moves has a profit of exactly zero.
"""

from typing import NamedTuple

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray
from margin_actors.market.surfaces.sabr import sabr_volatility
from margin_actors.market.surfaces.svi import svi_variance
from margin_actors.numerics.black76 import DEVIATION_MIN, out_of_the_money
from margin_actors.numerics.instructions import fused_multiply_add, maximum, minimum
from margin_actors.numerics.jit import compiled, inlined
from margin_actors.numerics.tile_sum import TILE

FROZEN, SVI, SABR, LINEAR = 0, 1, 2, 3
"""Kinds of contract: option with a given sigma * sqrt(T), option on an SVI or SABR smile, or linear
in its curve's price."""


class _Fields(NamedTuple):
    forward: int = 0
    """Forward (index for perpetuals and spot), US dollars."""
    ln_forward: int = 1
    """ln(forward), the high part of a two-part sum."""
    ln_forward_low: int = 2
    """The low part."""
    value_scale: int = 3
    """US dollars of value per dollar of undiscounted price: S'/F' for inverse options, the discount
    factor for linear ones."""
    smile_scale: int = 4
    """`scale` in k = scale * ln K + offset."""
    smile_offset: int = 5
    """`offset` in the same formula."""
    factor: int = 6
    """Factor on volatility at the lowest node."""
    slope: int = 7
    """Slope of the factor in k between the first two nodes."""
    bends: int = 8
    """First of five rows: changes of the slope at the inner nodes, from left to right."""


FIELDS = _Fields()
"""Indices of the rows of the prepared curve states."""
N_FIELDS = FIELDS.bends + 5


@inlined
def _value(
    F: float,
    ln_F: float,
    ln_F_low: float,
    scale: float,
    K: float,
    ln_K: float,
    ln_K_low: float,
    sign: float,
    s: float,
) -> float:
    h = abs((ln_F - ln_K) + (ln_F_low - ln_K_low))
    price = out_of_the_money(minimum(F, K), h, maximum(s, DEVIATION_MIN))
    return scale * (price + maximum(sign * (F - K), 0.0))


@compiled
def fill_tile(
    states: FloatArray,
    smiles: FloatArray,
    nodes: FloatArray,
    moving: FloatArray,
    kind: IndexArray,
    curve: IndexArray,
    strike: FloatArray,
    ln_strike: FloatArray,
    ln_strike_low: FloatArray,
    sign: FloatArray,
    deviation: FloatArray,
    base_value: FloatArray,
    per_tick: FloatArray,
    rounding: float,
    out: FloatArray,
) -> None:
    """Write the profit of one unit of each contract, times `per_tick`, to `out`.

    Parameters
    ----------
    states : float64 (n_curves, N_FIELDS, TILE)
        State of each curve in each scenario; the rows and their units are in `FIELDS`.
    smiles : float64 (n_curves, 5)
        SVI or SABR parameters of each curve's smile; see `slice_parameters`.
    nodes : float64 (n_curves, 7)
        Log-moneyness of the nodes of the surface grid at each curve.
    moving : float64 (n_curves,)
        1.0 if the factor on volatility applies to the curve, 0.0 if it is skipped.
    kind, curve : int32 (n_contracts,)
        FROZEN, SVI, SABR or LINEAR; index of the contract's curve.
    strike, ln_strike, ln_strike_low, sign : float64 (n_contracts,)
        Strike in US dollars and its logarithm in two parts; sign +1 for a call, -1 for a put.
    deviation : float64 (n_contracts,)
        FROZEN: sigma * sqrt(T). SVI and SABR: factor on the smile's sigma * sqrt(T). LINEAR: profit
        in US dollars for a rise of the curve's price by one dollar.
    base_value : float64 (n_contracts,)
        Today's value of one unit in US dollars, which is subtracted (0 gives values, not profits).
    per_tick : float64 (n_contracts,)
        Ticks per lot for a profit of one US dollar per unit (1.0 without rounding).
    rounding : float
        `SHIFTER` to round to whole ticks, 0.0 for no rounding.
    out : float64 (n_contracts, TILE)
        Overwritten: ticks per lot with rounding, else US dollars per unit; a loss is negative.

    Notes
    -----
    The arrays are separate arguments because Numba determines the type of a tuple in Python: as two
    named tuples they cost 0.2 ms per call, several times the time of a tile of 100 contracts.
    """
    for i in range(kind.size):
        c = curve[i]
        K, lk, lk_low, w = strike[i], ln_strike[i], ln_strike_low[i], sign[i]
        d, v0, ticks = deviation[i], base_value[i], per_tick[i]
        if kind[i] == LINEAR:
            for j in range(TILE):
                value = states[c, FIELDS.forward, j] * d
                out[i, j] = fused_multiply_add(value - v0, ticks, rounding) - rounding
            continue
        if kind[i] == FROZEN:
            for j in range(TILE):
                value = _value(
                    states[c, FIELDS.forward, j],
                    states[c, FIELDS.ln_forward, j],
                    states[c, FIELDS.ln_forward_low, j],
                    states[c, FIELDS.value_scale, j],
                    K,
                    lk,
                    lk_low,
                    w,
                    d,
                )
                out[i, j] = fused_multiply_add(value - v0, ticks, rounding) - rounding
            continue
        a, b, rho, m, sigma = smiles[c, 0], smiles[c, 1], smiles[c, 2], smiles[c, 3], smiles[c, 4]
        n0, n1, n2, n3 = nodes[c, 0], nodes[c, 1], nodes[c, 2], nodes[c, 3]
        n4, n5, n6 = nodes[c, 4], nodes[c, 5], nodes[c, 6]
        # Separate passes, with the deviation stored in `out`: one loop over smile, surface factor
        # and price needs more values than there are registers (measured: 3.5 against 2.3 ns).
        if kind[i] == SVI:
            for j in range(TILE):
                k = fused_multiply_add(
                    states[c, FIELDS.smile_scale, j], lk, states[c, FIELDS.smile_offset, j]
                )
                out[i, j] = np.sqrt(maximum(svi_variance(k, a, b, rho, m, sigma), 0.0))
        else:
            root = np.sqrt(sigma)
            for j in range(TILE):
                k = fused_multiply_add(
                    states[c, FIELDS.smile_scale, j], lk, states[c, FIELDS.smile_offset, j]
                )
                out[i, j] = root * sabr_volatility(k, a, b, rho, m, sigma)
        if moving[c] != 0.0:
            for j in range(TILE):
                k = fused_multiply_add(
                    states[c, FIELDS.smile_scale, j], lk, states[c, FIELDS.smile_offset, j]
                )
                x = minimum(maximum(k, n0), n6)
                f = fused_multiply_add(
                    states[c, FIELDS.slope, j], x - n0, states[c, FIELDS.factor, j]
                )
                f = fused_multiply_add(states[c, FIELDS.bends, j], maximum(x - n1, 0.0), f)
                f = fused_multiply_add(states[c, FIELDS.bends + 1, j], maximum(x - n2, 0.0), f)
                f = fused_multiply_add(states[c, FIELDS.bends + 2, j], maximum(x - n3, 0.0), f)
                f = fused_multiply_add(states[c, FIELDS.bends + 3, j], maximum(x - n4, 0.0), f)
                f = fused_multiply_add(states[c, FIELDS.bends + 4, j], maximum(x - n5, 0.0), f)
                out[i, j] *= f
        for j in range(TILE):
            value = _value(
                states[c, FIELDS.forward, j],
                states[c, FIELDS.ln_forward, j],
                states[c, FIELDS.ln_forward_low, j],
                states[c, FIELDS.value_scale, j],
                K,
                lk,
                lk_low,
                w,
                d * out[i, j],
            )
            out[i, j] = fused_multiply_add(value - v0, ticks, rounding) - rounding
