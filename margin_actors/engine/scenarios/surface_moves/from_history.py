"""Volatility and basis moves of historical windows: observed in option chains, or proxied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.parameters import ScenarioParameters
from margin_actors.engine.scenarios.history.surface_history import (
    SurfaceHistory,
    nearest_rows,
    surface_moves,
    windows_of,
)
from margin_actors.engine.scenarios.sets.scenario_set import AT_MONEY, MONTH, Provenance
from margin_actors.engine.scenarios.surface_moves.nodes import (
    N_NODES,
    N_TENORS,
    N_Z,
    SurfaceNodes,
    VolatilityIndex,
    WindowMoves,
    drawn_residuals,
    residual_draws,
)
from margin_actors.engine.scenarios.surface_moves.proxy import (
    WINDOWS_MIN,
    WITHOUT_SURFACE_MOVES,
    Proxy,
    design_matrix,
    fit_proxy,
)
from margin_actors.errors import MissingMarketData, Problem
from margin_actors.numerics.elementary import logarithms


@dataclass(frozen=True)
class _ObservedMoves:
    """Moves of one underlying between recorded surfaces, to which its proxies are fitted."""

    underlying: str
    start_time: np.ndarray
    """datetime64[ms] (n_fitted,): times of the first snapshots."""
    end_time: np.ndarray
    """datetime64[ms] (n_fitted,): times of the second snapshots."""
    spot_return: FloatArray
    """float64 (n_fitted,): log returns of the index between the snapshots."""
    nodes: FloatArray
    """float64 (n_fitted, N_NODES): changes of ln(F / S), then of ln(volatility)."""


def nodes_from_history(
    parameters: ScenarioParameters,
    as_of: np.datetime64,
    windows: WindowMoves,
    surfaces: Mapping[str, SurfaceHistory],
    vol_index: Mapping[str, VolatilityIndex],
) -> SurfaceNodes:
    """Return the moves between recorded surfaces, or proxies for windows without surfaces.

    Parameters
    ----------
    parameters : ScenarioParameters
    as_of : datetime64
        Later surfaces and index values are not used.
    windows : WindowMoves
    surfaces : mapping from underlying to SurfaceHistory
    vol_index : mapping from underlying to VolatilityIndex
        Optional per underlying.

    Raises
    ------
    MissingMarketData
        If an underlying has no chain history, or the history is too short to fit a proxy.
    """
    histories = _histories_until(parameters, as_of, surfaces)
    pairs = _snapshot_pairs(parameters, as_of, histories)
    n, nu = windows.spot_return.shape
    nodes = np.zeros((n, nu, N_NODES))
    provenance = np.zeros((n, nu), np.uint8)
    notes: list[str] = []
    draws = residual_draws(parameters, windows.end_time)
    tolerance = parameters.surface_tolerance_hours
    for i, u in enumerate(parameters.underlyings):
        history, (begin, end) = histories[i], pairs[i]
        observed = _ObservedMoves(
            u,
            history.time[begin],
            history.time[end],
            logarithms(history.index_usd[end] / history.index_usd[begin])[0],
            _nodes_between(history, begin, end),
        )
        nodes[:, i] = _proxied_by_spot(observed, windows.spot_return[:, i], draws, notes)
        provenance[:, i] = Provenance.PROXIED_BY_SPOT
        if u in vol_index:
            index = vol_index[u].until(as_of)
            rows, moves = _proxied_by_index(observed, index, windows, i, draws, notes)
            nodes[rows, i] = moves
            provenance[rows, i] = Provenance.PROXIED_BY_VOL_INDEX
        first = nearest_rows(history.time, windows.start_time, tolerance_hours=tolerance)
        second = nearest_rows(history.time, windows.end_time, tolerance_hours=tolerance)
        seen = np.flatnonzero((first >= 0) & (second > first))
        if seen.size:
            nodes[seen, i] = _nodes_between(history, first[seen], second[seen])
            provenance[seen, i] = Provenance.OBSERVED
    return SurfaceNodes(nodes, provenance, tuple(notes))


def _histories_until(
    parameters: ScenarioParameters,
    as_of: np.datetime64,
    surfaces: Mapping[str, SurfaceHistory],
) -> list[SurfaceHistory]:
    """Return the chain history of each underlying that is known at `as_of`."""
    missing = [
        Problem(
            f"chain history of {u}",
            "missing",
            f"add option chains, or {WITHOUT_SURFACE_MOVES}",
        )
        for u in parameters.underlyings
        if u not in surfaces
    ]
    if missing:
        raise MissingMarketData("surface moves require a chain history", missing)
    return [_until(surfaces[u], as_of) for u in parameters.underlyings]


def _snapshot_pairs(
    parameters: ScenarioParameters, as_of: np.datetime64, histories: Sequence[SurfaceHistory]
) -> list[tuple[IntArray, IntArray]]:
    """Return the pairs of snapshots to which proxies are fitted; see `windows_of`."""
    horizon = parameters.horizon_hours + parameters.extension_hours
    pairs = windows_of(
        histories,
        horizon_hours=horizon,
        tolerance_hours=parameters.surface_tolerance_hours,
    )
    n_windows = pairs[0][0].size if histories[0].time.size else 0
    if n_windows < WINDOWS_MIN:
        raise MissingMarketData(
            f"the chain history has {n_windows} windows of {horizon:g} h",
            [
                Problem(
                    "option chains",
                    f"{histories[0].time.size} snapshots up to {as_of}",
                    f"a proxy requires {WINDOWS_MIN} windows; add chains, or "
                    + WITHOUT_SURFACE_MOVES,
                )
            ],
        )
    return pairs


def _proxied_by_spot(
    observed: _ObservedMoves, spot: FloatArray, draws: FloatArray | None, notes: list[str]
) -> FloatArray:
    """Return the moves proxied by the spot returns `spot` (n,), float64 (n, N_NODES)."""
    proxy = fit_proxy(
        observed.underlying,
        design_matrix(observed.spot_return),
        observed.nodes,
        names=("1", "r", "max(-r, 0)"),
    )
    notes.append(_note(proxy, "spot"))
    nodes = proxy.moves(design_matrix(spot))
    nodes += drawn_residuals(proxy.residuals, draws)
    return nodes


def _proxied_by_index(
    observed: _ObservedMoves,
    index: VolatilityIndex,
    windows: WindowMoves,
    column: int,
    draws: FloatArray | None,
    notes: list[str],
) -> tuple[IntArray, FloatArray]:
    """Return the windows at both ends of which the volatility index is known, and their moves.

    Parameters
    ----------
    observed : _ObservedMoves
    index : VolatilityIndex
        Values known at the time of the set.
    windows : WindowMoves
    column : int
        Column of the underlying in the spot returns of `windows`.
    draws : float64 (n_windows,) in (0, 1), or None
        Draws of residuals.
    notes : list of str
        A note on the fit is appended.

    Returns
    -------
    int64 (n_rows,)
        Windows; none if the index and the chain history have too few windows in common.
    float64 (n_rows, N_NODES)
    """
    fitted_change = index.ln_at(observed.end_time) - index.ln_at(observed.start_time)
    both = np.isfinite(fitted_change)
    if int(both.sum()) < WINDOWS_MIN:
        notes.append(
            f"{index.underlying}: the volatility index and the chain history share "
            f"{int(both.sum())} windows, too few for a proxy ({WINDOWS_MIN})"
        )
        return np.empty(0, np.int64), np.empty((0, N_NODES))
    proxy = fit_proxy(
        index.underlying,
        design_matrix(observed.spot_return[both], fitted_change[both]),
        observed.nodes[both],
        names=("1", "r", "max(-r, 0)", "change of ln(volatility index)"),
    )
    notes.append(_note(proxy, "volatility index"))
    change = index.change_over(windows)
    rows = np.flatnonzero(np.isfinite(change))
    nodes = proxy.moves(design_matrix(windows.spot_return[rows, column], change[rows]))
    nodes += drawn_residuals(proxy.residuals, None if draws is None else draws[rows])
    return rows, nodes


def _nodes_between(history: SurfaceHistory, start: IntArray, end: IntArray) -> FloatArray:
    basis, vol = surface_moves(history, start, end)
    return np.concatenate([basis, vol.reshape(start.size, -1)], axis=1)


def _until(history: SurfaceHistory, as_of: np.datetime64) -> SurfaceHistory:
    known = int((history.time <= as_of.astype("datetime64[ms]")).sum())
    return SurfaceHistory(
        history.underlying,
        history.time[:known],
        history.index_usd[:known],
        history.surfaces[:known],
    )


def _note(proxy: Proxy, by: str) -> str:
    at_30 = N_TENORS + MONTH * N_Z + AT_MONEY
    coefficients = ", ".join(
        f"{name}: {value:.3g}"
        for name, value in zip(proxy.regressors, proxy.coefficients[:, at_30], strict=True)
    )
    return (
        f"{proxy.underlying} proxy by {by}, 30 d at the money: {coefficients}; R² "
        f"{proxy.r_squared[at_30]:.2f}, residual {100 * proxy.residual_deviation[at_30]:.1f} % "
        f"over {proxy.residuals.shape[0]} windows"
    )
