"""Daily reference margin of an outright of each underlying, on which the buffer depends.

The reference margin is the larger VaR of one coin long and one coin short over the trailing windows
of the model: historical windows or, if the model filters, windows scaled to the volatility of the
day as the core rows are, with the floor of the volatility and the scaling of the correlation. The
margin of a day depends on windows that end by then. Two things differ from the core rows of the
day: a Monte Carlo model uses the windows to which its draws are fitted, and the parameters of GARCH
are those of the last day. The windows have equal weights.
"""

import numpy as np

from margin_actors.arrays import DAY_MS, FloatArray, IntArray
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios.engines.filtered import Filter, scaling_at
from margin_actors.engine.scenarios.history.windows import PriceTable, Windows, spot_returns
from margin_actors.engine.scenarios.procyclicality.outright import outright_var

WINDOWS_MIN = 250
"""Number of windows that must have ended by the first day."""


def reference_margins(
    table: PriceTable, windows: Windows, model: ModelParameters, following: Filter | None
) -> tuple[IntArray, FloatArray]:
    """Return the reference margins, one per day.

    Days are counted back from the end of the last window; the first is the day on which at least
    `WINDOWS_MIN` windows have ended.

    Parameters
    ----------
    table, windows : PriceTable, Windows
        All windows of the table.
    model : ModelParameters
    following : Filter or None
        Filter of the same table if the model filters, else None.

    Returns
    -------
    int64 (n_days,)
        Index into `windows` of the window that ends on each day.
    float64 (n_underlyings, n_days)
        Reference margin, as a fraction of the index.
    """
    stamps = table.time[windows.end].astype(np.int64)
    last = stamps[-1] if stamps.size else 0
    daily = np.flatnonzero((last - stamps) % DAY_MS == 0)
    daily = daily[daily >= WINDOWS_MIN - 1]
    returns = spot_returns(table, windows)
    out = np.empty((len(table.underlyings), daily.size))
    then = now = np.empty(0, np.int64)
    if following is not None:
        then = following.points_at(windows.start)
        now = following.points_at(windows.end[daily])
    for d, row in enumerate(daily.tolist()):
        trailing = slice(max(0, row + 1 - model.scenarios.windows), row + 1)
        sample = returns[trailing]
        if following is not None:
            scaling = scaling_at(following, then[trailing], int(now[d]))
            sample = scaling.applied_to(sample[:, :, None])[:, :, 0]
        out[:, d] = reference_margin(sample, confidence=model.measure.confidence)
    return daily, out


def reference_margin(log_return: FloatArray, *, confidence: float) -> FloatArray:
    """Return the larger VaR of one coin long and one coin short, as a fraction of the index.

    Parameters
    ----------
    log_return : float64 (n_windows, n_underlyings)
        Log returns of the index over the windows, scaled if the model filters.
    confidence : float in (0, 1)

    Returns
    -------
    float64 (n_underlyings,)
    """
    return np.maximum(*outright_var(log_return, confidence=confidence))
