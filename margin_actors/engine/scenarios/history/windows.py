"""Windows of the length of the margin period of risk on a common price grid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray, TimeArray
from margin_actors.engine.parameters import ScenarioParameters
from margin_actors.errors import InvalidScenario, MissingMarketData, Problem
from margin_actors.market.cleansing import PriceGrid
from margin_actors.numerics.elementary import logarithms


@dataclass(frozen=True)
class PriceTable:
    """Prices of all underlyings on one grid, up to the time at which they are known."""

    underlyings: tuple[str, ...]
    time: TimeArray
    """datetime64[ms] (n_grid,), ascending, evenly spaced."""
    ln_price: FloatArray
    """float64 (n_underlyings, n_grid): ln of the price in US dollars; NaN if missing."""
    step: int
    """Interval between the ends of consecutive windows, grid points."""
    length: int
    """Length of a window, grid points."""
    is_synthetic: bool

    @property
    def complete(self) -> BoolArray:
        """Bool (n_grid,): True where every underlying has a price."""
        return np.all(np.isfinite(self.ln_price), axis=0)

    @property
    def last(self) -> int:
        """Index of the last grid point at which every underlying has a price.

        Raises
        ------
        InvalidScenario
            If there is no such grid point.
        """
        present = np.flatnonzero(self.complete)
        if present.size == 0:
            raise InvalidScenario("there is no time at which all underlyings have a price")
        return int(present[-1])

    def step_points(self) -> IntArray:
        """Return the indices of grid points one step apart, ending at `last`; int64, ascending."""
        return np.arange(self.last % self.step, self.last + 1, self.step)

    def until(self, as_of: np.datetime64) -> "PriceTable":
        """Return the part of the table up to and including `as_of`."""
        known = int(np.searchsorted(self.time, as_of.astype("datetime64[ms]"), side="right"))
        return PriceTable(
            self.underlyings,
            self.time[:known],
            self.ln_price[:, :known],
            self.step,
            self.length,
            self.is_synthetic,
        )


@dataclass(frozen=True)
class Windows:
    """Windows in ascending order, by the indices of their first and last grid points."""

    start: IntArray
    """int64 (n_windows,): grid point of the start."""
    end: IntArray
    """int64 (n_windows,): grid point of the end."""

    def chosen(self, which: slice | IntArray | BoolArray) -> "Windows":
        """Return the selected windows.

        `which` is a slice, int64 indices (n_selected,) of windows, or a bool mask (n_windows,).
        """
        return Windows(self.start[which], self.end[which])


def price_table(
    prices: Mapping[str, PriceGrid], parameters: ScenarioParameters, as_of: np.datetime64
) -> PriceTable:
    """Return the prices of all underlyings on their common grid up to `as_of`.

    Raises
    ------
    MissingMarketData
        Naming every underlying without prices.
    InvalidScenario
        If the step or the window is not a whole number of grid intervals, or the grids differ.
    """
    problems = [
        Problem(f"prices of {u}", "missing", "name a source for it in the model's history")
        for u in parameters.underlyings
        if u not in prices
    ]
    if problems:
        raise MissingMarketData("scenarios require prices of every underlying", problems)
    grids = [prices[u] for u in parameters.underlyings]
    interval = grids[0].interval_seconds
    first, last = max(g.time[0] for g in grids), min(g.time[-1] for g in grids)
    last = min(last, as_of.astype("datetime64[ms]"))
    step = parameters.step_hours * 3600.0 / interval
    length = (parameters.horizon_hours + parameters.extension_hours) * 3600.0 / interval
    if abs(step - round(step)) > 1e-9 or abs(length - round(length)) > 1e-9 or step < 1:
        raise InvalidScenario(
            "the step or the window is not a whole number of grid intervals",
            [
                Problem(
                    "scenarios.step_hours, scenarios.horizon_hours",
                    f"step {step * interval / 3600:g} h, window {length * interval / 3600:g} h, "
                    f"grid {interval / 3600:g} h",
                    "use whole numbers of grid intervals, or a finer history.frequency",
                )
            ],
        )
    rows = [int(g.time.searchsorted(first)) for g in grids]
    count = int((last - first) / np.timedelta64(interval * 1000, "ms")) + 1 if last >= first else 0
    for g, r in zip(grids, rows, strict=True):
        if count > 0 and g.time[r] != first:
            raise InvalidScenario(
                "the price histories are not on the same grid",
                [Problem(f"prices of {g.underlying}", f"closes at {g.time[r]}, not {first}")],
            )
    table = np.array([g.price_usd[r : r + count] for g, r in zip(grids, rows, strict=True)])
    ln_price = np.full(table.shape, np.nan)
    known = np.isfinite(table)
    ln_price[known] = logarithms(table[known])[0]
    return PriceTable(
        parameters.underlyings,
        grids[0].time[rows[0] : rows[0] + count],
        ln_price,
        round(step),
        round(length),
        any(g.is_synthetic for g in grids),
    )


def all_windows(table: PriceTable, parameters: ScenarioParameters) -> Windows:
    """Return all windows with prices at both ends, counted back from the last common price."""
    spacing = table.length if parameters.sampling == "non_overlapping" else table.step
    complete = table.complete
    present = np.flatnonzero(complete)
    if present.size == 0:
        return Windows(np.array([], np.int64), np.array([], np.int64))
    ends = np.arange(present[-1], table.length - 1, -spacing)[::-1]
    ends = ends[complete[ends] & complete[ends - table.length]]
    return Windows(ends - table.length, ends)


def recent_windows(table: PriceTable, parameters: ScenarioParameters) -> Windows:
    """Return the `parameters.windows` most recent windows.

    Raises
    ------
    InvalidScenario
        If the history has fewer windows.
    """
    windows = all_windows(table, parameters)
    if windows.end.size < parameters.windows:
        horizon = parameters.horizon_hours + parameters.extension_hours
        span = "there are no common prices"
        if table.time.size:
            span = f"common prices run from {table.time[0]} to {table.time[-1]}"
        raise InvalidScenario(
            f"the history has {windows.end.size} windows, the model requires {parameters.windows}",
            [
                Problem(
                    "scenarios.windows",
                    f"{parameters.windows} windows of {horizon:g} h",
                    f"{span}; shorten the lookback or add data",
                )
            ],
        )
    return windows.chosen(slice(windows.end.size - parameters.windows, None))


def spot_returns(table: PriceTable, windows: Windows) -> FloatArray:
    """Return the log returns over the windows, float64 (n_windows, n_underlyings)."""
    change = table.ln_price[:, windows.end] - table.ln_price[:, windows.start]
    return np.ascontiguousarray(change.T)


def paths(
    table: PriceTable, windows: Windows, parameters: ScenarioParameters
) -> tuple[FloatArray, FloatArray]:
    """Return the log returns at each step inside the windows.

    Missing prices inside a window are interpolated linearly in the log price.

    Returns
    -------
    float64 (n_path,)
        Hours since the start of the window; the last one is its end.
    float64 (n_windows, n_underlyings, n_path)
        Log returns since the start of the window.
    """
    stops = np.arange(table.step, table.length + 1, table.step)
    hours = stops * (parameters.step_hours / table.step)
    nu, n = table.ln_price.shape[0], windows.end.size
    path = np.empty((n, nu, stops.size))
    for u in range(nu):
        begin = table.ln_price[u, windows.start]
        for j, stop in enumerate(stops):
            path[:, u, j] = table.ln_price[u, windows.start + stop] - begin
        gaps = np.argwhere(np.isnan(path[:, u, :]).any(axis=1)).ravel()
        for row in gaps:
            known = np.isfinite(path[row, u])
            path[row, u] = np.interp(
                hours, np.append(0.0, hours[known]), np.append(0.0, path[row, u][known])
            )
    return hours.astype(np.float64), path
