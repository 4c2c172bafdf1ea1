"""Volatility and basis moves of historical windows: observed in option chains, or proxied."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray, TimeArray
from margin_actors.engine.parameters import ScenarioParameters
from margin_actors.engine.scenarios.proxy import (
    WINDOWS_MIN,
    WITHOUT_SURFACE_MOVES,
    Proxy,
    design_matrix,
    fit_proxy,
)
from margin_actors.engine.scenarios.scenario_set import (
    AT_MONEY,
    MONEYNESS,
    MONTH,
    TENORS_DAYS,
    Provenance,
)
from margin_actors.engine.scenarios.surface_history import (
    SurfaceHistory,
    nearest_rows,
    surface_moves,
    windows_of,
)
from margin_actors.errors import MissingMarketData, Problem
from margin_actors.numerics.counter_random import uniform_per_stream
from margin_actors.numerics.elementary import logarithms

N_TENORS, N_Z = len(TENORS_DAYS), len(MONEYNESS)
N_NODES = N_TENORS + N_TENORS * N_Z
"""Number of nodes: the basis nodes, then the nodes of the volatility surface."""
_RESIDUAL_STREAM = 1 << 40
_INDEX_GAP_MS = 2 * 86_400_000


@dataclass(frozen=True)
class VolatilityIndex:
    """The volatility index of one underlying, in ascending order of time."""

    underlying: str
    time: TimeArray
    """datetime64[ms] (n,): time at which each value was known; for a daily close, the end of the
    day."""
    value: FloatArray
    """float64 (n,): volatility points, positive."""


@dataclass(frozen=True)
class SurfaceNodes:
    """Moves of forward curves and volatility surfaces over windows."""

    nodes: FloatArray
    """float64 (n_windows, n_underlyings, N_NODES): changes of ln(F / S), then of ln(volatility)."""
    provenance: np.ndarray
    """uint8 (n_windows, n_underlyings): values of `Provenance`."""
    notes: tuple[str, ...]


def nodes_from_history(
    parameters: ScenarioParameters,
    as_of: np.datetime64,
    spot: FloatArray,
    start_time: TimeArray,
    end_time: TimeArray,
    surfaces: Mapping[str, SurfaceHistory],
    vol_index: Mapping[str, VolatilityIndex],
) -> SurfaceNodes:
    """Return the moves between recorded surfaces, or proxies for windows without surfaces.

    Parameters
    ----------
    parameters : ScenarioParameters
    as_of : datetime64
        Later surfaces and index values are not used.
    spot : float64 (n_windows, n_underlyings)
        Log returns of the underlyings over the windows.
    start_time, end_time : datetime64[ms] (n_windows,)
        Start and end of the windows.
    surfaces : mapping from underlying to SurfaceHistory
    vol_index : mapping from underlying to VolatilityIndex
        Optional per underlying.

    Raises
    ------
    MissingMarketData
        If an underlying has no chain history, or the history is too short to fit a proxy.
    """
    underlyings = parameters.underlyings
    missing = [
        Problem(
            f"chain history of {u}",
            "missing",
            f"add option chains, or {WITHOUT_SURFACE_MOVES}",
        )
        for u in underlyings
        if u not in surfaces
    ]
    if missing:
        raise MissingMarketData("surface moves require a chain history", missing)
    histories = [_until(surfaces[u], as_of) for u in underlyings]
    horizon = parameters.horizon_hours + parameters.extension_hours
    tolerance = parameters.surface_tolerance_hours
    pairs = windows_of(histories, horizon_hours=horizon, tolerance_hours=tolerance)
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
    n, nu = spot.shape
    nodes = np.zeros((n, nu, N_NODES))
    provenance = np.zeros((n, nu), np.uint8)
    notes: list[str] = []
    draws = residual_draws(parameters, end_time)
    for i, u in enumerate(underlyings):
        history, (begin, end) = histories[i], pairs[i]
        moves = _nodes_between(history, begin, end)
        returns = logarithms(history.index_usd[end] / history.index_usd[begin])[0]
        by_spot = fit_proxy(u, design_matrix(returns), moves, names=("1", "r", "max(-r, 0)"))
        notes.append(_note(by_spot, "spot"))
        nodes[:, i] = by_spot.moves(design_matrix(spot[:, i]))
        nodes[:, i] += drawn_residuals(by_spot.residuals, draws)
        provenance[:, i] = Provenance.PROXIED_BY_SPOT
        if u in vol_index:
            _fill_from_index(
                vol_index[u],
                as_of,
                history,
                begin,
                end,
                returns,
                moves,
                spot[:, i],
                start_time,
                end_time,
                draws,
                nodes[:, i],
                provenance[:, i],
                notes,
            )
        first = nearest_rows(history.time, start_time, tolerance_hours=tolerance)
        second = nearest_rows(history.time, end_time, tolerance_hours=tolerance)
        seen = np.flatnonzero((first >= 0) & (second > first))
        if seen.size:
            nodes[seen, i] = _nodes_between(history, first[seen], second[seen])
            provenance[seen, i] = Provenance.OBSERVED
    return SurfaceNodes(nodes, provenance, tuple(notes))


def _fill_from_index(
    index: VolatilityIndex,
    as_of: np.datetime64,
    history: SurfaceHistory,
    begin: IntArray,
    end: IntArray,
    returns: FloatArray,
    moves: FloatArray,
    spot: FloatArray,
    start_time: TimeArray,
    end_time: TimeArray,
    draws: FloatArray | None,
    nodes: FloatArray,
    provenance: np.ndarray,
    notes: list[str],
) -> None:
    """Overwrite, in place, the windows at both ends of which the volatility index is known."""
    known = index.time <= as_of.astype("datetime64[ms]")
    time, ln_value = index.time[known], logarithms(index.value[known])[0]
    before = index_at(time, ln_value, history.time[begin])
    after = index_at(time, ln_value, history.time[end])
    both = np.isfinite(before) & np.isfinite(after)
    if int(both.sum()) < WINDOWS_MIN:
        notes.append(
            f"{index.underlying}: the volatility index and the chain history share "
            f"{int(both.sum())} windows, too few for a proxy ({WINDOWS_MIN})"
        )
        return
    change = (after - before)[both]
    proxy = fit_proxy(
        index.underlying,
        design_matrix(returns[both], change),
        moves[both],
        names=("1", "r", "max(-r, 0)", "change of ln(volatility index)"),
    )
    notes.append(_note(proxy, "volatility index"))
    change = index_at(time, ln_value, end_time) - index_at(time, ln_value, start_time)
    rows = np.flatnonzero(np.isfinite(change))
    index_change = change[rows]
    nodes[rows] = proxy.moves(design_matrix(spot[rows], index_change))
    nodes[rows] += drawn_residuals(proxy.residuals, None if draws is None else draws[rows])
    provenance[rows] = Provenance.PROXIED_BY_VOL_INDEX


def index_at(time: TimeArray, ln_value: FloatArray, wanted: TimeArray) -> FloatArray:
    """Return the volatility index at given times, interpolated linearly in the logarithm.

    Parameters
    ----------
    time : datetime64[ms] (n,)
        Times of the known values, ascending.
    ln_value : float64 (n,)
        Logarithms of the known values.
    wanted : datetime64[ms] (m,)

    Returns
    -------
    float64 (m,)
        ln(volatility index); NaN outside the known values or in a gap of more than two days.
    """
    stamps, targets = time.astype(np.float64), wanted.astype(np.float64)
    if stamps.size < 2:
        return np.full(wanted.size, np.nan)
    right = np.clip(np.searchsorted(stamps, targets), 1, stamps.size - 1)
    gap = stamps[right] - stamps[right - 1]
    inside = (targets >= stamps[0]) & (targets <= stamps[-1]) & (gap <= _INDEX_GAP_MS)
    return np.where(inside, np.interp(targets, stamps, ln_value), np.nan)


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


def residual_draws(parameters: ScenarioParameters, end_time: TimeArray) -> FloatArray | None:
    """Return one uniform number per row, or None if the model does not draw residuals.

    The number depends on the seed and on the end time of the row only, so a longer lookback does
    not change existing rows.

    Parameters
    ----------
    parameters : ScenarioParameters
    end_time : datetime64 (n_rows,)

    Returns
    -------
    float64 (n_rows,) in (0, 1), or None
    """
    if not parameters.proxy_residuals:
        return None
    minutes = end_time.astype("datetime64[m]").astype(np.int64)
    return uniform_per_stream(parameters.seed, _RESIDUAL_STREAM + minutes)


def drawn_residuals(residuals: FloatArray, draws: FloatArray | None) -> FloatArray | float:
    """Return one vector of residuals per row.

    For all underlyings, equal draws select the same window.

    Parameters
    ----------
    residuals : float64 (n_windows, n_nodes)
    draws : float64 (n_rows,) in (0, 1), or None

    Returns
    -------
    float64 (n_rows, n_nodes), or 0 without draws
    """
    if draws is None:
        return 0.0
    return residuals[(draws * residuals.shape[0]).astype(np.int64)]


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
