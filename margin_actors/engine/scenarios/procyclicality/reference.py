"""Daily reference margin of an outright of each underlying.

The reference margin is the larger VaR of one coin long and one coin short, as a fraction of the
index, over the trailing historical windows; if the model filters, the windows are scaled to the
volatility of the day. Only the procyclicality buffer uses it. Day t uses windows that end by t.
"""

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios.engines.filtered import Filter
from margin_actors.engine.scenarios.history.windows import PriceTable, Windows, spot_returns
from margin_actors.numerics.elementary import exponentials

_DAY_MS = 86_400_000
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
    scenarios, alpha = model.scenarios, model.measure.confidence
    stamps = table.time[windows.end].astype(np.int64)
    last = stamps[-1] if stamps.size else 0
    daily = np.flatnonzero((last - stamps) % _DAY_MS == 0)
    daily = daily[daily >= WINDOWS_MIN - 1]
    returns = spot_returns(table, windows)
    out = np.empty((len(table.underlyings), daily.size))
    then = now = None
    if following is not None:
        place = np.searchsorted(following.point, windows.start, side="right") - 1
        then = following.deviation[:, np.maximum(place, 0)]
        now = following.deviation[
            :, np.searchsorted(following.point, windows.end[daily], side="right") - 1
        ]
    for d, row in enumerate(daily):
        first = max(0, int(row) + 1 - scenarios.windows)
        for u in range(out.shape[0]):
            sample = returns[first : row + 1, u]
            if then is not None and now is not None:
                ratio = now[u, d] / then[u, first : row + 1]
                rules = scenarios.filter
                sample = sample * np.clip(ratio, rules.ratio_min, rules.ratio_max)
            rank = int(round(sample.size * (1.0 - alpha), 9))
            edges = np.partition(sample, (rank, sample.size - 1 - rank))
            low, high = exponentials(edges[[rank, sample.size - 1 - rank]])
            out[u, d] = max(1.0 - low, high - 1.0)
    return daily, out
