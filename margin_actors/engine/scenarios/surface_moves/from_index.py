"""Volatility moves derived from the volatility index alone, without an option chain.

The index represents a tenor of 30 days; the log move at a tenor of T days is (30 / T)^decay times
that of the index, equal at all strikes, and the forward curve does not move. Where the index is not
known, its move is proxied by a regression on the spot return, fitted to the windows in which it is
known.
"""

from collections.abc import Mapping

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray
from margin_actors.engine.parameters import ScenarioParameters
from margin_actors.engine.scenarios.sets.scenario_set import TENORS_DAYS, Provenance
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
    design_matrix,
    fit_proxy,
)
from margin_actors.errors import MissingMarketData, Problem


def index_spread(parameters: ScenarioParameters) -> FloatArray:
    """Return the change of ln(volatility) at each constant maturity per unit change of the index.

    float64 (n_tenors,); the volatility index has a maturity of 30 days, where the ratio is 1.
    """
    return (30.0 / np.array(TENORS_DAYS)) ** parameters.vol_index_decay


def nodes_from_index(
    parameters: ScenarioParameters,
    as_of: np.datetime64,
    windows: WindowMoves,
    vol_index: Mapping[str, VolatilityIndex],
) -> SurfaceNodes:
    """Return the surface moves implied by the volatility index.

    Parameters
    ----------
    parameters : ScenarioParameters
    as_of : datetime64
        Later values of the index are not used.
    windows : WindowMoves
    vol_index : mapping from underlying to VolatilityIndex

    Raises
    ------
    MissingMarketData
        If an index is missing, or known over fewer than `WINDOWS_MIN` of the windows.
    """
    n, nu = windows.spot_return.shape
    nodes = np.zeros((n, nu, N_NODES))
    provenance = np.zeros((n, nu), np.uint8)
    notes: list[str] = []
    draws = residual_draws(parameters, windows.end_time)
    spread = np.repeat(index_spread(parameters), N_Z)
    for i, u in enumerate(parameters.underlyings):
        change = np.full(n, np.nan)
        if u in vol_index:
            change = vol_index[u].until(as_of).change_over(windows)
        seen = np.isfinite(change)
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
        provenance[:, i] = np.where(
            seen, Provenance.PROXIED_BY_VOL_INDEX, Provenance.PROXIED_BY_SPOT
        )
        if not seen.all():
            change, note = _completed(u, change, seen, windows.spot_return[:, i], draws)
            begin = windows.start_time[seen].min().astype("datetime64[D]")
            notes.append(f"{u} volatility index before {begin} proxied by spot: {note}")
        nodes[:, i, N_TENORS:] = change[:, None] * spread
    return SurfaceNodes(nodes, provenance, tuple(notes))


def _completed(
    underlying: str,
    change: FloatArray,
    seen: BoolArray,
    spot: FloatArray,
    draws: FloatArray | None,
) -> tuple[FloatArray, str]:
    """Return the changes of ln(index) with those that are not known proxied by the spot return.

    Parameters
    ----------
    underlying : str
    change : float64 (n_windows,)
        Changes of ln(index); NaN where not known.
    seen : bool (n_windows,)
        True where the change is known.
    spot : float64 (n_windows,)
        Log returns of the underlying.
    draws : float64 (n_windows,) in (0, 1), or None
        Draws of residuals.

    Returns
    -------
    float64 (n_windows,)
    str
        Quality of the fit.
    """
    proxy = fit_proxy(
        underlying,
        design_matrix(spot[seen]),
        change[seen, None],
        names=("1", "r", "max(-r, 0)"),
    )
    rest = np.flatnonzero(~seen)
    moved = proxy.moves(design_matrix(spot[rest]))
    moved += drawn_residuals(proxy.residuals, None if draws is None else draws[rest])
    level = change.copy()
    level[rest] = moved[:, 0]
    note = (
        f"R² {proxy.r_squared[0]:.2f}, residual {100 * proxy.residual_deviation[0]:.1f} % over "
        f"{int(seen.sum())} windows"
    )
    return level, note
