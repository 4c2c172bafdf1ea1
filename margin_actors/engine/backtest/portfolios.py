"""Benchmark portfolios, whose strikes are set on every date from the prices of that date.

Each portfolio has about the size of one bitcoin. Options are coin-settled and expire in about 30
days; the far leg of the calendar spread expires in about 90 days.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.market.books import Book, book_of_portfolios
from margin_actors.market.instruments import expiry_label
from margin_actors.market.snapshots import tenor_years
from margin_actors.numerics.black76 import black76_delta

Positions: TypeAlias = dict[str, float]
_LOT_USD = 10.0


@dataclass(frozen=True)
class MarketLevels:
    """Prices, volatilities and expiries from which the strikes of a date are set."""

    now: datetime
    near: datetime
    """Expiry of the options, about 30 days after `now`."""
    far: datetime
    """Expiry of the far leg of the calendar spread, about 90 days after `now`."""
    index_usd: Mapping[str, float]
    """Index price of each underlying, US dollars."""
    vol: Mapping[str, float]
    """Annual volatility of each underlying, as a fraction."""
    strikes_usd: Mapping[str, FloatArray] = field(default_factory=dict[str, FloatArray])
    """Strikes to choose from, US dollars per coin, float64 (n_strikes,) ascending, by underlying;
    an underlying without an entry has every whole US dollar."""

    def option(self, underlying: str, deviations: float, right: str, *, far: bool = False) -> str:
        """Return the name of an option, with the strike rounded to one that can be chosen.

        Parameters
        ----------
        underlying : str
        deviations : float
            Distance of the strike from the index price, in standard deviations of the log price
            until the near expiry; positive for a strike above the index price.
        right : {"C", "P"}
        far : bool
            Use the far expiry; the strike stays the same.
        """
        years = tenor_years(self.now, self.near)
        away = deviations * self.vol[underlying] * np.sqrt(years)
        level = self.index_usd[underlying] * float(np.exp(away))
        expiry = self.far if far else self.near
        label = f"{underlying}-{expiry_label(expiry)}"
        listed = self.strikes_usd.get(underlying)
        if listed is None:
            return f"{label}-{max(1, round(level))}-{right}"
        strike = float(listed[np.abs(listed - level).argmin()])
        return f"{label}-{strike:.10g}-{right}"

    def notional(self, underlying: str, coins: float) -> float:
        """Return the notional in US dollars of an inverse perpetual on `coins`, in whole lots."""
        return round(coins * self.index_usd[underlying] / _LOT_USD) * _LOT_USD


def _outright(at: MarketLevels) -> Positions:
    return {"BTC-PERPETUAL": at.notional("BTC", 1.0)}


def _straddle(at: MarketLevels) -> Positions:
    return {at.option("BTC", 0.0, "C"): 1.0, at.option("BTC", 0.0, "P"): 1.0}


def _strangle(at: MarketLevels) -> Positions:
    return {at.option("BTC", 1.0, "C"): -1.0, at.option("BTC", -1.0, "P"): -1.0}


def _risk_reversal(at: MarketLevels) -> Positions:
    return {at.option("BTC", 0.7, "C"): 1.0, at.option("BTC", -0.7, "P"): -1.0}


def _calendar(at: MarketLevels) -> Positions:
    return {at.option("BTC", 0.0, "C"): -1.0, at.option("BTC", 0.0, "C", far=True): 1.0}


def _butterfly(at: MarketLevels) -> Positions:
    return {
        at.option("BTC", -1.0, "C"): -1.0,
        at.option("BTC", 0.0, "C"): 2.0,
        at.option("BTC", 1.0, "C"): -1.0,
    }


def _spread(at: MarketLevels) -> Positions:
    coins = at.index_usd["BTC"] / at.index_usd["ETH"]
    return {
        "BTC-PERPETUAL": at.notional("BTC", 1.0),
        "ETH-PERPETUAL": -at.notional("ETH", coins),
    }


def _short_gamma(at: MarketLevels) -> Positions:
    """Return short ether straddles, delta-hedged with the perpetual."""
    index, vol = at.index_usd["ETH"], at.vol["ETH"]
    coins = round(at.index_usd["BTC"] / index, 2)
    call, put = at.option("ETH", 0.0, "C"), at.option("ETH", 0.0, "P")
    strike = float(call.split("-")[2])
    years = tenor_years(at.now, at.near)
    delta = 0.0
    for is_call in (True, False):
        found = black76_delta(
            np.array([index]),
            np.array([strike]),
            np.array([vol]),
            np.array([years]),
            np.array([is_call]),
        )
        delta += float(found[0])
    return {
        call: -coins,
        put: -coins,
        "ETH-PERPETUAL": at.notional("ETH", coins * delta) or _LOT_USD,
    }


PORTFOLIOS: dict[str, Callable[[MarketLevels], Positions]] = {
    "outright": _outright,
    "straddle": _straddle,
    "short strangle": _strangle,
    "risk reversal": _risk_reversal,
    "calendar": _calendar,
    "short butterfly": _butterfly,
    "BTC-ETH spread": _spread,
    "short gamma, hedged": _short_gamma,
}
"""Functions that return the positions of each benchmark portfolio, by portfolio name.

A portfolio is long unless its name says otherwise.
"""


DEFINITIONS: dict[str, str] = {
    "outright": "long one bitcoin of the inverse perpetual",
    "straddle": "long a call and a put at the money on one bitcoin",
    "short strangle": "short a call and a put on one bitcoin, one standard deviation above and "
    "below the index",
    "risk reversal": "long a call and short a put on one bitcoin, 0.7 standard deviations above "
    "and below the index",
    "calendar": "short the near and long the far call at the money on one bitcoin",
    "short butterfly": "long two calls at the money, short one call one standard deviation below "
    "and one above the index",
    "BTC-ETH spread": "long one bitcoin and short ether of equal value, inverse perpetuals",
    "short gamma, hedged": "short ether straddles worth one bitcoin, delta-hedged with the "
    "perpetual",
}
"""What each benchmark portfolio holds; options expire in about 30 days, the far leg in about 90."""


def benchmark_book(at: MarketLevels) -> Book:
    """Return a book with one account per benchmark portfolio, in the order of `PORTFOLIOS`."""
    return book_of_portfolios((name, "benchmark", make(at)) for name, make in PORTFOLIOS.items())
