"""Markets between two snapshots: the later time and prices with the volatilities of the earlier.

To separate the effects of time, prices and volatilities on a requirement, the account has to be
margined in markets that were never observed. In them each option keeps the volatilities that its
own quotes implied (sticky strike), and its quotes are computed again from them.
"""

from dataclasses import replace

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray
from margin_actors.market.snapshots import (
    ExpiryForward,
    MarketSnapshot,
    OptionQuotes,
    tenor_years,
)
from margin_actors.numerics.black76 import black76_implied_deviation, black76_price


def at_time_of(snapshot: MarketSnapshot, other: MarketSnapshot) -> MarketSnapshot:
    """Return a snapshot at the time of another one, with its own prices and volatilities.

    Forwards are kept by expiry; expiries that have passed are dropped. The snapshot itself is
    returned if the times are equal.
    """
    if snapshot.time == other.time:
        return snapshot
    return _moved(snapshot, other, {}, snapshot.index_usd, snapshot.perpetual_usd)


def at_prices_of(snapshot: MarketSnapshot, other: MarketSnapshot) -> MarketSnapshot:
    """Return a snapshot at the time, index and forward prices of another, with its volatilities.

    A forward that the other snapshot lacks keeps its ratio to the index; an index or the price of a
    perpetual that it lacks is kept. The result is `at_time_of` if all prices are equal.
    """
    index = {u: other.index_usd.get(u, price) for u, price in snapshot.index_usd.items()}
    perpetual = {u: other.perpetual_usd.get(u, p) for u, p in snapshot.perpetual_usd.items()}
    forwards: dict[ExpiryForward, float] = {}
    for item in snapshot.expiries:
        row = other.expiry_row.get((item.underlying, item.expiry))
        moved = item.forward_usd * index[item.underlying] / snapshot.index_usd[item.underlying]
        forwards[item] = moved if row is None else other.expiries[row].forward_usd
    live = (e for e in snapshot.expiries if e.expiry > other.time)
    if (
        index == snapshot.index_usd
        and perpetual == snapshot.perpetual_usd
        and all(forwards[e] == e.forward_usd for e in live)
    ):
        return at_time_of(snapshot, other)
    return _moved(snapshot, other, forwards, index, perpetual)


def _moved(
    snapshot: MarketSnapshot,
    other: MarketSnapshot,
    forwards: dict[ExpiryForward, float],
    index_usd: dict[str, float],
    perpetual_usd: dict[str, float],
) -> MarketSnapshot:
    kept = np.array([e.expiry > other.time for e in snapshot.expiries], np.bool_)
    new = [
        replace(
            item,
            forward_usd=forwards.get(item, item.forward_usd),
            tenor_years=tenor_years(other.time, item.expiry),
        )
        for item, is_kept in zip(snapshot.expiries, kept.tolist(), strict=True)
        if is_kept
    ]
    place = np.cumsum(kept) - 1
    rows = np.flatnonzero(kept[snapshot.options.expiry_index])
    options = _chosen(snapshot.options, rows)
    quotes = _Repricing(snapshot, options, tuple(new), place[options.expiry_index])
    return replace(
        snapshot,
        time=other.time,
        index_usd=index_usd,
        perpetual_usd=perpetual_usd,
        expiries=tuple(new),
        options=replace(
            options,
            expiry_index=place[options.expiry_index].astype(np.int32),
            bid=quotes.price(options.bid),
            ask=quotes.price(options.ask),
            mark=quotes.price(options.mark),
        ),
        is_synthetic=snapshot.is_synthetic or other.is_synthetic,
        origin=f"{snapshot.origin}, moved to {other.time:%Y-%m-%d %H:%M:%S}",
    )


def _chosen(options: OptionQuotes, rows: np.ndarray) -> OptionQuotes:
    ages = options.age_seconds
    return OptionQuotes(
        names=tuple(options.names[i] for i in rows.tolist()),
        expiry_index=options.expiry_index[rows],
        strike_usd=options.strike_usd[rows],
        is_call=options.is_call[rows],
        is_inverse=options.is_inverse[rows],
        bid=options.bid[rows],
        ask=options.ask[rows],
        mark=options.mark[rows],
        mark_vol=options.mark_vol[rows],
        open_interest=options.open_interest[rows],
        volume=options.volume[rows],
        age_seconds=None if ages is None else ages[rows],
    )


class _Repricing:
    """Options before and after a move of their forwards and tenors; all arrays (n_options,)."""

    def __init__(
        self,
        snapshot: MarketSnapshot,
        options: OptionQuotes,
        new: tuple[ExpiryForward, ...],
        place: np.ndarray,
    ) -> None:
        before = [snapshot.expiries[i] for i in options.expiry_index.tolist()]
        after = [new[i] for i in place.tolist()]
        self.strike, self.is_call = options.strike_usd, options.is_call
        self.forward = np.array([e.forward_usd for e in before], np.float64)
        self.new_forward = np.array([e.forward_usd for e in after], np.float64)
        tenor = np.array([e.tenor_years for e in before], np.float64)
        new_tenor = np.array([e.tenor_years for e in after], np.float64)
        self.stretch: FloatArray = np.sqrt(new_tenor / tenor)
        self.unit = np.where(options.is_inverse, self.forward, 1.0)
        self.new_unit = np.where(options.is_inverse, self.new_forward, 1.0)

    def price(self, quote: FloatArray) -> FloatArray:
        """Return a quote at the new forward and tenor and at its old volatility, in its own unit.

        A quote that implies no volatility keeps its difference from the intrinsic value.
        """
        usd = quote * self.unit
        deviation = black76_implied_deviation(usd, self.forward, self.strike, self.is_call)
        implied: BoolArray = np.isfinite(deviation)
        moved = black76_price(
            self.new_forward,
            self.strike,
            np.where(implied, deviation, 0.0) * self.stretch,
            self.is_call,
        )
        sign = np.where(self.is_call, 1.0, -1.0)
        own = np.maximum(sign * (self.forward - self.strike), 0.0)
        new = np.maximum(sign * (self.new_forward - self.strike), 0.0)
        return np.where(implied, moved, np.maximum(new + usd - own, 0.0)) / self.new_unit


__all__ = ["at_prices_of", "at_time_of"]
