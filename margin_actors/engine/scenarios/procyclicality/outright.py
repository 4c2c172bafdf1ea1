"""Value at risk of an outright, that is, of one coin long or one coin short."""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.measures import tail_count, value_at_risk
from margin_actors.numerics.elementary import exponentials


def outright_var(
    log_return: FloatArray, *, confidence: float, weight: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return (long, short): the VaR of one coin, as a fraction of the index.

    The stress period is not calibrated to this VaR but to that of the log return, for which long
    and short are symmetric; see `stress_period`.

    Parameters
    ----------
    log_return : float64 (n_scenarios, n_underlyings)
        Log returns of the index.
    confidence : float in (0, 1)
    weight : float64 (n_scenarios,), optional
        Probabilities that sum to 1; equal if None.

    Returns
    -------
    two float64 arrays of shape (n_underlyings,)
        A loss is positive.
    """
    if weight is not None:
        change = exponentials(log_return.T) - 1.0
        long, short = (
            value_at_risk(x, confidence=confidence, weight=weight) for x in (change, -change)
        )
        return long, short
    n = log_return.shape[0]
    _, k = tail_count(n, confidence)
    # The exponential is monotonic, so that those of the two order statistics are sufficient.
    low, high = np.partition(log_return, (k, n - 1 - k), axis=0)[[k, n - 1 - k]]
    return 1.0 - exponentials(low), exponentials(high) - 1.0
