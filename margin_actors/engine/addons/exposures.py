"""Inputs of the add-on charges: greeks and spreads of contracts, and the depth of their markets.

Greeks are those of Black-76 at the contract's own volatility, so that a member can reproduce them:
delta in coins with respect to the forward, vega in US dollars per unit of volatility (divide by 100
for one volatility point).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray
from margin_actors.engine.parameters import AddOnParameters, RevaluationParameters
from margin_actors.engine.revaluation import Contracts, total_deviations
from margin_actors.engine.scenarios import CalibratedDepth
from margin_actors.market.activity import bucket_activity
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.numerics.black76 import black76_delta, black76_vega


@dataclass(frozen=True)
class MarketDepth:
    """Volumes, spreads and open interest of the whole option chain."""

    underlyings: tuple[str, ...]
    """Sorted by name."""
    buckets: tuple[str, ...]
    """Names of the expiry buckets, the same for every underlying; the first is OUTRIGHTS."""
    delta_volume: FloatArray
    """float64 (n_underlyings, n_buckets): option delta traded per day, coins."""
    vega_volume: FloatArray
    """float64 (n_underlyings, n_buckets): vega traded per day, US dollars per unit of volatility;
    at least the volume floor times the median vega of the bucket's options."""
    half_spread_vol: FloatArray
    """float64 (n_underlyings, n_buckets): median of half the bid-ask spread, in volatility as a
    fraction; the parameter's default if no option of the bucket has a positive spread."""
    typical_vol: FloatArray
    """float64 (n_underlyings, n_buckets): mean mark volatility, weighted by vega; NaN without
    options."""
    strike_interest: dict[tuple[str, str, float], float]
    """Open interest of calls and puts, coins, by underlying, expiry (ISO) and strike."""

    @property
    def bucket_labels(self) -> tuple[str, ...]:
        """Display label of each cell, at index underlying * n_buckets + bucket."""
        return tuple(f"{u} {b}" for u in self.underlyings for b in self.buckets)


def market_depth(snapshot: MarketSnapshot, parameters: AddOnParameters) -> MarketDepth:
    """Return the market depth of a snapshot.

    Options without a mark volatility do not enter volumes and spreads; their open interest counts.
    """
    found = bucket_activity(snapshot, parameters.bucket_days)
    typical = np.nan_to_num(found.typical_vega)
    floor = parameters.concentration.volume_floor_coins
    vega_volume = np.maximum(found.vega_volume, floor * typical)
    default = parameters.liquidity.vol_half_spread_default
    spread = np.where(np.isnan(found.half_spread_vol), default, found.half_spread_vol)
    quotes, of = snapshot.options, snapshot.options.expiry_index
    interest: dict[tuple[str, str, float], float] = {}
    for row in range(len(quotes)):
        item = snapshot.expiries[of[row]]
        key = (item.underlying, item.expiry.isoformat(), float(quotes.strike_usd[row]))
        held = float(quotes.open_interest[row])
        interest[key] = interest.get(key, 0.0) + (held if np.isfinite(held) else 0.0)
    return MarketDepth(
        found.underlyings,
        found.buckets,
        found.delta_volume,
        vega_volume,
        spread,
        found.typical_vol,
        interest,
    )


def calibrated_depth(
    depth: MarketDepth, calibrated: CalibratedDepth, index_usd: Mapping[str, float]
) -> MarketDepth:
    """Return the depth of a snapshot with the volumes and spreads calibrated from recorded days.

    Buckets without a calibrated value keep that of the snapshot.

    Parameters
    ----------
    depth : MarketDepth
        Depth of the snapshot.
    calibrated : CalibratedDepth
    index_usd : mapping
        Index of each underlying, US dollars; converts vegas recorded in coins.
    """

    def replaced(now: FloatArray, by: Mapping[tuple[str, str], float], unit: bool) -> FloatArray:
        out = now.copy()
        for u, underlying in enumerate(depth.underlyings):
            for b, bucket in enumerate(depth.buckets):
                value = by.get((underlying, bucket))
                if value is not None:
                    out[u, b] = value * index_usd[underlying] if unit else value
        return out

    return replace(
        depth,
        delta_volume=replaced(depth.delta_volume, calibrated.delta_coins, unit=False),
        vega_volume=replaced(depth.vega_volume, calibrated.vega_coins, unit=True),
        half_spread_vol=replaced(depth.half_spread_vol, calibrated.half_spread_vol, unit=False),
    )


@dataclass(frozen=True)
class ContractRisk:
    """Risk of each contract per unit held; arrays are in the order of the contracts."""

    depth: MarketDepth
    underlying: IndexArray
    """int32 (n_contracts,): index into `depth.underlyings`."""
    bucket: IndexArray
    """int32 (n_contracts,): index into `depth.buckets`."""
    strike: IndexArray
    """int32 (n_contracts,): index into `strike_names`, shared by the options of one underlying,
    expiry and strike; -1 for other contracts."""
    strike_names: tuple[str, ...]
    """Name of each strike, for example ``BTC-26JUN26-100000``."""
    strike_interest: FloatArray
    """float64 (n_strikes,): open interest of calls and puts, coins."""
    delta: FloatArray
    """float64 (n_contracts,): coins per unit."""
    vega: FloatArray
    """float64 (n_contracts,): US dollars per unit of volatility; 0 for everything except
    options."""
    half_spread: FloatArray
    """float64 (n_contracts,): half the bid-ask spread, US dollars per unit."""
    long_cost_max: FloatArray
    """float64 (n_contracts,): most that closing one unit held long costs, US dollars; infinite
    without a bound."""
    open_interest: FloatArray
    """float64 (n_contracts,): open interest of options, coins, with that of the put or call of the
    same strike if a model closes options by parity; NaN if not reported, and for other
    contracts."""
    expires_within: BoolArray
    """bool (n_contracts,): True for options that expire within the margin period of risk."""


def contract_risk(
    contracts: Contracts,
    snapshot: MarketSnapshot,
    revaluation: RevaluationParameters,
    parameters: AddOnParameters,
    *,
    horizon_hours: float,
    depth: MarketDepth | None = None,
    unit_value_usd: FloatArray | None = None,
) -> ContractRisk:
    """Return the risk of `contracts` that the add-on charges require.

    An option without a positive bid-ask spread is assigned that of its bucket, times its vega.

    Parameters
    ----------
    contracts, snapshot
        The contracts and the market in which they are quoted.
    revaluation : RevaluationParameters
        Determines the volatility of each option.
    parameters : AddOnParameters
    horizon_hours : float
        Margin period of risk, hours.
    depth : MarketDepth, optional
        Market depth; that of the snapshot if None.
    unit_value_usd : float64 array of shape (n_contracts,), optional
        Value of one unit, US dollars; required if closing a long option costs at most its value.
    """
    depth = market_depth(snapshot, parameters) if depth is None else depth
    instruments = [instrument_from_name(name) for name in contracts.names]
    underlying = np.array([depth.underlyings.index(i.underlying) for i in instruments], np.int32)
    is_option = np.array([i.kind is Kind.OPTION for i in instruments], np.bool_)
    index = np.array([snapshot.index_usd[u] for u in depth.underlyings])[underlying]
    level, tenor, discount = _of_curves(contracts)
    is_inverse = np.isnan(discount)
    scale = np.where(is_inverse, index / level, discount)
    bucket = _buckets(tenor * 365.0, parameters)
    deviation = np.where(is_option, total_deviations(contracts, revaluation), 1.0)
    delta, vega = _greeks(contracts, deviation, level, np.where(is_option, tenor, 1.0))
    vega = np.where(is_option, scale * vega, 0.0)
    typical = vega * depth.half_spread_vol[underlying, bucket]
    unit_usd = np.where(is_inverse, index, 1.0)
    half, interest = _option_quotes(contracts.names, snapshot, parameters, unit_usd, typical, level)
    half[contracts.expire_within(parameters.close_out.settling_share * horizon_hours)] = 0.0
    outright = parameters.liquidity.outright_half_spread * np.abs(contracts.unit_value) * level
    strike, names, strike_interest = _strikes(contracts, depth)
    return ContractRisk(
        depth=depth,
        underlying=underlying,
        bucket=bucket,
        strike=strike,
        strike_names=names,
        strike_interest=strike_interest,
        delta=np.where(is_option, delta, contracts.unit_value),
        vega=vega,
        half_spread=np.where(is_option, half, outright),
        long_cost_max=_long_cost_max(is_option, unit_value_usd, parameters),
        open_interest=np.where(is_option, interest, np.nan),
        expires_within=is_option & contracts.expire_within(horizon_hours),
    )


def _buckets(days: FloatArray, parameters: AddOnParameters) -> IndexArray:
    """Return the expiry bucket of each contract, int32 (n_contracts,), by its days to expiry."""
    inside = 1 + np.searchsorted(np.array(parameters.bucket_days), days)
    return np.where(days > 0.0, inside, 0).astype(np.int32)


def _of_curves(contracts: Contracts) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (level in US dollars, tenor in years, discount factor or NaN) of each contract."""
    curves, of = contracts.curves, contracts.curve
    discounts = [np.nan if c.discount is None else c.discount for c in curves]
    return (
        np.array([c.level_usd for c in curves])[of],
        np.array([c.tenor_years for c in curves])[of],
        np.array(discounts)[of],
    )


def _greeks(
    contracts: Contracts, deviation: FloatArray, level: FloatArray, years: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return Black-76's (delta in coins, vega in US dollars before scaling) of each contract.

    Arrays are float64 (n_contracts,): volatility times the root of time, forward in US dollars,
    years to expiry. The results are meaningful for options only.
    """
    vol = deviation / np.sqrt(years)
    delta = black76_delta(level, contracts.strike, vol, years, contracts.sign > 0.0)
    return delta, black76_vega(level, contracts.strike, vol, years)


def _long_cost_max(
    is_option: BoolArray, unit_value_usd: FloatArray | None, parameters: AddOnParameters
) -> FloatArray:
    """Return `ContractRisk.long_cost_max`."""
    if not parameters.close_out.value_bound:
        return np.full(is_option.size, np.inf)
    assert unit_value_usd is not None
    return np.where(is_option, np.maximum(unit_value_usd, 0.0), np.inf)


def _option_quotes(
    names: Sequence[str],
    snapshot: MarketSnapshot,
    parameters: AddOnParameters,
    unit_usd: FloatArray,
    typical: FloatArray,
    level: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return (half spread in US dollars, open interest in coins) of one unit of each contract.

    Arrays are float64 (n_contracts,), in US dollars: `unit_usd` is the value of the unit of a
    quote, `typical` the half spread of an option without a quoted one, `level` the forward. The
    results are meaningful for options only.
    """
    half, interest = _quoted(names, snapshot, unit_usd)
    half = np.where(half > 0.0, half, typical)
    if not parameters.close_out.parity:
        return half, interest
    other, further = _quoted(_parity_names(names), snapshot, unit_usd)
    forward = parameters.liquidity.outright_half_spread * level
    half = np.minimum(half, np.where(other > 0.0, other, typical) + forward)
    both = np.nan_to_num(interest) + np.nan_to_num(further)
    return half, np.where(np.isnan(interest) & np.isnan(further), np.nan, both)


def _parity_names(names: Sequence[str]) -> list[str]:
    """Return the name of the put for a call and of the call for a put; others have no listing."""
    other = {"C": "P", "P": "C"}
    return [name[:-1] + other.get(name[-1:], "") for name in names]


def _quoted(
    names: Sequence[str], snapshot: MarketSnapshot, unit_usd: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return (half the bid-ask spread in US dollars, open interest in coins) of each option.

    `unit_usd`, float64 (n_contracts,), is the value of the unit of its quotes in US dollars. Both
    results are NaN for contracts that the chain does not list.
    """
    quotes = snapshot.options
    row = np.array([snapshot.option_row.get(name, -1) for name in names], np.int64)
    listed = (row >= 0) & (len(quotes) > 0)
    half = np.full(row.size, np.nan)
    interest = np.full(row.size, np.nan)
    if listed.any():
        both = 0.5 * (quotes.ask[row[listed]] - quotes.bid[row[listed]])
        half[listed] = both * unit_usd[listed]
        interest[listed] = quotes.open_interest[row[listed]]
    return half, interest


def _strikes(
    contracts: Contracts, depth: MarketDepth
) -> tuple[IndexArray, tuple[str, ...], FloatArray]:
    """Return the strike index of each contract, the strike names, and their open interest."""
    number: dict[tuple[str, str, float], int] = {}
    names: list[str] = []
    out = np.full(len(contracts), -1, np.int32)
    for i, name in enumerate(contracts.names):
        instrument = instrument_from_name(name)
        if instrument.kind is not Kind.OPTION or instrument.expiry is None:
            continue
        key = (instrument.underlying, instrument.expiry.isoformat(), instrument.strike or 0.0)
        if key not in number:
            number[key] = len(names)
            names.append(name.rsplit("-", 1)[0])
        out[i] = number[key]
    interest = np.array([depth.strike_interest.get(key, 0.0) for key in number], np.float64)
    return out, tuple(names), interest
