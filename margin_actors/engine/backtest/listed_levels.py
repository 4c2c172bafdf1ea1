"""Market levels of a recorded chain, from which benchmark portfolios choose listed contracts."""

from datetime import datetime

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.backtest.portfolios import MarketLevels
from margin_actors.errors import MissingMarketData, Problem
from margin_actors.market.snapshots import MarketSnapshot

NEAR_DAYS, FAR_DAYS = 30.0, 90.0
"""Days to expiry that the near and the far expiry of the benchmark portfolios come closest to."""
_UNDERLYINGS = ("BTC", "ETH")


def listed_levels(snapshot: MarketSnapshot) -> MarketLevels:
    """Return the levels of a snapshot with its listed expiries and strikes.

    The near and the far expiry are those of both underlyings that come closest to 30 and to 90
    days. Strikes are chosen from those at which both expiries list a call and a put with a mark
    volatility. The volatility of an underlying is the mark volatility at the near strike closest to
    the forward.

    Raises
    ------
    MissingMarketData
        If the snapshot lacks an underlying, two common expiries, or common strikes.
    """
    of = {
        u: {e.expiry: i for i, e in enumerate(snapshot.expiries) if e.underlying == u}
        for u in _UNDERLYINGS
    }
    common = sorted(set(of["BTC"]) & set(of["ETH"]))
    if len(common) < 2:
        raise _missing(snapshot, f"{len(common)} expiries are listed for both underlyings")
    near = _closest(common, snapshot.time, NEAR_DAYS)
    far = _closest([e for e in common if e != near], snapshot.time, FAR_DAYS)
    strikes: dict[str, FloatArray] = {}
    vol: dict[str, float] = {}
    for u in _UNDERLYINGS:
        both = set(_marked_strikes(snapshot, of[u][near])) & set(
            _marked_strikes(snapshot, of[u][far])
        )
        if not both:
            raise _missing(snapshot, f"{u} has no strike that both expiries list")
        strikes[u] = np.array(sorted(both), np.float64)
        vol[u] = _volatility_at_money(snapshot, of[u][near], strikes[u])
    return MarketLevels(snapshot.time, near, far, dict(snapshot.index_usd), vol, strikes)


def _missing(snapshot: MarketSnapshot, what: str) -> MissingMarketData:
    return MissingMarketData(
        "the benchmark portfolios cannot be formed",
        [Problem(f"chain of {snapshot.time:%Y-%m-%d %H:%M}", what, "leave out this date")],
    )


def _closest(expiries: list[datetime], now: datetime, days: float) -> datetime:
    return min(expiries, key=lambda e: abs((e - now).total_seconds() / 86_400.0 - days))


def _marked_strikes(snapshot: MarketSnapshot, expiry: int) -> list[float]:
    """Return the strikes of an expiry at which a call and a put have a mark volatility."""
    options = snapshot.options
    own = (options.expiry_index == expiry) & np.isfinite(options.mark_vol)
    calls = set(options.strike_usd[own & options.is_call & options.is_inverse].tolist())
    puts = set(options.strike_usd[own & ~options.is_call & options.is_inverse].tolist())
    return sorted(calls & puts)


def _volatility_at_money(snapshot: MarketSnapshot, expiry: int, strikes: FloatArray) -> float:
    options, forward = snapshot.options, snapshot.expiries[expiry].forward_usd
    strike = strikes[np.abs(strikes - forward).argmin()]
    row = np.flatnonzero(
        (options.expiry_index == expiry)
        & (options.strike_usd == strike)
        & options.is_call
        & options.is_inverse
    )[0]
    return float(options.mark_vol[row])
