"""Historical simulation: overlapping windows of the past as scenarios for tomorrow."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray, TimeArray
from margin_actors.engine.parameters import ScenarioParameters
from margin_actors.engine.scenarios.proxy import (
    WINDOWS_MIN,
    Proxy,
    design_matrix,
    fit_proxy,
)
from margin_actors.engine.scenarios.scenario_set import (
    AT_MONEY,
    MONEYNESS,
    TENORS_DAYS,
    Provenance,
    ScenarioSet,
)
from margin_actors.engine.scenarios.surface_history import (
    SurfaceHistory,
    nearest_rows,
    surface_moves,
    windows_of,
)
from margin_actors.errors import InvalidScenario, MissingMarketData, Problem
from margin_actors.market.cleansing import PriceGrid
from margin_actors.numerics.counter_random import uniforms
from margin_actors.numerics.elementary import logarithms

_N_TENORS, _N_Z = len(TENORS_DAYS), len(MONEYNESS)
_NODES = _N_TENORS + _N_TENORS * _N_Z
_RESIDUAL_STREAM = 1 << 40
_INDEX_GAP_MS = 2 * 86_400_000


@dataclass(frozen=True)
class VolatilityIndex:
    """A volatility index of one underlying, ascending in time."""

    underlying: str
    time: TimeArray
    """datetime64[ms] (n,): when each value was known (a daily close: the end of its day)."""
    value: FloatArray
    """float64 (n,), volatility points."""


@dataclass(frozen=True)
class _Windows:
    start: IntArray
    end: IntArray
    time: TimeArray
    prices: FloatArray
    """(n_underlyings, n_grid); NaN where there is none."""
    step: int
    length: int


def build_historical(
    prices: Mapping[str, PriceGrid],
    parameters: ScenarioParameters,
    *,
    as_of: np.datetime64,
    surfaces: Mapping[str, SurfaceHistory] | None = None,
    vol_index: Mapping[str, VolatilityIndex] | None = None,
) -> ScenarioSet:
    """Return the scenario set of the most recent windows that close by `as_of`.

    Parameters
    ----------
    prices : mapping from underlying to PriceGrid
        All at one frequency.
    parameters : ScenarioParameters
    as_of : datetime64
        Nothing later is used, of prices, surfaces or the index.
    surfaces, vol_index : mappings, optional
        Needed (the second: used) where `surface_moves` is ``history``.

    Raises
    ------
    InvalidScenario
        If the history has fewer windows than asked, or its grid does not fit the step.
    MissingMarketData
        If surface moves are asked for and the chain history cannot give or proxy them.
    """
    underlyings = parameters.underlyings
    windows = _find_windows(prices, parameters, as_of)
    start_time, end_time = windows.time[windows.start], windows.time[windows.end]
    ln_price = np.full(windows.prices.shape, np.nan)
    known = np.isfinite(windows.prices)
    ln_price[known] = logarithms(windows.prices[known])[0]
    spot = (ln_price[:, windows.end] - ln_price[:, windows.start]).T
    path_hours, path = _paths(ln_price, windows, parameters)
    n, nu = spot.shape
    basis = np.zeros((n, nu, _N_TENORS))
    vol = np.zeros((n, nu, _N_TENORS, _N_Z))
    provenance = np.zeros((n, nu), np.uint8)
    notes: list[str] = []
    if parameters.surface_moves == "history":
        nodes, provenance, notes = _surface_nodes(
            underlyings,
            parameters,
            as_of,
            spot,
            start_time,
            end_time,
            surfaces or {},
            vol_index or {},
        )
        basis = np.ascontiguousarray(nodes[:, :, :_N_TENORS])
        vol = np.ascontiguousarray(nodes[:, :, _N_TENORS:]).reshape(n, nu, _N_TENORS, _N_Z)
    result = ScenarioSet(
        engine="historical",
        underlyings=underlyings,
        horizon_hours=parameters.horizon_hours + parameters.extension_hours,
        start_time=start_time,
        end_time=end_time,
        spot_return=np.ascontiguousarray(spot),
        path_hours=path_hours,
        path_return=path,
        basis_change=basis,
        vol_change=vol,
        weight=np.full(n, 1.0 / n),
        provenance=provenance,
        is_synthetic=any(p.is_synthetic for p in prices.values()),
    )
    sampling = (
        f"{n} {parameters.sampling.replace('_', '-')} windows of {result.horizon_hours:g} h; "
        f"they span {result.effective_size:.0f} windows that do not overlap"
    )
    return replace(result, notes=(sampling, *notes))


def _find_windows(
    prices: Mapping[str, PriceGrid], parameters: ScenarioParameters, as_of: np.datetime64
) -> _Windows:
    problems = [
        Problem(f"prices of {u}", "there are none", "name a source for it in the model's history")
        for u in parameters.underlyings
        if u not in prices
    ]
    if problems:
        raise MissingMarketData("scenarios need the prices of every underlying", problems)
    grids = [prices[u] for u in parameters.underlyings]
    interval = grids[0].interval_seconds
    first, last = max(g.time[0] for g in grids), min(g.time[-1] for g in grids)
    last = min(last, as_of.astype("datetime64[ms]"))
    step_seconds = parameters.step_hours * 3600.0
    horizon_seconds = (parameters.horizon_hours + parameters.extension_hours) * 3600.0
    step, length = step_seconds / interval, horizon_seconds / interval
    if abs(step - round(step)) > 1e-9 or abs(length - round(length)) > 1e-9 or step < 1:
        raise InvalidScenario(
            "the step does not fit the history",
            [
                Problem(
                    "scenarios.step_hours",
                    f"{parameters.step_hours:g} h on a grid of {interval / 3600:g} h",
                    "use a whole number of grid intervals, or a finer history.frequency",
                )
            ],
        )
    step, length = round(step), round(length)
    rows = [g.time.searchsorted(first) for g in grids]
    count = int((last - first) / np.timedelta64(interval * 1000, "ms")) + 1 if last >= first else 0
    for g, r in zip(grids, rows, strict=True):
        if count > 0 and g.time[r] != first:
            raise InvalidScenario(
                "the price histories do not share one grid",
                [Problem(f"prices of {g.underlying}", f"closes at {g.time[r]}, not {first}")],
            )
    table = np.array([g.price_usd[r : r + max(count, 0)] for g, r in zip(grids, rows, strict=True)])
    time = grids[0].time[rows[0] : rows[0] + max(count, 0)]
    spacing = length if parameters.sampling == "non_overlapping" else step
    # The last grid point with a price in every underlying anchors the windows.
    complete: BoolArray = np.all(np.isfinite(table), axis=0)
    present = np.flatnonzero(complete)
    ends = (
        np.arange(present[-1], length - 1, -spacing)[::-1]
        if present.size
        else np.array([], np.int64)
    )
    ends = ends[complete[ends] & complete[ends - length]]
    if ends.size < parameters.windows:
        raise InvalidScenario(
            f"the history has {ends.size} windows, the model asks for {parameters.windows}",
            [
                Problem(
                    "scenarios.windows",
                    f"{parameters.windows} windows of {horizon_seconds / 3600:g} h",
                    f"common prices run from {first} to {last}; shorten the lookback or add data",
                )
            ],
        )
    ends = ends[-parameters.windows :]
    return _Windows(ends - length, ends, time, table, step, length)


def _paths(
    ln_price: FloatArray, windows: _Windows, parameters: ScenarioParameters
) -> tuple[FloatArray, FloatArray]:
    """Return hours and log returns at the steps inside each window, gaps bridged linearly."""
    stops = np.arange(windows.step, windows.length + 1, windows.step)
    hours = stops * (parameters.step_hours / windows.step)
    nu, n = ln_price.shape[0], windows.end.size
    path = np.empty((n, nu, stops.size))
    for u in range(nu):
        begin = ln_price[u, windows.start]
        for j, stop in enumerate(stops):
            path[:, u, j] = ln_price[u, windows.start + stop] - begin
        gaps = np.argwhere(np.isnan(path[:, u, :]).any(axis=1)).ravel()
        for row in gaps:
            known = np.isfinite(path[row, u])
            path[row, u] = np.interp(
                hours, np.append(0.0, hours[known]), np.append(0.0, path[row, u][known])
            )
    return hours.astype(np.float64), path


def _surface_nodes(
    underlyings: tuple[str, ...],
    parameters: ScenarioParameters,
    as_of: np.datetime64,
    spot: FloatArray,
    start_time: TimeArray,
    end_time: TimeArray,
    surfaces: Mapping[str, SurfaceHistory],
    vol_index: Mapping[str, VolatilityIndex],
) -> tuple[FloatArray, np.ndarray, list[str]]:
    """Return (nodes (n, nu, n_nodes), provenance, notes): basis nodes first, then volatility."""
    missing = [
        Problem(
            f"chain history of {u}",
            "there is none",
            "add option chains, or set surface_moves = 'none'",
        )
        for u in underlyings
        if u not in surfaces
    ]
    if missing:
        raise MissingMarketData("surface moves need a chain history", missing)
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
                    f"a proxy needs {WINDOWS_MIN} windows; add chains, or set surface_moves"
                    " = 'none'",
                )
            ],
        )
    n, nu = spot.shape
    nodes = np.zeros((n, nu, _NODES))
    provenance = np.zeros((n, nu), np.uint8)
    notes: list[str] = []
    draws = _draws(parameters.seed, end_time) if parameters.proxy_residuals else None
    for i, u in enumerate(underlyings):
        history, (begin, end) = histories[i], pairs[i]
        moves = _nodes_between(history, begin, end)
        returns = logarithms(history.index_usd[end] / history.index_usd[begin])[0]
        by_spot = fit_proxy(u, design_matrix(returns), moves, names=("1", "r", "max(-r, 0)"))
        notes.append(_note(by_spot, "spot"))
        nodes[:, i] = by_spot.moves(design_matrix(spot[:, i]))
        nodes[:, i] += _drawn(by_spot.residuals, draws)
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
        counts = {p.name.lower(): int((provenance[:, i] == p).sum()) for p in Provenance}
        notes.append(
            f"{u} volatility moves: " + ", ".join(f"{k} {v}" for k, v in counts.items() if v)
        )
    return nodes, provenance, notes


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
    """Overwrite, in place, the rows for which the volatility index is known at both ends."""
    known = index.time <= as_of.astype("datetime64[ms]")
    time, ln_value = index.time[known], logarithms(index.value[known])[0]
    before = _at(time, ln_value, history.time[begin])
    after = _at(time, ln_value, history.time[end])
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
    change = _at(time, ln_value, end_time) - _at(time, ln_value, start_time)
    rows = np.flatnonzero(np.isfinite(change))
    index_change = change[rows]
    nodes[rows] = proxy.moves(design_matrix(spot[rows], index_change))
    nodes[rows] += _drawn(proxy.residuals, None if draws is None else draws[rows])
    provenance[rows] = Provenance.PROXIED_BY_VOL_INDEX


def _at(time: TimeArray, ln_value: FloatArray, wanted: TimeArray) -> FloatArray:
    """Return the index between its daily values, NaN outside them or across a gap of two days."""
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


def _draws(seed: int, end_time: TimeArray) -> FloatArray:
    """Return one uniform a row, keyed by the row's own end: a longer lookback changes no row."""
    minutes = end_time.astype("datetime64[m]").astype(np.int64)
    return np.array([uniforms(seed, _RESIDUAL_STREAM + int(m), 1)[0] for m in minutes])


def _drawn(residuals: FloatArray, draws: FloatArray | None) -> FloatArray | float:
    """Return one residual vector a row; the same draw takes the same window for all underlyings."""
    if draws is None:
        return 0.0
    return residuals[(draws * residuals.shape[0]).astype(np.int64)]


def _note(proxy: Proxy, by: str) -> str:
    at_30 = _N_TENORS + TENORS_DAYS.index(30.0) * _N_Z + AT_MONEY
    coefficients = ", ".join(
        f"{name}: {value:.3g}"
        for name, value in zip(proxy.regressors, proxy.coefficients[:, at_30], strict=True)
    )
    return (
        f"{proxy.underlying} proxy by {by}, 30 d at the money: {coefficients}; R² "
        f"{proxy.r_squared[at_30]:.2f}, residual {100 * proxy.residual_deviation[at_30]:.1f} % "
        f"over {proxy.residuals.shape[0]} windows"
    )
