"""Inputs of the add-on charges: greeks and spreads of contracts, and the depth of their markets.

Greeks are those of Black-76 at the contract's own volatility, so that a member can reproduce them:
delta in coins with respect to the forward, vega in US dollars per unit of volatility (divide by 100
for one volatility point).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray
from margin_actors.engine.parameters import AddOnParameters, RevaluationParameters
from margin_actors.engine.revaluation import Contracts, total_deviations
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.numerics.black76 import black76_delta, black76_vega

OUTRIGHTS = "outrights"
"""Name of the bucket of perpetuals and spot."""


def bucket_names(bucket_days: tuple[float, ...]) -> tuple[str, ...]:
    """Return the names of the expiry buckets whose upper ends are `bucket_days`, in days.

    Examples
    --------
    >>> bucket_names((7.0, 30.0))
    ('outrights', '0-7 d', '7-30 d', 'over 30 d')
    """
    edges = (0.0, *bucket_days)
    inner = [f"{a:g}-{b:g} d" for a, b in pairwise(edges)]
    return (OUTRIGHTS, *inner, f"over {edges[-1]:g} d")


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
    quotes, names = snapshot.options, bucket_names(parameters.bucket_days)
    underlyings = tuple(sorted(snapshot.index_usd))
    place = {u: i for i, u in enumerate(underlyings)}
    of = quotes.expiry_index
    underlying = np.array([place[e.underlying] for e in snapshot.expiries], np.int64)[of]
    tenor = np.array([e.tenor_years for e in snapshot.expiries], np.float64)[of]
    forward = np.array([e.forward_usd for e in snapshot.expiries], np.float64)[of]
    index = np.array([snapshot.index_usd[u] for u in underlyings])[underlying]
    bucket = 1 + np.searchsorted(np.array(parameters.bucket_days), tenor * 365.0)
    known = np.isfinite(quotes.mark_vol) & (quotes.mark_vol > 0.0)
    vol = np.where(known, quotes.mark_vol, 1.0)
    delta = np.abs(black76_delta(forward, quotes.strike_usd, vol, tenor, quotes.is_call))
    scale = np.where(quotes.is_inverse, index / forward, 1.0)
    vega = scale * black76_vega(forward, quotes.strike_usd, vol, tenor)
    volume = np.where(known & np.isfinite(quotes.volume), quotes.volume, 0.0)
    half = 0.5 * (quotes.ask - quotes.bid) * np.where(quotes.is_inverse, index, 1.0)
    points = np.where(vega > 0.0, half / np.where(vega > 0.0, vega, 1.0), np.nan)
    cells = (len(underlyings), len(names))
    delta_volume, vega_volume = np.zeros(cells), np.zeros(cells)
    spread = np.full(cells, parameters.liquidity.vol_half_spread_default)
    floor = parameters.concentration.volume_floor_coins
    for u in range(cells[0]):
        for b in range(1, cells[1]):
            here = (underlying == u) & (bucket == b) & known
            delta_volume[u, b] = float((volume * delta)[here].sum())
            typical = float(np.median(vega[here])) if here.any() else 0.0
            vega_volume[u, b] = max(float((volume * vega)[here].sum()), floor * typical)
            seen = points[here & (points > 0.0)]
            if seen.size:
                spread[u, b] = float(np.median(seen))
    interest: dict[tuple[str, str, float], float] = {}
    for row in range(len(quotes)):
        item = snapshot.expiries[of[row]]
        key = (item.underlying, item.expiry.isoformat(), float(quotes.strike_usd[row]))
        held = float(quotes.open_interest[row])
        interest[key] = interest.get(key, 0.0) + (held if np.isfinite(held) else 0.0)
    return MarketDepth(underlyings, names, delta_volume, vega_volume, spread, interest)


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
    open_interest: FloatArray
    """float64 (n_contracts,): open interest of options, coins; NaN if not reported, and for other
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
) -> ContractRisk:
    """Return the risk of `contracts` that the add-on charges require.

    An option without a positive bid-ask spread is assigned the half spread of its bucket, see
    `MarketDepth.half_spread_vol`, times its vega.

    Parameters
    ----------
    contracts : Contracts
    snapshot : MarketSnapshot
        Market in which the contracts are quoted.
    revaluation : RevaluationParameters
        Determines the volatility of each option.
    parameters : AddOnParameters
    horizon_hours : float
        Margin period of risk, hours.
    depth : MarketDepth, optional
        Market depth of the snapshot; computed if None.
    """
    depth = market_depth(snapshot, parameters) if depth is None else depth
    instruments = [instrument_from_name(name) for name in contracts.names]
    underlying = np.array([depth.underlyings.index(i.underlying) for i in instruments], np.int32)
    is_option = np.array([i.kind is Kind.OPTION for i in instruments], np.bool_)
    index = np.array([snapshot.index_usd[u] for u in depth.underlyings])[underlying]
    level = np.array([c.level_usd for c in contracts.curves])[contracts.curve]
    tenor = np.array([c.tenor_years for c in contracts.curves])[contracts.curve]
    discounts = [np.nan if c.discount is None else c.discount for c in contracts.curves]
    discount = np.array(discounts)[contracts.curve]
    is_inverse = np.isnan(discount)
    scale = np.where(is_inverse, index / level, discount)
    bucket = _buckets(tenor * 365.0, parameters)
    years = np.where(is_option, tenor, 1.0)
    vol = np.where(is_option, total_deviations(contracts, revaluation), 1.0) / np.sqrt(years)
    option_delta = black76_delta(level, contracts.strike, vol, years, contracts.sign > 0.0)
    vega = np.where(is_option, scale * black76_vega(level, contracts.strike, vol, years), 0.0)
    half, interest = _quoted(contracts, snapshot, np.where(is_inverse, index, 1.0))
    typical = vega * depth.half_spread_vol[underlying, bucket]
    outright = parameters.liquidity.outright_half_spread * np.abs(contracts.unit_value) * level
    strike, names, strike_interest = _strikes(contracts, depth)
    return ContractRisk(
        depth=depth,
        underlying=underlying,
        bucket=bucket,
        strike=strike,
        strike_names=names,
        strike_interest=strike_interest,
        delta=np.where(is_option, option_delta, contracts.unit_value),
        vega=vega,
        half_spread=np.where(is_option, np.where(half > 0.0, half, typical), outright),
        open_interest=np.where(is_option, interest, np.nan),
        expires_within=is_option & contracts.expire_within(horizon_hours),
    )


def _buckets(days: FloatArray, parameters: AddOnParameters) -> IndexArray:
    """Return the expiry bucket of each contract, int32 (n_contracts,), by its days to expiry."""
    inside = 1 + np.searchsorted(np.array(parameters.bucket_days), days)
    return np.where(days > 0.0, inside, 0).astype(np.int32)


def _quoted(
    contracts: Contracts, snapshot: MarketSnapshot, unit_usd: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return (half the bid-ask spread in US dollars, open interest in coins) of each contract.

    `unit_usd`, float64 (n_contracts,), is the value of the unit of its quotes in US dollars. Both
    results are NaN for contracts that the chain does not list.
    """
    quotes = snapshot.options
    row = np.array([snapshot.option_row.get(name, -1) for name in contracts.names], np.int64)
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
