"""Prices of contracts over slices of the scenarios: the slices of the risk cube.

A `CubeSlice` holds the model's own prices in every row of a slice, and those of each alternative in
its core rows.
"""

from dataclasses import dataclass, replace

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.margin.prepared_market import Alternative, PreparedMarket
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation import (
    Contracts,
    RiskCube,
    ShockCheck,
    build_cube,
    repair_shocked_surfaces,
)
from margin_actors.engine.scenarios import ScenarioSet


@dataclass(frozen=True)
class CubeSlice:
    """Prices of the contracts of a market over a slice of the scenarios."""

    first_scenario: int
    """Number of the slice's first row in the whole set."""
    n_core: int
    """Number of rows of the slice that belong to the core; they come first."""
    cube: RiskCube
    """The model's own prices in every row."""
    alternatives: tuple[tuple[str, RiskCube], ...] = ()
    """Pairs (label, prices over the core rows), one per alternative."""
    checks: tuple[ShockCheck, ...] = ()
    """Arbitrage found in the slice's shocked surfaces, by underlying."""

    @property
    def n_scenarios(self) -> int:
        """Number of rows of the slice."""
        return self.cube.n_scenarios

    @property
    def rows(self) -> slice:
        """The rows of the slice in the whole set."""
        return slice(self.first_scenario, self.first_scenario + self.n_scenarios)


def applied_scenarios(
    market: PreparedMarket, scenarios: ScenarioSet
) -> tuple[ScenarioSet, tuple[ShockCheck, ...]]:
    """Return the scenarios as applied to this market's smiles, and what the check found.

    Surface moves that would admit arbitrage are repaired if the model asks for it.
    """
    if market.surfaces and market.model.revaluation.shocked_surfaces == "repair":
        return repair_shocked_surfaces(scenarios, dict(market.surfaces))
    return scenarios, ()


def price_slice(
    market: PreparedMarket,
    scenarios: ScenarioSet,
    first_scenario: int,
    *,
    n_core: int | None = None,
    threads: int = 1,
) -> CubeSlice:
    """Return the prices of a market's contracts over a slice, under its alternatives as well.

    Parameters
    ----------
    market : PreparedMarket
    scenarios : ScenarioSet
        The rows of the slice.
    first_scenario : int
        Number of the slice's first row in the whole set; a multiple of TILE.
    n_core : int, optional
        Number of core rows of the whole set; by default every row of the slice is core.
    threads : int
        Number of threads; the result does not depend on it.
    """
    applied, checks = applied_scenarios(market, scenarios)
    core = _core_rows(scenarios, first_scenario, n_core)
    priced = price_applied(market, applied, first_scenario, core, threads=threads)
    return replace(priced, checks=checks)


def price_own_slice(
    market: PreparedMarket,
    scenarios: ScenarioSet,
    first_scenario: int,
    *,
    n_core: int | None = None,
    threads: int = 1,
) -> CubeSlice:
    """Return the prices of a market's contracts over a slice under the model's own rules alone.

    The parameters are those of `price_slice`.
    """
    own = replace(market, alternatives=())
    return price_slice(own, scenarios, first_scenario, n_core=n_core, threads=threads)


def _core_rows(scenarios: ScenarioSet, first_scenario: int, n_core: int | None) -> int:
    """Return the number of core rows of a slice; `n_core` is that of the whole set."""
    if n_core is None:
        return len(scenarios)
    return max(0, min(n_core - first_scenario, len(scenarios)))


def price_applied(
    market: PreparedMarket,
    applied: ScenarioSet,
    first_scenario: int,
    n_core: int,
    out: FloatArray | None = None,
    threads: int = 1,
) -> CubeSlice:
    """Return the prices over scenarios that are the result of `applied_scenarios`.

    Parameters
    ----------
    market, applied, first_scenario
    n_core : int
        Number of core rows of this slice.
    out : float64 (n_tiles or more, n_contracts, TILE), optional
        Buffer in which the model's own prices are stored, as in `build_cube`.
    threads : int
    """
    assert first_scenario % TILE == 0
    cube = build_cube(
        market.contracts,
        market.snapshot,
        applied,
        market.model.revaluation,
        base_value=market.value_today,
        threads=threads,
        out=out,
    )
    if n_core == 0:
        return CubeSlice(first_scenario, n_core, cube)
    core = applied if n_core == len(applied) else applied.rows(0, n_core)
    others = tuple(
        (other.label, price_alternative(market, other, core, cube, threads))
        for other in market.alternatives
    )
    return CubeSlice(first_scenario, n_core, cube, others)


def price_alternative(
    market: PreparedMarket,
    other: Alternative,
    core: ScenarioSet,
    own: RiskCube,
    threads: int,
    out: FloatArray | None = None,
) -> RiskCube:
    """Return the prices of a market's contracts over the core rows under an alternative's rules.

    Parameters
    ----------
    market : PreparedMarket
    other : Alternative
        One of the market's alternatives.
    core : ScenarioSet
        Core rows, as applied.
    own : RiskCube
        The model's own prices over at least these rows; kept for contracts that are not repriced.
    threads : int
    out : float64 (n_tiles or more, n_contracts, TILE), optional
        Buffer in which the prices are stored, in the unit of `RiskCube.values`.
    """
    contracts, value = other.contracts, other.value_today
    some = other.repriced
    if some is not None:
        contracts, value = _some(contracts, some), value[some]
    cube = build_cube(
        contracts,
        market.snapshot,
        core,
        other.revaluation,
        base_value=value,
        threads=threads,
        out=out if some is None else None,
    )
    if some is None:
        return cube
    tiles = cube.values.shape[0]
    values = np.empty((tiles, *own.values.shape[1:])) if out is None else out[:tiles]
    values[:] = own.values[:tiles]
    values[:, some] = cube.values
    largest = own.largest_move.copy()
    largest[some] = cube.largest_move
    return RiskCube(values, len(core), largest)


def _some(contracts: Contracts, chosen: IntArray) -> Contracts:
    """Return the chosen contracts; curves are kept as they are."""
    per_contract = (
        "kind",
        "curve",
        "strike",
        "ln_strike",
        "ln_strike_low",
        "sign",
        "mark_deviation",
        "unit_value",
        "settles_daily",
        "ticks_per_usd",
        "lot",
    )
    cut = {name: getattr(contracts, name)[chosen] for name in per_contract}
    return replace(contracts, names=tuple(contracts.names[i] for i in chosen), **cut)
