"""Value at risk (VaR), expected shortfall (ES) and their sampling errors.

With equal weights and sorted profits x_(0) <= x_(1) <= ..., m = n (1 - confidence), k = floor(m):

    VaR = -x_(k),    ES = -(sum_{j<k} x_(j) + (m - k) x_(k)) / m.

Both require only the k + 1 smallest profits. With unequal weights, the cumulative weight takes the
place of the number of scenarios.

References
----------
Acerbi, C. and Tasche, D. (2002), "On the coherence of expected shortfall", Journal of Banking and
Finance 26, eq. 3.6 (the discrete form above).
Manistre, B. and Hancock, G. (2005), "Variance of the CTE estimator", North American Actuarial
Journal 9, eq. 2.
"""

from math import ceil, floor, sqrt

import numpy as np

from margin_actors.arrays import FloatArray

_Z95 = 1.959963984540054


def tail_count(n_scenarios: int, confidence: float) -> tuple[float, int]:
    """Return (m, k): the number of scenarios in the tail and its integer part.

    Raises
    ------
    ValueError
        If `confidence` is not in (0, 1), or `n_scenarios` is less than 1.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1")
    if n_scenarios < 1:
        raise ValueError(f"n_scenarios is {n_scenarios}; it must be at least 1")
    m = round(n_scenarios * (1.0 - confidence), 9)
    return m, min(floor(m), n_scenarios - 1)


def tail_size(n_scenarios: int, confidence: float, effective_size: float) -> int:
    """Return how many of the worst scenarios VaR, ES and the 95 % interval of VaR require.

    `effective_size` is the number of windows that do not overlap.
    """
    m, k = tail_count(n_scenarios, confidence)
    reach = _rank_reach(n_scenarios, confidence, effective_size)
    return min(n_scenarios, max(k + 1, ceil(m + reach) + 1))


def _rank_reach(n_scenarios: int, confidence: float, effective_size: float) -> float:
    """Return 1.96 standard deviations of the tail count, widened for overlapping windows."""
    deviation = sqrt(n_scenarios * confidence * (1.0 - confidence))
    return _Z95 * deviation * sqrt(n_scenarios / effective_size)


def var_from_tail(tail: FloatArray, *, n_scenarios: int, confidence: float) -> FloatArray:
    """Return the value at risk of each account from its smallest profits.

    Parameters
    ----------
    tail : float64 array of shape (n_accounts, n_tail), USD
        Smallest profits of each account in ascending order; n_tail is at least k + 1.
    n_scenarios : int
        Number of all scenarios.
    confidence : float in (0, 1)

    Returns
    -------
    float64 array of shape (n_accounts,), USD
        A loss is positive.
    """
    _, k = tail_count(n_scenarios, confidence)
    return -tail[:, k]


def es_from_tail(tail: FloatArray, *, n_scenarios: int, confidence: float) -> FloatArray:
    """Return the expected shortfall of each account; arguments and result as `var_from_tail`."""
    m, k = tail_count(n_scenarios, confidence)
    total = np.zeros(tail.shape[0])
    for j in range(k):  # a fixed order gives the same bits for any number of accounts
        total += tail[:, j]
    return -(total + (m - k) * tail[:, k]) / m


def var_interval_from_tail(
    tail: FloatArray, *, n_scenarios: int, confidence: float, effective_size: float
) -> tuple[FloatArray, FloatArray]:
    """Return (low, high), the 95 % confidence interval of VaR from order statistics.

    Parameters
    ----------
    tail, n_scenarios, confidence
        As `var_from_tail`; `tail_size` returns the number of profits required for the interval.
    effective_size : float
        Number of windows that do not overlap; n_scenarios if no windows overlap.

    Returns
    -------
    two float64 arrays of shape (n_accounts,), USD
        A loss is positive.
    """
    m, _ = tail_count(n_scenarios, confidence)
    reach = _rank_reach(n_scenarios, confidence, effective_size)
    upper = min(tail.shape[1] - 1, ceil(m + reach))
    lower = max(0, floor(m - reach))
    return -tail[:, upper], -tail[:, lower]


def es_standard_error_from_tail(
    tail: FloatArray, *, n_scenarios: int, confidence: float, effective_size: float
) -> FloatArray:
    """Return the standard error of the expected shortfall of each account.

    Parameters
    ----------
    tail : float64 array of shape (n_accounts, n_tail), USD
        As `var_from_tail`.
    n_scenarios, confidence, effective_size
        As `var_interval_from_tail`.

    Returns
    -------
    float64 array of shape (n_accounts,), USD
    """
    m, k = tail_count(n_scenarios, confidence)
    var = var_from_tail(tail, n_scenarios=n_scenarios, confidence=confidence)
    es = es_from_tail(tail, n_scenarios=n_scenarios, confidence=confidence)
    worse = tail[:, : max(k, 1)]
    spread = worse.var(axis=1)
    m_effective = max(m * effective_size / n_scenarios, 1e-9)
    return np.sqrt((spread + confidence * (es - var) ** 2) / m_effective)


def value_at_risk(
    pnl_usd: FloatArray, *, confidence: float, weight: FloatArray | None = None
) -> FloatArray:
    """Return the empirical value at risk of each account.

    Parameters
    ----------
    pnl_usd : float64 array of shape (n_accounts, n_scenarios), USD
        Profit and loss over the margin period of risk; a profit is positive. No NaN.
    confidence : float in (0, 1)
        Probability that the loss is not exceeded, for example 0.995.
    weight : float64 array of shape (n_scenarios,), optional
        Probabilities that sum to 1; equal if None.

    Returns
    -------
    float64 array of shape (n_accounts,), USD
        A loss is positive.

    Raises
    ------
    ValueError
        If `confidence` is not in (0, 1), there are no scenarios, or the weights have the wrong
        shape, are negative or do not sum to 1.

    Examples
    --------
    >>> value_at_risk(np.arange(-5.0, 95.0)[None, :], confidence=0.98)
    array([3.])
    """
    if weight is None:
        m_k = tail_count(pnl_usd.shape[1], confidence)
        return -np.sort(pnl_usd, axis=1)[:, m_k[1]]
    return _weighted(pnl_usd, weight, confidence)[0]


def expected_shortfall(
    pnl_usd: FloatArray, *, confidence: float, weight: FloatArray | None = None
) -> FloatArray:
    """Return the empirical expected shortfall of each account.

    Arguments, result and errors as `value_at_risk`.
    """
    if weight is None:
        n = pnl_usd.shape[1]
        return es_from_tail(np.sort(pnl_usd, axis=1), n_scenarios=n, confidence=confidence)
    return _weighted(pnl_usd, weight, confidence)[1]


def _weighted(
    pnl: FloatArray, weight: FloatArray, confidence: float
) -> tuple[FloatArray, FloatArray]:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1")
    if weight.shape != (pnl.shape[1],) or np.any(weight < 0) or abs(weight.sum() - 1.0) > 1e-9:
        raise ValueError("weights must have one element per scenario, be non-negative and sum to 1")
    tail = 1.0 - confidence
    var, es = np.empty(pnl.shape[0]), np.empty(pnl.shape[0])
    for a, row in enumerate(pnl):
        order = np.argsort(row, kind="stable")
        x, w = row[order], weight[order]
        running = np.cumsum(w)
        k = min(int(np.searchsorted(running, tail + 1e-12, side="right")), x.size - 1)
        before = running[k - 1] if k > 0 else 0.0
        var[a] = -x[k]
        es[a] = -(float((x[:k] * w[:k]).sum()) + (tail - before) * x[k]) / tail
    return var, es


def tail_shares(
    pnl_usd: FloatArray, *, confidence: float, weight: FloatArray | None = None
) -> tuple[np.ndarray, FloatArray]:
    """Return the tail scenarios of one account and the share of each in its ES.

    Parameters
    ----------
    pnl_usd : float64 array of shape (n_scenarios,), USD
        Profit and loss; a profit is positive.
    confidence, weight
        As `value_at_risk`.

    Returns
    -------
    int64 array of shape (k + 1,)
        Indices of the scenarios, largest loss first. VaR is the loss in the last one.
    float64 array of shape (k + 1,)
        Shares, which sum to 1. ES is the mean of the losses weighted by them.
    """
    order = np.argsort(pnl_usd, kind="stable")
    if weight is None:
        m, k = tail_count(pnl_usd.size, confidence)
        return order[: k + 1], np.append(np.ones(k), m - k) / m
    tail = 1.0 - confidence
    running = np.cumsum(weight[order])
    k = min(int(np.searchsorted(running, tail + 1e-12, side="right")), order.size - 1)
    before = running[k - 1] if k > 0 else 0.0
    return order[: k + 1], np.append(weight[order[:k]], tail - before) / tail
