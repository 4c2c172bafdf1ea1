"""The dates of a replay for which the history suffices."""

import numpy as np

from margin_actors.arrays import TimeArray
from margin_actors.engine.backtest.replay import ReplayInputs, known_rows, market_levels_at
from margin_actors.errors import InvalidParameters, InvalidScenario, Location, Problem

FIRST_DATE = "first date"
"""The input that errors name, see `Location.source`."""


def dates_with_history(
    inputs: ReplayInputs, every: TimeArray, first: np.datetime64 | None
) -> TimeArray:
    """Return the dates from `first`, or from the first possible one, that can be replayed.

    Parameters
    ----------
    inputs : ReplayInputs
    every : datetime64[ms] array of shape (n_dates,)
        All dates of the data, times of the price grid, ascending.
    first : datetime64[ms], optional
        First date; by default the first one for which the history suffices. Once it suffices, it
        does so for the later dates, except for gaps, which the replay itself reports.

    Returns
    -------
    datetime64[ms] array, a part of `every`; empty if `first` is after all dates.

    Raises
    ------
    InvalidParameters
        If the history does not suffice for the first date, or for any; names the first possible
        one.
    """
    chosen = every if first is None else every[every >= first]
    if not chosen.size or (first is not None and _shortage(inputs, chosen[0]) is None):
        return chosen
    possible = _first_possible(inputs, every)
    if first is None and possible is not None:
        return every[possible:]
    day = chosen[0].astype("datetime64[D]")
    remedy = "shorten the lookback (scenarios.windows), or add data"
    if possible is not None:
        remedy = f"the first possible date is {every[possible].astype('datetime64[D]')}"
    raise InvalidParameters(
        f"the replay cannot begin on {day}",
        [Problem(Location(FIRST_DATE), _shortage(inputs, chosen[0]) or str(day), remedy)],
    )


def _first_possible(inputs: ReplayInputs, every: TimeArray) -> int | None:
    """Return the index of the first date with enough history, by bisection; None without one."""
    if _shortage(inputs, every[-1]) is not None:
        return None
    low, high = 0, every.size - 1
    while low < high:
        middle = (low + high) // 2
        if _shortage(inputs, every[middle]) is None:
            high = middle
        else:
            low = middle + 1
    return high


def _shortage(inputs: ReplayInputs, now: np.datetime64) -> str | None:
    """Return what the history lacks for a replay of the date `now`; None if it suffices."""
    known = inputs.table.until(now)
    try:
        market_levels_at(inputs, known, now)
        known_rows(inputs, known, now)
    except InvalidScenario as error:
        return error.summary
    return None
