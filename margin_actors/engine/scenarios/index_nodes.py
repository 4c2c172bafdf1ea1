"""Volatility moves derived from the volatility index alone, without an option chain.

The index represents a tenor of 30 days; the log move at a tenor of T days is (30 / T)^decay times
that of the index, equal at all strikes, and the forward curve does not move. Where the index is not
known, its move is proxied by a regression on the spot return, fitted to the windows in which it is
known.
"""

from collections.abc import Mapping

import numpy as np

from margin_actors.arrays import FloatArray, TimeArray
from margin_actors.engine.parameters import ScenarioParameters
from margin_actors.engine.scenarios.proxy import (
    WINDOWS_MIN,
    WITHOUT_SURFACE_MOVES,
    design_matrix,
    fit_proxy,
)
from margin_actors.engine.scenarios.scenario_set import TENORS_DAYS, Provenance
from margin_actors.engine.scenarios.surface_nodes import (
    N_NODES,
    N_TENORS,
    N_Z,
    SurfaceNodes,
    VolatilityIndex,
    drawn_residuals,
    index_at,
    residual_draws,
)
from margin_actors.errors import MissingMarketData, Problem
from margin_actors.numerics.elementary import logarithms


def nodes_from_index(
    parameters: ScenarioParameters,
    as_of: np.datetime64,
    spot: FloatArray,
    start_time: TimeArray,
    end_time: TimeArray,
    vol_index: Mapping[str, VolatilityIndex],
) -> SurfaceNodes:
    """Return the surface moves implied by the volatility index.

    Parameters
    ----------
    parameters : ScenarioParameters
    as_of : datetime64
        Later values of the index are not used.
    spot : float64 (n_windows, n_underlyings)
        Log returns of the underlyings over the windows.
    start_time, end_time : datetime64[ms] (n_windows,)
        Start and end of the windows.
    vol_index : mapping from underlying to VolatilityIndex

    Raises
    ------
    MissingMarketData
        If an index is missing, or known over fewer than `WINDOWS_MIN` of the windows.
    """
    n, nu = spot.shape
    nodes = np.zeros((n, nu, N_NODES))
    provenance = np.zeros((n, nu), np.uint8)
    notes: list[str] = []
    draws = residual_draws(parameters, end_time)
    spread = np.repeat((30.0 / np.array(TENORS_DAYS)) ** parameters.vol_index_decay, N_Z)
    for i, u in enumerate(parameters.underlyings):
        change = np.full(n, np.nan)
        if u in vol_index:
            index = vol_index[u]
            known = index.time <= as_of.astype("datetime64[ms]")
            time, ln_value = index.time[known], logarithms(index.value[known])[0]
            change = index_at(time, ln_value, end_time) - index_at(time, ln_value, start_time)
        seen = np.isfinite(change)
        provenance[:, i] = np.where(
            seen, Provenance.PROXIED_BY_VOL_INDEX, Provenance.PROXIED_BY_SPOT
        )
        if int(seen.sum()) < WINDOWS_MIN:
            raise MissingMarketData(
                f"the volatility index of {u} covers only {int(seen.sum())} windows",
                [
                    Problem(
                        "scenarios.vol_index_sources",
                        f"{', '.join(parameters.vol_index_sources)} up to {as_of}",
                        f"{WINDOWS_MIN} are required; add data, or {WITHOUT_SURFACE_MOVES}",
                    )
                ],
            )
        level = change
        if not seen.all():
            proxy = fit_proxy(
                u,
                design_matrix(spot[seen, i]),
                change[seen, None],
                names=("1", "r", "max(-r, 0)"),
            )
            rest = np.flatnonzero(~seen)
            moved = proxy.moves(design_matrix(spot[rest, i]))
            moved += drawn_residuals(proxy.residuals, None if draws is None else draws[rest])
            level = change.copy()
            level[rest] = moved[:, 0]
            notes.append(
                f"{u} volatility index before {start_time[seen].min().astype('datetime64[D]')} "
                f"proxied by spot: R² {proxy.r_squared[0]:.2f}, residual "
                f"{100 * proxy.residual_deviation[0]:.1f} % over {int(seen.sum())} windows"
            )
        nodes[:, i, N_TENORS:] = level[:, None] * spread
    return SurfaceNodes(nodes, provenance, tuple(notes))
