"""Windows of the margin period of risk on a common grid of prices."""

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
    """Prices of all underlyings on one grid; nothing after the moment they are known at."""

    underlyings: tuple[str, ...]
    time: TimeArray
    """datetime64[ms] (n_grid,), ascending, evenly spaced."""
    ln_price: FloatArray
    """float64 (n_underlyings, n_grid); NaN where there is none."""
    step: int
    """Grid points of one step of the windows."""
    length: int
    """Grid points of a window."""
    is_synthetic: bool

    @property
    def complete(self) -> BoolArray:
        """Bool (n_grid,): every underlying has a price."""
        return np.all(np.isfinite(self.ln_price), axis=0)

    @property
    def last(self) -> int:
        """The last grid point with every price: today, for whatever looks back.

        Raises
        ------
        InvalidScenario
            If there is none.
        """
        present = np.flatnonzero(self.complete)
        if present.size == 0:
            raise InvalidScenario("the price histories have no moment in common")
        return int(present[-1])

    def step_points(self) -> IntArray:
        """Return grid points one step apart, the last one included."""
        return np.arange(self.last % self.step, self.last + 1, self.step)

    def until(self, as_of: np.datetime64) -> "PriceTable":
        """Return what was known at a time."""
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
    """Windows by the grid points at which they begin and end, ascending."""

    start: IntArray
    end: IntArray

    def chosen(self, which: slice | IntArray | BoolArray) -> "Windows":
        """Return some of them."""
        return Windows(self.start[which], self.end[which])


def price_table(
    prices: Mapping[str, PriceGrid], parameters: ScenarioParameters, as_of: np.datetime64
) -> PriceTable:
    """Return the common grid of all underlyings up to `as_of`.

    Raises
    ------
    MissingMarketData
        Naming every underlying without prices.
    InvalidScenario
        If the step does not fit the grid, or the grids differ.
    """
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
    step = parameters.step_hours * 3600.0 / interval
    length = (parameters.horizon_hours + parameters.extension_hours) * 3600.0 / interval
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
    rows = [int(g.time.searchsorted(first)) for g in grids]
    count = int((last - first) / np.timedelta64(interval * 1000, "ms")) + 1 if last >= first else 0
    for g, r in zip(grids, rows, strict=True):
        if count > 0 and g.time[r] != first:
            raise InvalidScenario(
                "the price histories do not share one grid",
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
    """Return every window with a price at both ends; the last common price anchors them."""
    spacing = table.length if parameters.sampling == "non_overlapping" else table.step
    complete = table.complete
    present = np.flatnonzero(complete)
    if present.size == 0:
        return Windows(np.array([], np.int64), np.array([], np.int64))
    ends = np.arange(present[-1], table.length - 1, -spacing)[::-1]
    ends = ends[complete[ends] & complete[ends - table.length]]
    return Windows(ends - table.length, ends)


def recent_windows(table: PriceTable, parameters: ScenarioParameters) -> Windows:
    """Return the model's number of most recent windows.

    Raises
    ------
    InvalidScenario
        If there are fewer.
    """
    windows = all_windows(table, parameters)
    if windows.end.size < parameters.windows:
        horizon = parameters.horizon_hours + parameters.extension_hours
        span = "there are no common prices"
        if table.time.size:
            span = f"common prices run from {table.time[0]} to {table.time[-1]}"
        raise InvalidScenario(
            f"the history has {windows.end.size} windows, the model asks for {parameters.windows}",
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
    """Return log returns over the windows, (n_windows, n_underlyings)."""
    change = table.ln_price[:, windows.end] - table.ln_price[:, windows.start]
    return np.ascontiguousarray(change.T)


def paths(
    table: PriceTable, windows: Windows, parameters: ScenarioParameters
) -> tuple[FloatArray, FloatArray]:
    """Return hours and log returns at the steps inside each window, gaps bridged linearly."""
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
