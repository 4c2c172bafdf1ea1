"""Nodes of the factor grid of one underlying, the volatility index, and draws of residuals."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import DAY_MS, FloatArray, TimeArray
from margin_actors.engine.parameters import ScenarioParameters
from margin_actors.engine.scenarios.sets.scenario_set import MONEYNESS, TENORS_DAYS
from margin_actors.numerics.counter_random import uniform_per_stream
from margin_actors.numerics.elementary import logarithms

N_TENORS, N_Z = len(TENORS_DAYS), len(MONEYNESS)
N_NODES = N_TENORS + N_TENORS * N_Z
"""Number of nodes: the basis nodes, then the nodes of the volatility surface."""
SURFACE_STREAM, PERPETUAL_STREAM = 1 << 40, 1 << 42
"""First random streams of the residuals of surface moves, and of the basis of perpetuals."""
_INDEX_GAP_MS = 2 * DAY_MS


@dataclass(frozen=True)
class VolatilityIndex:
    """The volatility index of one underlying, in ascending order of time."""

    underlying: str
    time: TimeArray
    """datetime64[ms] (n,): time at which each value was known; for a daily close, the end of the
    day."""
    value: FloatArray
    """float64 (n,): volatility points, positive."""

    def until(self, as_of: np.datetime64) -> "VolatilityIndex":
        """Return the values known at `as_of`."""
        known = self.time <= as_of.astype("datetime64[ms]")
        return VolatilityIndex(self.underlying, self.time[known], self.value[known])

    def ln_at(self, wanted: TimeArray) -> FloatArray:
        """Return the logarithms of the index at given times, see `index_at`; float64 (m,).

        `wanted` is datetime64 (m,), in UTC.
        """
        return index_at(self.time, logarithms(self.value)[0], wanted)

    def change_over(self, windows: "WindowMoves") -> FloatArray:
        """Return the changes of ln(index) over windows, float64 (n,); NaN where not known."""
        return self.ln_at(windows.end_time) - self.ln_at(windows.start_time)


@dataclass(frozen=True)
class WindowMoves:
    """Windows with the log returns of the underlyings over them."""

    spot_return: FloatArray
    """float64 (n_windows, n_underlyings): log returns of the index."""
    start_time: TimeArray
    """datetime64[ms] (n_windows,): start of the windows."""
    end_time: TimeArray
    """datetime64[ms] (n_windows,): end of the windows."""


@dataclass(frozen=True)
class SurfaceNodes:
    """Moves of forward curves and volatility surfaces over windows."""

    nodes: FloatArray
    """float64 (n_windows, n_underlyings, N_NODES): changes of ln(F / S), then of ln(volatility)."""
    provenance: np.ndarray
    """uint8 (n_windows, n_underlyings): values of `Provenance`."""
    notes: tuple[str, ...]


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


def residual_draws(
    parameters: ScenarioParameters, end_time: TimeArray, *, stream: int = SURFACE_STREAM
) -> FloatArray | None:
    """Return one uniform number per row, or None if the model does not draw residuals.

    The number depends on the seed and on the end time of the row only, so a longer lookback does
    not change existing rows.

    Parameters
    ----------
    parameters : ScenarioParameters
    end_time : datetime64 (n_rows,)
        Ends of the windows, UTC.
    stream : int
        First stream of the random numbers.

    Returns
    -------
    float64 (n_rows,) in (0, 1), or None
    """
    if not parameters.proxy_residuals:
        return None
    minutes = end_time.astype("datetime64[m]").astype(np.int64)
    return uniform_per_stream(parameters.seed, stream + minutes)


def drawn_residuals(residuals: FloatArray, draws: FloatArray | None) -> FloatArray | float:
    """Return one vector of residuals per row.

    For all underlyings, equal draws select the same window.

    Parameters
    ----------
    residuals : float64 (n_windows, n_nodes)
        Residuals of changes of logarithms.
    draws : float64 (n_rows,) in (0, 1), or None
        Uniform numbers, as `residual_draws` returns them.

    Returns
    -------
    float64 (n_rows, n_nodes), or 0 without draws
    """
    if draws is None:
        return 0.0
    return residuals[(draws * residuals.shape[0]).astype(np.int64)]
