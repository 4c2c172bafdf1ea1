"""Moves of volatility surfaces and forward curves between past snapshots."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray, TimeArray
from margin_actors.engine.scenarios.sets.scenario_set import MONEYNESS, TENORS_DAYS
from margin_actors.market.surfaces import VolatilitySurface
from margin_actors.numerics.elementary import logarithms

_TENORS = np.array(TENORS_DAYS) / 365.0
_Z = np.array(MONEYNESS)


@dataclass(frozen=True)
class SurfaceHistory:
    """Fitted surfaces of one underlying at past snapshots, in ascending order of time."""

    underlying: str
    time: TimeArray
    """datetime64[ms] (n_snapshots,): times of the snapshots."""
    index_usd: FloatArray
    """float64 (n_snapshots,): index, US dollars."""
    surfaces: tuple[VolatilitySurface, ...]

    def __post_init__(self) -> None:
        assert self.time.size == len(self.surfaces) == self.index_usd.size
        assert np.all(np.diff(self.time.astype(np.int64)) > 0)


def nearest_rows(time: TimeArray, wanted: TimeArray, *, tolerance_hours: float) -> IntArray:
    """Return the index of the nearest time for each wanted time.

    Parameters
    ----------
    time : datetime64[ms] (n,)
        Ascending.
    wanted : datetime64[ms] (m,)
    tolerance_hours : float

    Returns
    -------
    int64 (m,)
        Index into `time`; -1 if the nearest time is further away than the tolerance.
    """
    if time.size == 0:
        return np.full(wanted.size, -1)
    stamps, targets = time.astype(np.int64), wanted.astype(np.int64)
    right = np.clip(np.searchsorted(stamps, targets), 1, max(stamps.size - 1, 1))
    left = right - 1
    right = np.minimum(right, stamps.size - 1)
    row = np.where(np.abs(stamps[right] - targets) < np.abs(stamps[left] - targets), right, left)
    distance = np.abs(stamps[row] - targets)
    return np.where(distance <= tolerance_hours * 3.6e6, row, -1)


def log_basis(surface: VolatilitySurface, index_usd: float) -> FloatArray:
    """Return ln(F / S) at the tenors of the factor grid, float64 (n_tenors,).

    The log basis is linear in time between expiries and between zero and the first expiry; beyond
    the last expiry, its annual rate is constant.
    """
    tenors = np.array([e.tenor_years for e in surface.expiries])
    forwards = np.array([e.forward_usd for e in surface.expiries])
    basis = logarithms(forwards / index_usd)[0]
    inside = np.interp(_TENORS, np.append(0.0, tenors), np.append(0.0, basis))
    return np.where(tenors[-1] < _TENORS, basis[-1] / tenors[-1] * _TENORS, inside)


def surface_moves(
    history: SurfaceHistory, start: IntArray, end: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return the changes of basis and volatility between pairs of snapshots.

    Volatilities are compared at the log-moneyness k = z * sigma_atm * sqrt(T) of the FIRST surface,
    which is the point that the sticky-moneyness revaluation moves.

    Parameters
    ----------
    history : SurfaceHistory
    start, end : int64 arrays (n_windows,)
        Indices of the first and second snapshots in the history.

    Returns
    -------
    float64 (n_windows, n_tenors)
        Changes of ln(F / S).
    float64 (n_windows, n_tenors, n_moneyness)
        Changes of ln(volatility).
    """
    change = np.empty((start.size, _TENORS.size, _Z.size))
    for w, (a, b) in enumerate(zip(start, end, strict=True)):
        change[w] = _log_vol_change(history.surfaces[a], history.surfaces[b])
    return basis_moves(history, start, end), change


def basis_moves(
    history: SurfaceHistory,
    start: IntArray,
    end: IntArray,
    *,
    tenor_days_max: float = TENORS_DAYS[-1],
) -> FloatArray:
    """Return the changes of ln(F / S) between pairs of snapshots, float64 (n_windows, n_tenors).

    `start` and `end` are as in `surface_moves`; tenors longer than `tenor_days_max` are left out.
    """
    basis = np.array(
        [log_basis(s, x) for s, x in zip(history.surfaces, history.index_usd, strict=True)]
    )
    return (basis[end] - basis[start])[:, np.array(TENORS_DAYS) <= tenor_days_max]


def _log_vol_change(first: VolatilitySurface, second: VolatilitySurface) -> FloatArray:
    before = np.empty((_TENORS.size, _Z.size))
    after = np.empty_like(before)
    for j, tenor in enumerate(_TENORS):
        at_money = first.volatility(np.zeros(1), float(tenor))[0]
        k = _Z * (at_money * np.sqrt(tenor))
        before[j] = first.volatility(k, float(tenor))
        after[j] = second.volatility(k, float(tenor))
    return logarithms(after)[0] - logarithms(before)[0]


def windows_of(
    histories: Sequence[SurfaceHistory], *, horizon_hours: float, tolerance_hours: float
) -> list[tuple[IntArray, IntArray]]:
    """Return the windows between snapshots that all histories cover.

    A window ends at each snapshot of the first history and starts `horizon_hours` before. It is
    included if every history has distinct snapshots within half the tolerance of its start and end,
    so that the length of the window differs from the horizon by at most the tolerance.

    Returns
    -------
    list of (start, end), one pair per history
        int64 arrays (n_windows,): indices of the snapshots in the history.
    """
    lead = histories[0]
    ends = lead.time
    starts = ends - np.timedelta64(int(horizon_hours * 3.6e6), "ms")
    half = 0.5 * tolerance_hours
    pairs = [
        (
            nearest_rows(h.time, starts, tolerance_hours=half),
            nearest_rows(h.time, ends, tolerance_hours=half),
        )
        for h in histories
    ]
    complete = np.all([(a >= 0) & (b >= 0) & (a < b) for a, b in pairs], axis=0)
    return [(a[complete], b[complete]) for a, b in pairs]
