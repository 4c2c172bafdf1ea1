"""The risk cube: the profit of every contract in every scenario.

Stored as [tile of 64 scenarios][contract][64], the layout in which the pricing kernel writes and
aggregation reads. If the model rounds, an entry is the profit of one lot in whole ticks, held as a
double; otherwise it is the profit of one unit in US dollars. Positions of whole lots are summed
exactly in any order, so that results do not depend, to the last bit, on shards, threads or tiles.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray
from margin_actors.engine.parameters import RevaluationParameters
from margin_actors.engine.pricing import FROZEN, LINEAR, TILE, fill_tile
from margin_actors.engine.revaluation.contracts import Contracts
from margin_actors.engine.revaluation.states import (
    curve_states,
    deviation_factor,
    factor_nodes,
)
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import smile_from_parameters
from margin_actors.numerics.elementary import logarithms
from margin_actors.numerics.instructions import SHIFTER
from margin_actors.numerics.jit import compiled

_NO_SIGN = np.int64(2**63 - 1)
Fill: TypeAlias = Callable[[int, FloatArray], None]
_TILES_AT_ONCE = 64
"""Number of tiles whose curve states are prepared together: 10 MB at 24 curves."""


@dataclass(frozen=True)
class RiskCube:
    """Profits of some contracts in every scenario of a set or of a slice of it. Immutable."""

    values: FloatArray
    """float64 (n_tiles, n_contracts, TILE): profit of one lot in ticks if the model rounds, else of
    one unit in US dollars; a loss is negative."""
    n_scenarios: int
    """Number of scenarios; the last tile is padded."""
    largest_move: FloatArray
    """float64 (n_contracts,): largest absolute entry, padding included, in the unit of `values`."""

    def profits_usd(self, contracts: Contracts, contract: int) -> FloatArray:
        """Return the profits of one unit of a contract, float64 (n_scenarios,), US dollars.

        `contracts` are those of the cube, and `contract` is an index in them.
        """
        row = self.values[:, contract, :].reshape(-1)[: self.n_scenarios]
        return row / contracts.ticks_per_usd[contract]


def build_cube(
    contracts: Contracts,
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet,
    parameters: RevaluationParameters,
    *,
    base_value: FloatArray | None = None,
    threads: int = 1,
    out: FloatArray | None = None,
) -> RiskCube:
    """Return the risk cube by full revaluation of every contract in every scenario.

    Parameters
    ----------
    contracts, snapshot, scenarios, parameters
    base_value : float64 (n_contracts,), optional
        Value of one unit today, US dollars; computed by `values_today` if not given.
    threads : int
        Number of threads; the result does not depend on it, bit for bit.
    out : float64 (n_tiles or more, n_contracts, TILE), optional
        Buffer in which the cube is stored, in the unit of `RiskCube.values`; allocated here by
        default.

    Raises
    ------
    InvalidScenario
        If the scenario set does not move an underlying of the contracts.
    """
    n_tiles = -(-len(scenarios) // TILE)
    shape = (n_tiles, len(contracts), TILE)
    values = np.empty(shape) if out is None else out[:n_tiles]
    assert values.shape == shape
    largest = np.zeros(shape[:2])
    if base_value is None:
        base_value = values_today(contracts, snapshot, parameters)
    for first in range(0, n_tiles, _TILES_AT_ONCE):
        last = min(first + _TILES_AT_ONCE, n_tiles)
        part = scenarios.rows(first * TILE, min(last * TILE, len(scenarios)))
        fill = prepare_pricing(contracts, snapshot, part, parameters, base_value=base_value)

        def work(tile: int, fill: Fill = fill, begin: int = first) -> None:
            fill(tile - begin, values[tile])
            # Done here, while the tile is still in the processor's cache.
            raise_to_largest(values[tile].view(np.int64), largest[tile].view(np.int64))

        in_threads(work, range(first, last), threads)
    return RiskCube(values, len(scenarios), largest.max(axis=0))


@compiled
def raise_to_largest(rows: IndexArray, largest: IndexArray) -> None:
    """Raise each element of `largest` to the largest absolute value of its row, in place.

    Both arrays are int64 views of doubles in one unit: `rows` (n_contracts, TILE) and `largest`
    (n_contracts,). Without their sign bit, doubles order like integers, with NaN above all numbers,
    so that one pass without branches suffices.
    """
    for i in range(rows.shape[0]):
        top = largest[i]
        for j in range(rows.shape[1]):
            top = max(top, rows[i, j] & _NO_SIGN)
        largest[i] = top


def unit_values(contracts: Contracts, base_value: FloatArray) -> FloatArray:
    """Return the value of one unit after daily settlement, float64 (n_contracts,), US dollars.

    `base_value`, float64 (n_contracts,), US dollars, is the result of `values_today`. The value of
    futures and perpetuals is 0.
    """
    return np.where(contracts.settles_daily, 0.0, base_value)


def prepare_pricing(
    contracts: Contracts,
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet,
    parameters: RevaluationParameters,
    *,
    base_value: FloatArray | None = None,
) -> Fill:
    """Return a function fill(tile, out) that writes the profits of one tile of the scenarios.

    `tile` is the number of the tile and `out` its float64 array (n_contracts, TILE), as in
    `RiskCube.values`; `base_value` is as in `build_cube`.
    """
    if base_value is None:
        base_value = values_today(contracts, snapshot, parameters)
    nodes = factor_nodes(contracts)
    left = np.array(
        [deviation_factor(c, scenarios.horizon_hours, parameters.time) for c in contracts.curves]
    )[contracts.curve]
    today = _base_deviations(contracts, parameters)
    deviation = np.where(contracts.kind == LINEAR, today, today * left)
    moves = scenarios.has_surface_moves and parameters.dynamics != "frozen"
    moving = np.full(len(contracts.curves), 1.0 if moves else 0.0)
    rounding = SHIFTER if contracts.quantum_usd is not None else 0.0
    states = curve_states(contracts, snapshot, scenarios, parameters)
    per_tick = contracts.ticks_per_usd

    def fill(tile: int, out: FloatArray) -> None:
        _fill(
            contracts, states[tile], nodes, moving, deviation, base_value, per_tick, rounding, out
        )

    return fill


def values_today(
    contracts: Contracts, snapshot: MarketSnapshot, parameters: RevaluationParameters
) -> FloatArray:
    """Return the value of one unit of each contract today, float64 (n_contracts,), US dollars.

    Computed by the pricing kernel, before daily settlement of futures and perpetuals.
    """
    values = np.empty((len(contracts), TILE))
    zeros, ones = np.zeros(len(contracts)), np.ones(len(contracts))
    still = np.zeros(len(contracts.curves))
    states = curve_states(contracts, snapshot, None, parameters)[0]
    deviation = _base_deviations(contracts, parameters)
    _fill(contracts, states, factor_nodes(contracts), still, deviation, zeros, ones, 0.0, values)
    return np.ascontiguousarray(values[:, 0])


def in_threads(work: Callable[[int], None], items: Sequence[int], threads: int) -> None:
    """Call `work` for each item in up to `threads` threads; compiled kernels release the GIL."""
    if threads <= 1 or len(items) <= 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, items):
            pass


def total_deviations(contracts: Contracts, parameters: RevaluationParameters) -> FloatArray:
    """Return sigma * sqrt(T) at which options are priced today, (n_contracts,), NaN for others."""
    factor = _base_deviations(contracts, parameters)
    smile = _smile_deviations(contracts, parameters)
    on_smile = (contracts.kind != LINEAR) & (contracts.kind != FROZEN)
    return np.where(contracts.kind == LINEAR, np.nan, np.where(on_smile, factor * smile, factor))


def anchor_factors(contracts: Contracts, parameters: RevaluationParameters) -> FloatArray:
    """Return the factor on the smile's sigma * sqrt(T) at each option, float64 (n_contracts,).

    It is the ratio of the mark's sigma * sqrt(T) to the smile's; 1 without a mark or without
    anchoring, NaN for contracts that are not priced on a smile.
    """
    on_smile = (contracts.kind != LINEAR) & (contracts.kind != FROZEN)
    return np.where(on_smile, _base_deviations(contracts, parameters), np.nan)


def _smile_deviations(contracts: Contracts, parameters: RevaluationParameters) -> FloatArray:
    """Return sigma * sqrt(T) of the smile at each strike; 1 for contracts not priced on one."""
    smile = np.ones(len(contracts))
    on_smile = (contracts.kind != LINEAR) & (contracts.kind != FROZEN)
    if not on_smile.any():
        return smile
    ln_level = logarithms(np.array([c.level_usd for c in contracts.curves]))[0]
    k = contracts.ln_strike - ln_level[contracts.curve]
    for c, smile_parameters in enumerate(contracts.smiles):
        rows = np.flatnonzero(on_smile & (contracts.curve == c))
        if rows.size:
            shape = smile_from_parameters(parameters.smile, smile_parameters)
            smile[rows] = np.sqrt(np.maximum(shape.total_variance(k[rows]), 0.0))
    return smile


def _base_deviations(
    contracts: Contracts,
    parameters: RevaluationParameters,
) -> FloatArray:
    """Return the `deviation` argument of `fill_tile` for today's market, (n_contracts,).

    For options on a smile this is the factor that anchors the smile at the contract's mark
    volatility; 1 without a mark or without anchoring.
    """
    out = np.where(contracts.kind == LINEAR, contracts.unit_value, contracts.mark_deviation)
    on_smile = (contracts.kind != LINEAR) & (contracts.kind != FROZEN)
    if not on_smile.any():
        return out
    smile = _smile_deviations(contracts, parameters)
    anchored = np.isfinite(contracts.mark_deviation) & (smile > 0.0)
    if not parameters.anchor_to_marks:
        anchored[:] = False
    factor = np.where(anchored, contracts.mark_deviation / smile, 1.0)
    return np.where(on_smile, factor, out)


def _fill(
    contracts: Contracts,
    states: FloatArray,
    nodes: FloatArray,
    moving: FloatArray,
    deviation: FloatArray,
    base_value: FloatArray,
    per_tick: FloatArray,
    rounding: float,
    out: FloatArray,
) -> None:
    fill_tile(
        states,
        contracts.smiles,
        nodes,
        moving,
        contracts.kind,
        contracts.curve,
        contracts.strike,
        contracts.ln_strike,
        contracts.ln_strike_low,
        contracts.sign,
        deviation,
        base_value,
        per_tick,
        rounding,
        out,
    )
