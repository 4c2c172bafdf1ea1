"""The largest possible loss of accounts that owe nothing at any settlement price.

Let the payoff of an account at an expiry be the sum of quantity times max(S - K, 0) or
max(K - S, 0) over its options, US dollars. It is linear between strikes, so that its least value is
that at 0, at a strike, or without limit if the calls are short in total. An account whose payoffs
are not negative at any expiry and any settlement price S has a value of at least 0 in every
arbitrage-free market, and cannot lose more than its value today. A long position in spot does not
change this. A future or perpetual is settled daily and may owe without limit, so that an account
with one has no bound; neither has an account that is short of spot.
"""

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.engine.revaluation import Contracts, Holdings
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.numerics.jit import compiled

_CALL, _PUT, _SPOT, _SETTLED = 0, 1, 2, 3
_TOLERANCE = 1e-9
"""Relative tolerance for the rounding of payoffs."""


def largest_losses(
    contracts: Contracts, holdings: Holdings, quantity: FloatArray, value_usd: FloatArray
) -> FloatArray:
    """Return the largest possible loss of each account.

    Parameters
    ----------
    contracts : Contracts
    holdings : Holdings
        Positions of n_accounts accounts in the contracts.
    quantity : float64 array of shape (n_positions,)
        Signed quantity of each position, in units of its contract; long is positive.
    value_usd : float64 array of shape (n_accounts,)
        Value of options and spot today, US dollars.

    Returns
    -------
    float64 (n_accounts,), US dollars
        The value, at least 0, of accounts that owe nothing at any settlement price; else infinite.
    """
    curves, expiry = contracts.curves, np.empty(len(contracts.curves), np.int64)
    number: dict[object, int] = {}
    for i, curve in enumerate(curves):
        # Linear and inverse options of one expiry settle at one price.
        expiry[i] = number.setdefault((curve.underlying, curve.expiry), len(number))
    kinds = np.array([_kind_of(name) for name in contracts.names], np.int64)
    bounded = np.ones(holdings.n_accounts, np.bool_)
    _find_unbounded(
        holdings.start,
        holdings.index,
        quantity,
        kinds,
        expiry[contracts.curve],
        contracts.strike,
        bounded,
    )
    return np.where(bounded, np.maximum(value_usd, 0.0), np.inf)


def _kind_of(name: str) -> int:
    instrument = instrument_from_name(name)
    if instrument.kind is Kind.OPTION:
        return _CALL if instrument.is_call else _PUT
    return _SPOT if instrument.kind is Kind.SPOT else _SETTLED


@compiled
def _find_unbounded(
    start: IntArray,
    index: IndexArray,
    quantity: FloatArray,
    kind: IntArray,
    expiry: IntArray,
    strike: FloatArray,
    bounded: BoolArray,
) -> None:
    for a in range(start.size - 1):
        for p in range(start[a], start[a + 1]):
            i = index[p]
            if kind[i] == _SETTLED or (kind[i] == _SPOT and quantity[p] < 0.0):
                bounded[a] = False
        has_short = False
        for p in range(start[a], start[a + 1]):
            if quantity[p] < 0.0:
                has_short = True
        if not bounded[a] or not has_short:
            continue
        for p in range(start[a], start[a + 1]):
            i = index[p]
            if kind[i] > _PUT:
                continue
            # The payoff of the expiry at this strike, at 0, and its slope above all strikes.
            at_strike, at_zero, slope, gross = 0.0, 0.0, 0.0, 0.0
            for other in range(start[a], start[a + 1]):
                j = index[other]
                if kind[j] > _PUT or expiry[j] != expiry[i]:
                    continue
                q = quantity[other]
                gross += abs(q)
                if kind[j] == _CALL:
                    slope += q
                    at_strike += q * max(strike[i] - strike[j], 0.0)
                else:
                    at_zero += q * strike[j]
                    at_strike += q * max(strike[j] - strike[i], 0.0)
            least = -_TOLERANCE * gross
            if slope < least or min(at_strike, at_zero) < least * strike[i]:
                bounded[a] = False
                break
