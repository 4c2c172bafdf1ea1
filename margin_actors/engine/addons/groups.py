"""Groups of an account's positions whose stand-alone measure another component requires.

A group holds the account's positions in one underlying, one expiry bucket or one strike. It is
measured like an account, on the same prices. Only groups that can change a requirement are built:
underlyings of accounts that hold more than one, buckets that take longer to close than the margin
period of risk, and strikes of which the account holds a large share of the open interest.
"""

from collections.abc import Collection
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
    """Criterion by which positions are grouped."""

    UNDERLYING = 0
    BUCKET = 1
    STRIKE = 2


@dataclass(frozen=True)
class BucketExposures:
    """Exposures by account, underlying and expiry bucket.

    All arrays are float64 of shape (n_accounts, n_underlyings, n_buckets).
    """

    delta: FloatArray
    """Net delta, coins; positive if the exposure gains when the underlying rises."""
    vega: FloatArray
    """Net vega, US dollars per unit of volatility; long options are positive."""
    vega_long: FloatArray
    """Vega of the long options only, not negative."""
    vega_short: FloatArray
    """Absolute vega of the short options only, not negative."""
    cost: FloatArray
    """Half the bid-ask spread of all positions, scaled up with their size, US dollars."""
    quoted: FloatArray
    """Half the quoted bid-ask spread of all positions, without scaling, US dollars."""


@dataclass(frozen=True)
class AccountGroups:
    """Position groups of the accounts of a book, ascending by account; may be empty."""

    holdings: Holdings
    """Positions of the groups, with groups in place of accounts."""
    owner: IntArray
    """int64 (n_groups,): index of the account, ascending."""
    kind: IndexArray
    """int32 (n_groups,): a `GroupKind`."""
    key: IndexArray
    """int32 (n_groups,), by kind: index of the underlying; underlying * n_buckets + bucket; index
    of the strike."""

    def select(self, first: int, last: int) -> "AccountGroups":
        """Return the groups of accounts [first, last), with owners counted from `first`."""
        begin, end = (int(x) for x in np.searchsorted(self.owner, [first, last]))
        return AccountGroups(
            self.holdings.part(begin, end),
            self.owner[begin:end] - first,
            self.kind[begin:end],
            self.key[begin:end],
        )


@dataclass(frozen=True)
class MemberSizes:
    """Sizes of the net positions of each account's member."""

    delta: FloatArray
    """float64 (n_accounts, n_underlyings, n_buckets): net delta of the member, coins."""
    vega: FloatArray
    """float64 (n_accounts, n_underlyings, n_buckets): net vega, US dollars per unit of volatility;
    long options are positive."""
    quantity: FloatArray
    """float64 (n_positions,): absolute net quantity of the member in the contract, its units."""
    strike_coins: FloatArray
    """float64 (n_positions,): sum of |calls| and |puts| of the member at the strike of the option,
    coins; 0 for other contracts."""

    def select(self, accounts: slice, positions: slice) -> "MemberSizes":
        """Return the sizes of a range of accounts, which hold a range of positions."""
        return MemberSizes(
            self.delta[accounts],
            self.vega[accounts],
            self.quantity[positions],
            self.strike_coins[positions],
        )


@compiled
def _exposures(
    start: IntArray,
    index: IndexArray,
    quantity: FloatArray,
    size: FloatArray,
    underlying: IndexArray,
    bucket: IndexArray,
    delta: FloatArray,
    vega: FloatArray,
    half_spread: FloatArray,
    long_cost_max: FloatArray,
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
                # Open interest not reported (NaN) or zero: the largest factor applies.
                grown = size_factor_max
                if usual > 0.0:
                    ln_ratio, _ = logarithm_in_two_parts(max(size[p] / usual, 1.0))
                    grown = min(exponential(size_power * ln_ratio), size_factor_max)
            cost = quoted * grown
            if q > 0.0:
                cost = min(cost, q * long_cost_max[i])
            out[4, a, u, b] += cost
            out[5, a, u, b] += quoted


def bucket_exposures(
    holdings: Holdings,
    quantity: FloatArray,
    risk: ContractRisk,
    parameters: ModelParameters,
    members: MemberSizes | None = None,
) -> BucketExposures:
    """Return exposures by underlying and bucket, summed in the order of an account's positions.

    Parameters
    ----------
    holdings : Holdings
    quantity : float64 array of shape (n_positions,)
        Signed quantity of each position, in units of its contract; long is positive.
    risk : ContractRisk
        Risk of the contracts to which the holdings refer.
    parameters : ModelParameters
    members : MemberSizes, optional
        Sizes of the members' positions; if given, spreads grow with the size of the member's
        position if that is larger than the account's.
    """
    rules = parameters.addons.liquidity
    size = np.abs(quantity)
    if members is not None:
        size = np.maximum(size, members.quantity)
    shape = (6, holdings.n_accounts, len(risk.depth.underlyings), len(risk.depth.buckets))
    out = np.zeros(shape)
    _exposures(
        holdings.start,
        holdings.index,
        quantity,
        size,
        risk.underlying,
        risk.bucket,
        risk.delta,
        risk.vega,
        risk.half_spread,
        risk.long_cost_max,
        risk.open_interest,
        rules.size_share,
        rules.size_power,
        rules.size_factor_max,
        out,
    )
    return BucketExposures(*out)


@dataclass(frozen=True)
class DaysToClose:
    """Days required to close the exposures of each bucket.

    All arrays are float64 of shape (n_accounts, n_underlyings, n_buckets).
    """

    delta: FloatArray
    """Days to close the delta."""
    vega: FloatArray
    """Days to close the vega."""

    @property
    def days(self) -> FloatArray:
        """The larger of the days for delta and for vega."""
        return np.maximum(self.delta, self.vega)


def days_to_close(
    exposures: BucketExposures,
    risk: ContractRisk,
    parameters: ModelParameters,
    members: MemberSizes | None = None,
) -> DaysToClose:
    """Return exposures divided by the amount that may be closed per day.

    The exposure is that of the member (if given) or of the account, whichever is larger.

    Delta is closed with outrights and the options of the bucket, vega with the options of the
    bucket. The amount per day is the participation rate times the daily volume; the delta volume is
    at least the volume floor of the model.
    """
    rules = parameters.addons.concentration
    depth = risk.depth
    outright = np.array([rules.outright_volume_coins.get(u, 0.0) for u in depth.underlyings])
    floor = rules.volume_floor_coins
    delta = np.maximum(depth.delta_volume + outright[:, None], floor)
    vega = np.maximum(depth.vega_volume, 1e-12)
    sizes = [np.abs(exposures.delta), np.abs(exposures.vega)]
    if members is not None:
        sizes = [
            np.maximum(own, np.abs(whole))
            for own, whole in zip(sizes, (members.delta, members.vega), strict=True)
        ]
    return DaysToClose(
        sizes[0] / (rules.participation * delta),
        np.where(sizes[1] != 0.0, sizes[1] / (rules.participation * vega), 0.0),
    )


def account_groups(
    holdings: Holdings,
    quantity: FloatArray,
    risk: ContractRisk,
    parameters: ModelParameters,
    kinds: Collection[GroupKind],
    members: MemberSizes | None = None,
) -> AccountGroups:
    """Return the position groups of the given kinds.

    Parameters
    ----------
    holdings : Holdings
        Positions of all accounts.
    quantity : float64 array of shape (n_positions,)
        Signed quantity of each position, in units of its contract; long is positive.
    risk : ContractRisk
        Risk of the contracts to which the holdings refer.
    parameters : ModelParameters
    kinds : collection of GroupKind
    members : MemberSizes, optional
        Sizes of the members' positions.
    """
    account = np.repeat(np.arange(holdings.n_accounts), np.diff(holdings.start))
    index = holdings.index
    underlying = risk.underlying[index].astype(np.int64)
    n_buckets = len(risk.depth.buckets)
    cell = underlying * n_buckets + risk.bucket[index]
    # Positions chosen, keys of all positions, kind.
    found: list[tuple[IntArray, IntArray, GroupKind]] = []
    if GroupKind.UNDERLYING in kinds:
        holds = np.zeros((holdings.n_accounts, len(risk.depth.underlyings)), np.bool_)
        holds[account, underlying] = True
        several = holds.sum(axis=1) > 1
        found.append((np.flatnonzero(several[account]), underlying, GroupKind.UNDERLYING))
    if GroupKind.BUCKET in kinds:
        exposures = bucket_exposures(holdings, quantity, risk, parameters)
        days = days_to_close(exposures, risk, parameters, members).days
        slow = days > parameters.horizon_hours_total / 24.0
        chosen = slow.reshape(holdings.n_accounts, -1)[account, cell]
        found.append((np.flatnonzero(chosen), cell, GroupKind.BUCKET))
    if GroupKind.STRIKE in kinds:
        strike = risk.strike[index].astype(np.int64)
        large = _large_strikes(account, strike, quantity, risk, parameters, members)
        found.append((np.flatnonzero(large), strike, GroupKind.STRIKE))
    return _gather(holdings, account, found)


def strike_shares(
    account: IntArray,
    strike: IntArray,
    quantity: FloatArray,
    risk: ContractRisk,
    members: MemberSizes | None = None,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return (key, coins, share) of every strike that an account holds.

    Parameters
    ----------
    account : int64 array of shape (n_positions,)
        Index of the account of each position.
    strike : int64 array of shape (n_positions,)
        Index of the strike in `risk.strike_names`; -1 for positions other than options.
    quantity : float64 array of shape (n_positions,), coins
    risk : ContractRisk
    members : MemberSizes, optional
        Sizes of the members' positions.

    Returns
    -------
    key : int64 array of shape (n_keys,), ascending
        account * n_strikes + strike.
    coins : float64 array of shape (n_keys,)
        Gross quantity, the sum of |calls| and |puts|, of the account or, if larger, of its member.
    share : float64 array of shape (n_keys,), in [0, 1]
        Coins divided by the open interest of the strike; 1 if the open interest is zero.
    """
    n_strikes = max(len(risk.strike_names), 1)
    options = strike >= 0
    key, place = np.unique(account[options] * n_strikes + strike[options], return_inverse=True)
    coins = np.bincount(place, weights=np.abs(quantity[options]), minlength=key.size)
    if members is not None:
        np.maximum.at(coins, place, members.strike_coins[options])
    interest = risk.strike_interest[key % n_strikes] if key.size else np.empty(0)
    share = np.where(interest > 0.0, coins / np.where(interest > 0.0, interest, 1.0), 1.0)
    return key.astype(np.int64), coins.astype(np.float64), np.minimum(share, 1.0)


def _large_strikes(
    account: IntArray,
    strike: IntArray,
    quantity: FloatArray,
    risk: ContractRisk,
    parameters: ModelParameters,
    members: MemberSizes | None,
) -> BoolArray:
    """Return, as bool (n_positions,), the options at a strike with a large share of open interest.

    The share, of the account or of its member, is large from the first step of the model on.
    """
    steps = parameters.addons.concentration.open_interest_steps
    if not steps:
        return np.zeros(strike.size, np.bool_)
    key, _, share = strike_shares(account, strike, quantity, risk, members)
    large = key[share >= steps[0][0]]
    n_strikes = max(len(risk.strike_names), 1)
    return (strike >= 0) & np.isin(account * n_strikes + strike, large)


def _gather(
    holdings: Holdings, account: IntArray, found: list[tuple[IntArray, IntArray, GroupKind]]
) -> AccountGroups:
    """Return the groups in ascending order of account, kind and key."""
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
