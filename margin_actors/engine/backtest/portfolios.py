"""The benchmark portfolios: struck anew on every date at that date's prices.

Sizes are those of one bitcoin's worth; options have about 30 days to run (the calendar's far leg
90) and are coin-settled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np

from margin_actors.market.instruments import expiry_label
from margin_actors.market.portfolios import Book
from margin_actors.market.snapshots import tenor_years
from margin_actors.numerics.black76 import black76_delta

Positions: TypeAlias = dict[str, float]
_LOT_USD = 10.0


@dataclass(frozen=True)
class Strike:
    """Where options are struck on a date."""

    now: datetime
    near: datetime
    far: datetime
    index_usd: Mapping[str, float]
    vol: Mapping[str, float]
    """Annual volatility of each underlying, a fraction."""

    def option(self, underlying: str, deviations: float, right: str, *, far: bool = False) -> str:
        """Return the option struck so many standard deviations of 30 days from the money."""
        years = tenor_years(self.now, self.near)
        away = deviations * self.vol[underlying] * np.sqrt(years)
        strike = max(1, round(self.index_usd[underlying] * float(np.exp(away))))
        expiry = self.far if far else self.near
        return f"{underlying}-{expiry_label(expiry)}-{strike}-{right}"

    def notional(self, underlying: str, coins: float) -> float:
        """Return the notional of an inverse perpetual on so many coins, in whole lots."""
        return round(coins * self.index_usd[underlying] / _LOT_USD) * _LOT_USD


def _outright(at: Strike) -> Positions:
    return {"BTC-PERPETUAL": at.notional("BTC", 1.0)}


def _straddle(at: Strike) -> Positions:
    return {at.option("BTC", 0.0, "C"): 1.0, at.option("BTC", 0.0, "P"): 1.0}


def _strangle(at: Strike) -> Positions:
    return {at.option("BTC", 1.0, "C"): -1.0, at.option("BTC", -1.0, "P"): -1.0}


def _risk_reversal(at: Strike) -> Positions:
    return {at.option("BTC", 0.7, "C"): 1.0, at.option("BTC", -0.7, "P"): -1.0}


def _calendar(at: Strike) -> Positions:
    return {at.option("BTC", 0.0, "C"): -1.0, at.option("BTC", 0.0, "C", far=True): 1.0}


def _butterfly(at: Strike) -> Positions:
    return {
        at.option("BTC", -1.0, "C"): -1.0,
        at.option("BTC", 0.0, "C"): 2.0,
        at.option("BTC", 1.0, "C"): -1.0,
    }


def _spread(at: Strike) -> Positions:
    coins = at.index_usd["BTC"] / at.index_usd["ETH"]
    return {
        "BTC-PERPETUAL": at.notional("BTC", 1.0),
        "ETH-PERPETUAL": -at.notional("ETH", coins),
    }


def _short_gamma(at: Strike) -> Positions:
    """Short straddles of ether with their delta hedged in the perpetual."""
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


PORTFOLIOS: dict[str, Callable[[Strike], Positions]] = {
    "outright": _outright,
    "straddle": _straddle,
    "short strangle": _strangle,
    "risk reversal": _risk_reversal,
    "calendar": _calendar,
    "short butterfly": _butterfly,
    "BTC-ETH spread": _spread,
    "short gamma, hedged": _short_gamma,
}
"""Long unless the name says otherwise."""


def benchmark_book(at: Strike) -> Book:
    """Return the benchmark portfolios as accounts of one book, in their order."""
    held = {name: make(at) for name, make in PORTFOLIOS.items()}
    instruments = tuple(sorted({n for positions in held.values() for n in positions}))
    place = {name: i for i, name in enumerate(instruments)}
    rows = [sorted((place[n], q) for n, q in positions.items()) for positions in held.values()]
    return Book(
        accounts=tuple(held),
        members=tuple("benchmark" for _ in held),
        instruments=instruments,
        start=np.cumsum([0, *(len(r) for r in rows)]).astype(np.int64),
        instrument_index=np.array([i for r in rows for i, _ in r], np.int32),
        quantity=np.array([q for r in rows for _, q in r], np.float64),
    )
