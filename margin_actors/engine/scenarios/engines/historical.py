"""Historical simulation: windows of the past as scenarios."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from margin_actors.engine.parameters import ScenarioParameters
from margin_actors.engine.scenarios.history.perpetual_basis import PerpetualBasisHistory
from margin_actors.engine.scenarios.history.surface_history import SurfaceHistory
from margin_actors.engine.scenarios.history.windows import (
    PriceTable,
    Windows,
    paths,
    price_table,
    recent_windows,
    spot_returns,
)
from margin_actors.engine.scenarios.sets.scenario_set import (
    MONEYNESS,
    TENORS_DAYS,
    Provenance,
    ScenarioSet,
)
from margin_actors.engine.scenarios.surface_moves import (
    N_NODES,
    N_TENORS,
    SurfaceNodes,
    VolatilityIndex,
    WindowMoves,
    nodes_from_history,
    nodes_from_index,
    perpetual_basis_moves,
    with_basis_floor,
)
from margin_actors.market.cleansing import PriceGrid


@dataclass(frozen=True)
class SurfaceSources:
    """Data for moves of volatility and basis, by underlying; empty if the model has none."""

    surfaces: Mapping[str, SurfaceHistory]
    vol_index: Mapping[str, VolatilityIndex]
    perpetual_basis: Mapping[str, PerpetualBasisHistory] = field(
        default_factory=dict[str, PerpetualBasisHistory]
    )


def build_historical(
    prices: Mapping[str, PriceGrid],
    parameters: ScenarioParameters,
    *,
    as_of: np.datetime64,
    surfaces: Mapping[str, SurfaceHistory] | None = None,
    vol_index: Mapping[str, VolatilityIndex] | None = None,
    perpetual_basis: Mapping[str, PerpetualBasisHistory] | None = None,
) -> ScenarioSet:
    """Return the scenario set of the most recent windows that end by `as_of`.

    Parameters
    ----------
    prices : mapping from underlying to PriceGrid
        Prices of all underlyings at one frequency.
    parameters : ScenarioParameters
    as_of : datetime64
        Later prices, surfaces and values of the index are not used.
    surfaces : mapping from underlying to SurfaceHistory, optional
        Required if `surface_moves` is ``history``.
    vol_index : mapping from underlying to VolatilityIndex, optional
        Required if `surface_moves` is ``index``; used, if given, if it is ``history``.
    perpetual_basis : mapping from underlying to PerpetualBasisHistory, optional
        Required if the model moves the basis of perpetuals.

    Raises
    ------
    InvalidScenario
        If the history has fewer windows than the model requires, or its grid does not fit the step.
    MissingMarketData
        If an underlying has no prices, or its moves of surface or basis can be neither observed
        nor proxied.
    """
    table = price_table(prices, parameters, as_of)
    windows = recent_windows(table, parameters)
    sources = SurfaceSources(surfaces or {}, vol_index or {}, perpetual_basis or {})
    rows = historical_rows(table, windows, parameters, as_of, sources)
    rows = with_basis_floor(rows, parameters, as_of, sources.perpetual_basis)
    return replace(rows, notes=(*sampling_notes(rows, parameters), *rows.notes))


def historical_rows(
    table: PriceTable,
    windows: Windows,
    parameters: ScenarioParameters,
    as_of: np.datetime64,
    sources: SurfaceSources,
) -> ScenarioSet:
    """Return the set of moves over the given windows, equally weighted; see `build_historical`."""
    start_time, end_time = table.time[windows.start], table.time[windows.end]
    spot = spot_returns(table, windows)
    moves = WindowMoves(spot, start_time, end_time)
    path_hours, path = paths(table, windows, parameters)
    n, nu = spot.shape
    found = SurfaceNodes(np.zeros((n, nu, N_NODES)), np.zeros((n, nu), np.uint8), ())
    if parameters.surface_moves == "history":
        found = nodes_from_history(parameters, as_of, moves, sources.surfaces, sources.vol_index)
    elif parameters.surface_moves == "index":
        found = nodes_from_index(parameters, as_of, moves, sources.vol_index)
    basis, notes = None, found.notes
    if parameters.perpetual_basis.moves == "history":
        basis, more = perpetual_basis_moves(parameters, as_of, moves, sources.perpetual_basis)
        notes = (*notes, *more)
    shape = (n, nu, len(TENORS_DAYS), len(MONEYNESS))
    return ScenarioSet(
        engine="historical",
        underlyings=parameters.underlyings,
        horizon_hours=parameters.horizon_hours + parameters.extension_hours,
        start_time=start_time,
        end_time=end_time,
        spot_return=spot,
        path_hours=path_hours,
        path_return=path,
        basis_change=np.ascontiguousarray(found.nodes[:, :, :N_TENORS]),
        vol_change=np.ascontiguousarray(found.nodes[:, :, N_TENORS:]).reshape(shape),
        weight=np.full(n, 1.0 / n),
        provenance=found.provenance,
        is_synthetic=table.is_synthetic,
        notes=notes,
        perpetual_basis=basis,
    )


def sampling_notes(rows: ScenarioSet, parameters: ScenarioParameters) -> tuple[str, ...]:
    """Return notes on the number of windows, their overlap and the source of volatility moves."""
    notes = [
        f"{len(rows)} {parameters.sampling.replace('_', '-')} windows of {rows.horizon_hours:g} h; "
        f"they span {rows.effective_size:.0f} windows that do not overlap"
    ]
    for i, u in enumerate(rows.underlyings if rows.has_surface_moves else ()):
        counts = {p.name.lower(): int((rows.provenance[:, i] == p).sum()) for p in Provenance}
        notes.append(
            f"{u} volatility moves: " + ", ".join(f"{k} {v}" for k, v in counts.items() if v)
        )
    return tuple(notes)
