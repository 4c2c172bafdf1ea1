"""The short option minimum: a least requirement per short option that no long option covers.

The minimum of a short option on one coin is

    S * max(at_money * 2^(-d / half_distance), least),    d = max(w * ln(K / F), 0),

with w = +1 for a call and -1 for a put: it halves with every further `half_distance` out of the
money, does not decrease in the money, and vanishes neither with the delta nor with the time to
expiry.

A long option covers one short option of the same underlying, expiry and kind (call or put) whose
value is never larger: of a call with the same or a higher strike, of a put with the same or a lower
one. The value at expiry of such a pair is at least 0 whatever happens. Linear and inverse options
are alike, in coins.

Which long covers which short is chosen such that the sum is least. In the order of falling value
the minima do not increase, and a long option covers every later short one. It is therefore optimal
to let every short option, in this order, use any long option before it that is still free: in any
other choice the first short option that differs can exchange its cover with a later one, whose
minimum is not larger. This takes one pass over the sorted positions of an account; the order of the
contracts is prepared once per list of contracts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.engine.parameters import ShortOptionMinimumParameters
from margin_actors.engine.pricing import LINEAR
from margin_actors.engine.revaluation import Contracts
from margin_actors.numerics.elementary import exponentials, logarithms
from margin_actors.numerics.jit import compiled

_NOT_AN_OPTION = -1
_LN_2 = 0.6931471805599453


@dataclass(frozen=True)
class ShortRates:
    """Inputs of the minimum; arrays are in the order of the contracts."""

    underlyings: tuple[str, ...]
    """Sorted by name."""
    underlying: IndexArray
    """int32 (n_contracts,): index in `underlyings`."""
    side: IndexArray
    """int32 (n_contracts,): 0 for calls, 1 for puts, -1 for everything else."""
    level: IndexArray
    """int32 (n_contracts,): rank by underlying, expiry, kind and falling value, equal for contracts
    that differ only in their settlement; -1 for everything except options."""
    series: IndexArray
    """int32 (n_contracts,): underlying, expiry and kind; -1 for everything except options."""
    rate_usd: FloatArray
    """float64 (n_contracts,): minimum of one short coin, US dollars; 0 except for options."""


@dataclass(frozen=True)
class ShortMinimum:
    """The minimum of accounts by underlying and side: calls, puts."""

    uncovered_coins: FloatArray
    """float64 (n_accounts, n_underlyings, 2): short options that no long option covers."""
    minimum_usd: FloatArray
    """float64 (n_accounts, n_underlyings, 2): their minima, US dollars."""
    total_usd: FloatArray
    """float64 (n_accounts,): minimum of the account, US dollars, at least 0."""


def minimum_fractions(
    log_moneyness: FloatArray, is_call: BoolArray, parameters: ShortOptionMinimumParameters
) -> FloatArray:
    """Return the minimum of a short option on one coin, as a fraction of the index.

    Parameters
    ----------
    log_moneyness : float64 (n,)
        ln(K / F).
    is_call : bool (n,)
    parameters : ShortOptionMinimumParameters

    Returns
    -------
    float64 (n,), at least 0
    """
    distance = np.maximum(np.where(is_call, log_moneyness, -log_moneyness), 0.0)
    fading = exponentials(-distance * (_LN_2 / parameters.half_distance))
    return np.maximum(parameters.at_money * fading, parameters.least)


def short_rates(
    contracts: Contracts, index_usd: Mapping[str, float], parameters: ShortOptionMinimumParameters
) -> ShortRates:
    """Return the inputs of the minimum of all contracts.

    Parameters
    ----------
    contracts : Contracts
    index_usd : mapping from underlying to float
        Index, US dollars.
    parameters : ShortOptionMinimumParameters
    """
    curves = contracts.curves
    underlyings = tuple(sorted({curve.underlying for curve in curves}))
    underlying = np.array([underlyings.index(c.underlying) for c in curves], np.int32)
    expiries = sorted({c.expiry for c in curves if c.expiry is not None})
    expiry = np.array([expiries.index(c.expiry) if c.expiry else -1 for c in curves], np.int32)
    level = np.array([c.level_usd for c in curves])[contracts.curve]
    is_option, is_call = contracts.kind != LINEAR, contracts.sign > 0.0
    of, at = underlying[contracts.curve], expiry[contracts.curve]
    moneyness = logarithms(np.where(is_option, contracts.strike / level, 1.0))[0]
    index = np.array([index_usd[u] for u in underlyings])[of]
    rate = index * minimum_fractions(moneyness, is_call, parameters)
    # The most valuable option of a series comes first: the call with the lowest strike.
    by_value = np.where(is_call, contracts.strike, -contracts.strike)
    keys = np.stack([of, at, np.where(is_call, 0, 1), by_value], axis=1)[is_option]
    level_of = np.full(len(contracts), _NOT_AN_OPTION, np.int32)
    series = np.full(len(contracts), _NOT_AN_OPTION, np.int32)
    if keys.size:
        level_of[is_option] = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
        series[is_option] = np.unique(keys[:, :3], axis=0, return_inverse=True)[1].reshape(-1)
    return ShortRates(
        underlyings=underlyings,
        underlying=of,
        side=np.where(is_option, np.where(is_call, 0, 1), -1).astype(np.int32),
        level=level_of,
        series=series,
        rate_usd=np.where(is_option, rate, 0.0),
    )


@compiled
def _uncovered(
    start: IntArray,
    index: IndexArray,
    quantity: FloatArray,
    underlying: IndexArray,
    side: IndexArray,
    level: IndexArray,
    series: IndexArray,
    rate: FloatArray,
    coins: FloatArray,
    minimum: FloatArray,
) -> None:
    most = 0
    for a in range(start.size - 1):
        most = max(most, start[a + 1] - start[a])
    rank, held = np.empty(most, np.int64), np.empty(most, np.int64)
    for a in range(start.size - 1):
        n = 0
        for p in range(start[a], start[a + 1]):
            if level[index[p]] >= 0:
                rank[n], held[n] = level[index[p]], p
                n += 1
        order = np.argsort(rank[:n], kind="mergesort")
        current, free = -1, 0.0
        first = 0
        while first < n:
            last = first
            while last < n and rank[order[last]] == rank[order[first]]:
                last += 1
            i = index[held[order[first]]]
            if series[i] != current:
                current, free = series[i], 0.0
            short = 0.0
            for m in range(first, last):
                q = quantity[held[order[m]]]
                if q > 0.0:
                    free += q
                else:
                    short -= q
            used = min(free, short)
            free -= used
            short -= used
            coins[a, underlying[i], side[i]] += short
            minimum[a, underlying[i], side[i]] += short * rate[i]
            first = last


def short_minimum(
    start: IntArray,
    index: IndexArray,
    quantity: FloatArray,
    rates: ShortRates,
    parameters: ShortOptionMinimumParameters,
) -> ShortMinimum:
    """Return the short option minimum of accounts.

    Parameters
    ----------
    start : int64 (n_accounts + 1,)
        Indices of positions: account a holds positions start[a] to start[a + 1] - 1.
    index : int32 (n_positions,)
        Index of the contract of each position.
    quantity : float64 (n_positions,)
        Units, long positive; coins for options.
    rates : ShortRates
    parameters : ShortOptionMinimumParameters
    """
    shape = (start.size - 1, len(rates.underlyings), 2)
    coins, minimum = np.zeros(shape), np.zeros(shape)
    _uncovered(
        start,
        index,
        quantity,
        rates.underlying,
        rates.side,
        rates.level,
        rates.series,
        rates.rate_usd,
        coins,
        minimum,
    )
    calls, puts = minimum[:, :, 0], minimum[:, :, 1]
    by_underlying = calls + puts if parameters.count == "sum" else np.maximum(calls, puts)
    total = np.zeros(shape[0])
    for u in range(shape[1]):
        total += by_underlying[:, u]
    return ShortMinimum(coins, minimum, total)
