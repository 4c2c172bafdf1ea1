"""Filtered historical simulation: past windows scaled to the current volatility.

    r* = r * sigma_now / sigma_then,

where sigma_then is the volatility known at the start of the window. The ratio is bounded, and
sigma_now has a floor at a share of the root mean square return over the lookback, so that margins
do not become too small in quiet markets.

With correlation scaling, the standardised returns z = r / sigma_then of a window are first
decorrelated with the Cholesky factor of the correlation at the start of the window and then given
the current correlation. Volatility moves are scaled in the same way, by the volatility of the
30-day volatility at the money.

References
----------
Barone-Adesi, G., Giannopoulos, K. and Vosper, L. (1999), "VaR without correlations for portfolios
of derivative securities", Journal of Futures Markets 19.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from margin_actors.arrays import DAY_MS, FloatArray, IntArray
from margin_actors.engine.parameters import FilterParameters
from margin_actors.engine.scenarios.history.volatility import (
    Recursion,
    ewma,
    ewma_covariances,
    fit_garch,
    variances,
)
from margin_actors.engine.scenarios.history.windows import PriceTable
from margin_actors.engine.scenarios.sets.scenario_set import AT_MONEY, MONTH, ScenarioSet

_CORRELATION_MAX = 0.999


@dataclass(frozen=True)
class Filter:
    """Volatility of each underlying at each step of a price table."""

    underlyings: tuple[str, ...]
    point: IntArray
    """int64 (n_points,): grid points one step apart, ascending; the last one is the current
    time."""
    returns: FloatArray
    """float64 (n_underlyings, n_points - 1): log returns of one step; NaN if missing."""
    deviation: FloatArray
    """float64 (n_underlyings, n_points): standard deviation of the log return of the next step,
    known at each point."""
    recursions: tuple[Recursion, ...]
    """Recursion of each underlying."""
    parameters: FilterParameters
    """Parameters from which the filter was built; they also bound the scaling."""
    notes: tuple[str, ...]

    @cached_property
    def correlation(self) -> FloatArray:
        """EWMA correlation of the log returns of the next step, known at each point.

        float64 (n_points, n_underlyings, n_underlyings).
        """
        return _correlation(self)

    def points_at(self, grid: IntArray) -> IntArray:
        """Return the index into `point` of the step at or before each grid point, at least 0.

        `grid` and the result are int64 (n,); `grid` contains indices of grid points.
        """
        return np.maximum(np.searchsorted(self.point, grid, side="right") - 1, 0)


def garch_recursions(
    table: PriceTable, parameters: FilterParameters
) -> tuple[Recursion | None, ...]:
    """Return the GARCH(1,1) recursion of each underlying.

    It is fitted to the returns known at the start of the current refit period; these periods are
    `garch_refit_days` long and counted from 1970. The recursion is None for an underlying with
    fewer than `garch_steps_min` returns.
    """
    period = np.timedelta64(parameters.garch_refit_days * DAY_MS, "ms")
    epoch = np.datetime64(0, "ms")
    begin = epoch + (table.time[table.last] - epoch) // period * period
    known = table.until(begin)
    found: list[Recursion | None] = []
    for u in range(len(table.underlyings)):
        returns = np.diff(known.ln_price[u, _steps(known)]) if known.time.size else np.empty(0)
        enough = int(np.isfinite(returns).sum()) >= parameters.garch_steps_min
        found.append(fit_garch(returns, parameters.warm_up_steps) if enough else None)
    return tuple(found)


def _steps(table: PriceTable) -> IntArray:
    return table.step_points() if table.complete.any() else np.array([0], np.int64)


def build_filter(
    table: PriceTable,
    parameters: FilterParameters,
    garch: Sequence[Recursion | None] | None = None,
) -> Filter:
    """Return the volatility of each underlying up to the last point with all prices.

    Parameters
    ----------
    table : PriceTable
    parameters : FilterParameters
    garch : sequence of Recursion or None, optional
        Recursions already fitted by `garch_recursions`; by default they are fitted here.
    """
    point = table.step_points()
    returns = np.diff(table.ln_price[:, point], axis=1)
    if parameters.volatility == "garch" and garch is None:
        garch = garch_recursions(table, parameters)
    recursions: list[Recursion] = []
    notes: list[str] = []
    for u, name in enumerate(table.underlyings):
        fitted = None
        if parameters.volatility == "garch":
            assert garch is not None
            fitted = garch[u]
            if fitted is None:
                notes.append(f"{name}: too few returns for GARCH; volatility is EWMA")
            else:
                notes.append(
                    f"{name} GARCH(1,1): alpha {fitted.alpha:.3f}, beta {fitted.beta:.3f}, "
                    f"persistence {fitted.persistence:.3f}"
                )
        recursions.append(
            fitted or ewma(returns[u], parameters.ewma_lambda, parameters.warm_up_steps)
        )
    deviation = np.sqrt([variances(r, rule) for r, rule in zip(returns, recursions, strict=True)])
    return Filter(
        table.underlyings, point, returns, deviation, tuple(recursions), parameters, tuple(notes)
    )


@dataclass(frozen=True)
class Scaling:
    """Factors that scale the moves of windows to the volatility known at one time."""

    sigma_now: FloatArray
    """float64 (n_underlyings,): standard deviation of the log return of the next step, at least
    its floor."""
    sigma_then: FloatArray
    """float64 (n_windows, n_underlyings): the same at the start of each window, without floor."""
    ratio: FloatArray
    """float64 (n_windows, n_underlyings): bounded ratio of the two."""
    turn: FloatArray | None
    """float64 (n_windows, n_underlyings, n_underlyings): transforms the moves divided by
    `sigma_then` to the current correlation; None: the correlation is not scaled."""
    notes: tuple[str, ...]

    def applied_to(self, moves: FloatArray) -> FloatArray:
        """Return scaled log returns of the windows.

        `moves` and the result are log returns, float64 (n_windows, n_underlyings, n).
        """
        if self.turn is None:
            return moves * self.ratio[:, :, None]
        z = np.einsum("nij,njp->nip", self.turn, moves / self.sigma_then[:, :, None])
        return z * (self.sigma_then * self.ratio)[:, :, None]


def scaling_at(following: Filter, then: IntArray, now: int) -> Scaling:
    """Return the scaling of windows to the volatility known at one time.

    Parameters
    ----------
    following : Filter
    then : int64 (n_windows,)
        Index into `following.point` at which the volatility before each window is known.
    now : int
        Index into `following.point` of the time.
    """
    sigma_now, ratio, notes = _ratios(following, then, now)
    turn = None
    if following.parameters.correlation_scaling and len(following.underlyings) > 1:
        lower = np.linalg.cholesky(following.correlation[np.append(then, now)])
        turn = np.einsum("ij,njk->nik", lower[-1], np.linalg.inv(lower[:-1]))
    return Scaling(sigma_now, following.deviation[:, then].T, ratio, turn, tuple(notes))


def filter_rows(rows: ScenarioSet, table: PriceTable, following: Filter) -> ScenarioSet:
    """Return historical rows scaled to the current volatility.

    Parameters
    ----------
    rows : ScenarioSet
        Historical rows of windows of `table`.
    table : PriceTable
    following : Filter
        Filter of the same table.
    """
    parameters = following.parameters
    then = following.points_at(np.searchsorted(table.time, rows.start_time))
    scaling = scaling_at(following, then, following.point.size - 1)
    path = scaling.applied_to(rows.path_return)
    notes = list(scaling.notes)
    vol = rows.vol_change
    if parameters.surface == "own" and rows.has_surface_moves:
        vol, more = _scaled_surfaces(rows, parameters)
        notes += more
    shown = ", ".join(
        f"{u} {100 * s * np.sqrt(365.0 * 24.0 / _step_hours(table)):.0f} %"
        for u, s in zip(rows.underlyings, scaling.sigma_now, strict=True)
    )
    notes.insert(0, f"filtered to the annual volatility of now: {shown}")
    return replace(
        rows,
        engine="filtered",
        spot_return=np.ascontiguousarray(path[:, :, -1]),
        path_return=path,
        vol_change=vol,
        notes=(*rows.notes, *following.notes, *notes),
    )


def _step_hours(table: PriceTable) -> float:
    interval = float((table.time[1] - table.time[0]) / np.timedelta64(1, "s"))
    return table.step * interval / 3600.0


def _ratios(
    following: Filter, then: IntArray, now: int
) -> tuple[FloatArray, FloatArray, list[str]]:
    """Return (current volatility with its floor (nu,), ratios (n, nu), notes)."""
    parameters = following.parameters
    notes: list[str] = []
    n_underlyings = following.deviation.shape[0]
    sigma_now = np.empty(n_underlyings)
    ratio = np.empty((then.size, n_underlyings))
    for u, name in enumerate(following.underlyings):
        deviation = following.deviation[u]
        past = following.returns[u, then.min() : now]
        past = past[np.isfinite(past)]
        long_run = float(np.sqrt(np.mean(past * past))) if past.size else deviation[now]
        sigma_now[u] = max(deviation[now], parameters.floor_share * long_run)
        if sigma_now[u] > deviation[now]:
            notes.append(
                f"{name}: volatility now is held at {parameters.floor_share:g} of long-run"
            )
        raw = sigma_now[u] / deviation[then]
        ratio[:, u] = np.clip(raw, parameters.ratio_min, parameters.ratio_max)
        bounded = int((ratio[:, u] != raw).sum())
        if bounded:
            notes.append(f"{name}: {bounded} of {then.size} ratios bounded")
    return sigma_now, ratio, notes


def _correlation(following: Filter) -> FloatArray:
    nu = len(following.underlyings)
    covariance = np.empty((following.point.size, nu, nu))
    for i in range(nu):
        for j in range(i + 1):
            covariance[:, i, j] = covariance[:, j, i] = ewma_covariances(
                following.returns[i],
                following.returns[j],
                following.parameters.ewma_lambda,
                following.parameters.warm_up_steps,
            )
    scale = np.sqrt(np.maximum(np.einsum("nii->ni", covariance), 1e-300))
    correlation = covariance / (scale[:, :, None] * scale[:, None, :])
    correlation = np.clip(correlation, -_CORRELATION_MAX, _CORRELATION_MAX)
    correlation[:, np.arange(nu), np.arange(nu)] = 1.0
    return correlation


def _scaled_surfaces(
    rows: ScenarioSet, parameters: FilterParameters
) -> tuple[FloatArray, list[str]]:
    """Return volatility moves scaled by the volatility of the 30-day volatility at the money.

    That volatility is the EWMA of the moves of the rows themselves; for each row, it uses the rows
    that end by its start.

    Returns
    -------
    float64 (n, n_underlyings, n_tenors, n_moneyness)
        Scaled changes of ln(volatility).
    list of str
        Notes.
    """
    notes: list[str] = []
    vol = rows.vol_change.copy()
    before = np.searchsorted(rows.end_time, rows.start_time, side="right")
    for u, name in enumerate(rows.underlyings):
        moves = rows.vol_change[:, u, MONTH, AT_MONEY]
        rule = ewma(moves, parameters.ewma_lambda, parameters.warm_up_steps)
        deviation = np.sqrt(variances(moves, rule))
        long_run = float(np.sqrt(np.mean(moves * moves)))
        now = max(deviation[-1], parameters.floor_share * long_run)
        if now <= 0.0:
            continue
        ratio = np.clip(now / deviation[before], parameters.ratio_min, parameters.ratio_max)
        vol[:, u] *= ratio[:, None, None]
        notes.append(
            f"{name}: volatility of the 30-day volatility is {now / max(long_run, 1e-300):.2f} "
            "times its long-run one"
        )
    return vol, notes
