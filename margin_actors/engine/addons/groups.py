"""Parts of accounts whose own VaR an add-on needs: an underlying, an expiry bucket, a strike.

A group is margined like an account, on the same prices, and belongs to the account it was cut from.
Only groups that can change a figure are made: underlyings of accounts that hold more than one,
buckets that take longer to close than the margin period of risk, strikes with a large share of
their open interest.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.engine.addons.exposures import ContractRisk
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import Holdings
from margin_actors.numerics.elementary import exponential, logarithm_in_two_parts
from margin_actors.numerics.jit import compiled


class GroupKind(IntEnum):
    """What a group is cut by."""

    UNDERLYING = 0
    BUCKET = 1
    STRIKE = 2


@dataclass(frozen=True)
class BucketExposures:
    """Of n_accounts accounts; arrays (n_accounts, n_underlyings, n_buckets)."""

    delta: FloatArray
    """Coins."""
    vega: FloatArray
    """US dollars for one unit of volatility."""
    vega_long: FloatArray
    """Vega of the long options alone."""
    vega_short: FloatArray
    """Vega of the short options alone, positive."""
    cost: FloatArray
    """Half the bid-ask spread of everything held, grown with size, US dollars."""
    quoted: FloatArray
    """The same before growth with size."""


@dataclass(frozen=True)
class AccountGroups:
    """Groups of the accounts of a book, ascending by account; empty arrays where there are none."""

    holdings: Holdings
    """A group each."""
    owner: IntArray
    """int64 (n_groups,): account."""
    kind: IndexArray
    """int32 (n_groups,): a `GroupKind`."""
    key: IndexArray
    """int32 (n_groups,): the underlying; underlying * n_buckets + bucket; the strike."""

    def part(self, first: int, last: int) -> "AccountGroups":
        """Return the groups of accounts [first, last)."""
        begin, end = (int(x) for x in np.searchsorted(self.owner, [first, last]))
        return AccountGroups(
            self.holdings.part(begin, end),
            self.owner[begin:end] - first,
            self.kind[begin:end],
            self.key[begin:end],
        )


@compiled
def _exposures(
    start: IntArray,
    index: IndexArray,
    quantity: FloatArray,
    underlying: IndexArray,
    bucket: IndexArray,
    delta: FloatArray,
    vega: FloatArray,
    half_spread: FloatArray,
    open_interest: FloatArray,
    size_share: float,
    size_power: float,
    size_factor_max: float,
    out: FloatArray,
) -> None:
    for a in range(start.size - 1):
        for p in range(start[a], start[a + 1]):
            i, q = index[p], quantity[p]
            u, b = underlying[i], bucket[i]
            out[0, a, u, b] += q * delta[i]
            v = q * vega[i]
            out[1, a, u, b] += v
            if v > 0.0:
                out[2, a, u, b] += v
            else:
                out[3, a, u, b] -= v
            quoted = abs(q) * half_spread[i]
            grown = 1.0
            if vega[i] > 0.0 and size_power > 0.0:
                usual = size_share * open_interest[i]
                # Nobody says how much is open (NaN), or nothing is: the largest factor.
                grown = size_factor_max
                if usual > 0.0:
                    ln_ratio, _ = logarithm_in_two_parts(max(abs(q) / usual, 1.0))
                    grown = min(exponential(size_power * ln_ratio), size_factor_max)
            out[4, a, u, b] += quoted * grown
            out[5, a, u, b] += quoted


def bucket_exposures(
    holdings: Holdings, quantity: FloatArray, risk: ContractRisk, parameters: ModelParameters
) -> BucketExposures:
    """Return exposures by underlying and bucket, summed in the order of an account's positions."""
    rules = parameters.addons.liquidity
    shape = (6, holdings.n_accounts, len(risk.depth.underlyings), len(risk.depth.buckets))
    out = np.zeros(shape)
    _exposures(
        holdings.start,
        holdings.index,
        quantity,
        risk.underlying,
        risk.bucket,
        risk.delta,
        risk.vega,
        risk.half_spread,
        risk.open_interest,
        rules.size_share,
        rules.size_power,
        rules.size_factor_max,
        out,
    )
    return BucketExposures(*out)


@dataclass(frozen=True)
class DaysToClose:
    """Days in which the exposures of buckets can be closed; (n_accounts, n_u, n_buckets)."""

    delta: FloatArray
    vega: FloatArray

    @property
    def days(self) -> FloatArray:
        """The longer of the two."""
        return np.maximum(self.delta, self.vega)


def days_to_close(
    exposures: BucketExposures, risk: ContractRisk, parameters: ModelParameters
) -> DaysToClose:
    """Return exposure over what may be closed in a day.

    Delta is closed in outrights and in the bucket's options, vega in the bucket's options.
    """
    rules = parameters.addons.concentration
    depth = risk.depth
    outright = np.array([rules.outright_volume_coins.get(u, 0.0) for u in depth.underlyings])
    floor = rules.volume_floor_coins
    delta = np.maximum(depth.delta_volume + outright[:, None], floor)
    vega = np.maximum(depth.vega_volume, 1e-12)
    return DaysToClose(
        np.abs(exposures.delta) / (rules.participation * delta),
        np.where(exposures.vega != 0.0, np.abs(exposures.vega) / (rules.participation * vega), 0.0),
    )


def account_groups(
    holdings: Holdings, quantity: FloatArray, risk: ContractRisk, parameters: ModelParameters
) -> AccountGroups:
    """Return every group of a book's accounts that an add-on needs."""
    account = np.repeat(np.arange(holdings.n_accounts), np.diff(holdings.start))
    index = holdings.index
    underlying = risk.underlying[index].astype(np.int64)
    n_buckets = len(risk.depth.buckets)
    cell = underlying * n_buckets + risk.bucket[index]
    found: list[tuple[IntArray, IntArray, GroupKind]] = []  # positions, their keys
    if parameters.diversification.enabled:
        holds = np.zeros((holdings.n_accounts, len(risk.depth.underlyings)), np.bool_)
        holds[account, underlying] = True
        several = holds.sum(axis=1) > 1
        found.append((np.flatnonzero(several[account]), underlying, GroupKind.UNDERLYING))
    if parameters.addons.concentration.enabled:
        exposures = bucket_exposures(holdings, quantity, risk, parameters)
        days = days_to_close(exposures, risk, parameters).days
        slow = days > parameters.horizon_hours_total / 24.0
        chosen = slow.reshape(holdings.n_accounts, -1)[account, cell]
        found.append((np.flatnonzero(chosen), cell, GroupKind.BUCKET))
        strike = risk.strike[index].astype(np.int64)
        large = _large_strikes(account, strike, quantity, risk, parameters)
        found.append((np.flatnonzero(large), strike, GroupKind.STRIKE))
    return _gather(holdings, account, found)


def strike_shares(
    account: IntArray, strike: IntArray, quantity: FloatArray, risk: ContractRisk
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return (account * n_strikes + strike of each holding, net coins, share of open interest).

    The net of calls and puts at a strike, as coins held either way: |calls| + |puts|.
    """
    n_strikes = max(len(risk.strike_names), 1)
    options = strike >= 0
    key, place = np.unique(account[options] * n_strikes + strike[options], return_inverse=True)
    coins = np.bincount(place, weights=np.abs(quantity[options]), minlength=key.size)
    interest = risk.strike_interest[key % n_strikes] if key.size else np.empty(0)
    share = np.where(interest > 0.0, coins / np.where(interest > 0.0, interest, 1.0), 1.0)
    return key.astype(np.int64), coins.astype(np.float64), np.minimum(share, 1.0)


def _large_strikes(
    account: IntArray,
    strike: IntArray,
    quantity: FloatArray,
    risk: ContractRisk,
    parameters: ModelParameters,
) -> BoolArray:
    """Return which positions stand at a strike of which the account holds a large share."""
    steps = parameters.addons.concentration.open_interest_steps
    if not steps:
        return np.zeros(strike.size, np.bool_)
    key, _, share = strike_shares(account, strike, quantity, risk)
    large = key[share >= steps[0][0]]
    n_strikes = max(len(risk.strike_names), 1)
    return (strike >= 0) & np.isin(account * n_strikes + strike, large)


def _gather(
    holdings: Holdings, account: IntArray, found: list[tuple[IntArray, IntArray, GroupKind]]
) -> AccountGroups:
    """Return the groups, ascending by account, then kind, then key."""
    position = np.concatenate([p for p, _, _ in found]) if found else np.empty(0, np.int64)
    kind = np.concatenate([np.full(p.size, k, np.int64) for p, _, k in found] or [position])
    key = np.concatenate([keys[p] for p, keys, _ in found] or [position])
    order = np.lexsort((position, key, kind, account[position]))
    position, kind, key = position[order], kind[order], key[order]
    owner = account[position]
    if position.size == 0:
        starts = np.zeros(0, np.int64)
    else:
        new = (np.diff(owner) != 0) | (np.diff(kind) != 0) | (np.diff(key) != 0)
        starts = np.append(0, np.flatnonzero(new) + 1)
    return AccountGroups(
        replace(
            holdings,
            start=np.append(starts, position.size).astype(np.int64),
            index=holdings.index[position],
            lots=holdings.lots[position],
        ),
        owner[starts].astype(np.int64),
        kind[starts].astype(np.int32),
        key[starts].astype(np.int32),
    )
