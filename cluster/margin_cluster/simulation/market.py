"""The market during a simulated day: recorded chains, moved with the index between them.

Rule: until the next recorded chain, the surface of the last one is kept as a function of moneyness
K/F. Index, forwards and perpetuals move by the same factor as the recorded price; each option has
the volatility of the surface at its new moneyness (times a factor in the synthetic crash), its mark
is the Black-76 price at this volatility, and bid and ask keep their ratio to the mark. Tenors
shrink with time, and expired contracts disappear.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray
from margin_actors.errors import MissingMarketData, Problem
from margin_actors.market.snapshots import (
    ExpiryForward,
    MarketSnapshot,
    OptionQuotes,
    tenor_years,
)
from margin_actors.numerics.black76 import black76_price
from margin_cluster.simulation.path import PricePath

_DECIMALS_USD = 2
_DECIMALS_COINS = 8


@dataclass(frozen=True)
class DayMarket:
    """The recorded chains of a day and the path of the index."""

    chains: tuple[MarketSnapshot, ...]
    """At least one, ascending in time; the first is at or before the start of the day."""
    path: PricePath

    def chain_at(self, time: datetime) -> MarketSnapshot:
        """Return the last recorded chain at or before a time.

        Raises
        ------
        MissingMarketData
            If there is none.
        """
        found = [chain for chain in self.chains if chain.time <= time]
        if not found:
            problem = Problem("chain", f"none is recorded at or before {time.isoformat()}")
            raise MissingMarketData("the market of the day is not known", [problem])
        return found[-1]

    def index_at(self, time: datetime) -> dict[str, float]:
        """Return the index of each underlying, US dollars per coin, rounded to a cent."""
        chain = self.chain_at(time)
        return {
            name: round(price * self._ratio(name, chain, time), _DECIMALS_USD)
            for name, price in chain.index_usd.items()
        }

    def snapshot_at(self, time: datetime) -> MarketSnapshot:
        """Return the market at a time, by the rule of this module."""
        chain = self.chain_at(time)
        if chain.time == time:
            return chain
        ratios = {name: self._ratio(name, chain, time) for name in chain.index_usd}
        path = self.path
        factor = path.volatility_factor
        volatility = float(factor[path.row(time)] / factor[path.row(chain.time)])
        return moved_snapshot(chain, time, ratios, volatility_factor=volatility)

    def _ratio(self, underlying: str, chain: MarketSnapshot, time: datetime) -> float:
        if underlying not in self.path.price_usd:
            return 1.0
        return self.path.ratio(underlying, chain.time, time)


def moved_snapshot(
    chain: MarketSnapshot,
    time: datetime,
    ratios: Mapping[str, float],
    *,
    volatility_factor: float = 1.0,
) -> MarketSnapshot:
    """Return a chain at a later time, with index and forwards multiplied by `ratios`.

    Parameters
    ----------
    chain : MarketSnapshot
    time : datetime
        UTC, at or after that of the chain.
    ratios : mapping of underlying to float
        New price divided by that of the chain.
    volatility_factor : float
        Ratio of the volatilities to those of the chain.

    Raises
    ------
    MissingMarketData
        If all expiries have passed.
    """
    index = {name: round(p * ratios[name], _DECIMALS_USD) for name, p in chain.index_usd.items()}
    kept = [row for row, item in enumerate(chain.expiries) if tenor_years(time, item.expiry) > 0]
    if not kept:
        problem = Problem("chain", f"all expiries of {chain.time.isoformat()} have passed")
        raise MissingMarketData("the market of the day is not known", [problem])
    expiries = tuple(
        ExpiryForward(
            item.underlying,
            item.expiry,
            round(item.forward_usd * ratios[item.underlying], _DECIMALS_USD),
            tenor_years(time, item.expiry),
        )
        for item in (chain.expiries[row] for row in kept)
    )
    return replace(
        chain,
        time=time,
        index_usd=index,
        expiries=expiries,
        options=_moved_options(chain, kept, expiries, volatility_factor),
        perpetual_usd={
            name: round(price * ratios[name], _DECIMALS_USD)
            for name, price in chain.perpetual_usd.items()
        },
        origin=f"{chain.origin}, moved with the index to {time:%H:%M}",
    )


def _moved_options(
    chain: MarketSnapshot,
    kept: Sequence[int],
    expiries: tuple[ExpiryForward, ...],
    volatility_factor: float,
) -> OptionQuotes:
    options = chain.options
    new_index = np.full(len(chain.expiries), -1, np.int32)
    new_index[list(kept)] = np.arange(len(kept), dtype=np.int32)
    rows = np.flatnonzero(new_index[options.expiry_index] >= 0)
    expiry_index = new_index[options.expiry_index[rows]]
    old_forward = np.array([item.forward_usd for item in chain.expiries])
    forward = np.array([item.forward_usd for item in expiries])[expiry_index]
    tenor = np.array([item.tenor_years for item in expiries])[expiry_index]
    strike, is_call = options.strike_usd[rows], options.is_call[rows]
    vol = np.full(rows.size, np.nan)
    for position in range(len(expiries)):
        own = expiry_index == position
        F = old_forward[kept[position]]
        equivalent = strike[own] * F / expiries[position].forward_usd
        vol[own] = _volatilities(strike[own], options.mark_vol[rows][own], equivalent)
    vol *= volatility_factor
    inverse = options.is_inverse[rows]
    mark = _marks(forward, strike, vol, tenor, is_call, inverse)
    mark = np.where(np.isfinite(options.mark[rows]), mark, np.nan)
    ratio = mark / np.where(options.mark[rows] > 0, options.mark[rows], np.nan)
    return OptionQuotes(
        names=tuple(options.names[row] for row in rows.tolist()),
        expiry_index=expiry_index.astype(np.int32),
        strike_usd=strike,
        is_call=is_call,
        is_inverse=inverse,
        bid=_positive(options.bid[rows] * ratio),
        ask=_positive(options.ask[rows] * ratio),
        mark=mark,
        mark_vol=np.asarray(np.round(vol, 6), np.float64),
        open_interest=options.open_interest[rows],
        volume=options.volume[rows],
    )


def _marks(
    forward: FloatArray,
    strike: FloatArray,
    vol: FloatArray,
    tenor: FloatArray,
    is_call: BoolArray,
    is_inverse: BoolArray,
) -> FloatArray:
    """Return Black-76 marks, coins per coin or US dollars, float64 (n_options,); NaN without vol.

    All arrays have shape (n_options,); forward and strike in US dollars, tenor in years.
    """
    rounded = np.round(vol, 6)
    known = np.isfinite(rounded)
    out = np.full(strike.size, np.nan)
    root = np.sqrt(tenor[known])
    price = black76_price(forward[known], strike[known], rounded[known] * root, is_call[known])
    out[known] = np.round(
        np.where(is_inverse[known], price / forward[known], price), _DECIMALS_COINS
    )
    return out


def _volatilities(strike: FloatArray, vol: FloatArray, at: FloatArray) -> FloatArray:
    """Return the volatility of one expiry at strikes `at`, linear between the listed strikes.

    All arrays have shape (n_options,): strikes in US dollars, annual volatilities, NaN if unknown.
    Outside the listed strikes the nearest one holds; calls and puts of a strike are averaged.
    """
    known = np.isfinite(vol)
    if not known.any():
        return np.full(at.size, np.nan)
    unique, inverse = np.unique(strike[known], return_inverse=True)
    mean = np.bincount(inverse, weights=vol[known]) / np.bincount(inverse)
    return np.where(known, np.interp(at, unique, mean), np.nan)


def _positive(values: FloatArray) -> FloatArray:
    """Return prices rounded to 8 decimals; NaN if not positive. Shape (n_options,)."""
    rounded = np.round(values, _DECIMALS_COINS)
    return np.where(rounded > 0, rounded, np.nan)
