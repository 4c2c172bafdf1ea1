"""Realised profits between two recorded chains, each valued at its own marks.

Unlike the scenarios of a margin, an outcome includes the passage of time: options are valued at the
later chain's forward, mark volatility and remaining time to expiry. Contracts that expire between
the chains are settled at the delivery price, which is estimated from the recorded index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, TimeArray
from margin_actors.engine.parameters import RevaluationParameters
from margin_actors.engine.revaluation import (
    contracts_from_names,
    instrument_faults,
    values_today,
)
from margin_actors.market.instruments import Instrument, Kind, has_expired, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot

AVERAGED_MINUTES = 30.0
"""Minutes before an expiry over which the delivery price averages the index."""
GAP_HOURS_MAX = 12.0
"""Longest time between the two recorded index prices that a delivery price is interpolated from."""
_MARKS = RevaluationParameters(smile="mark", dynamics="sticky_strike", pnl_quantum_usd=None)


@dataclass(frozen=True)
class IndexPath:
    """The recorded index of one underlying."""

    time: TimeArray
    """datetime64[ms] (n_times,), ascending, UTC."""
    index_usd: FloatArray
    """float64 (n_times,), US dollars per coin."""

    def delivery_usd(self, expiry: datetime) -> float:
        """Return the estimated delivery price of an expiry, US dollars per coin.

        The index is interpolated linearly in time between the recorded prices on either side of
        the middle of the averaging period, which gives the mean of the interpolated index over that
        period unless a price was recorded inside it. NaN if the prices are more than
        `GAP_HOURS_MAX` apart or one side has none.
        """
        middle = expiry - timedelta(minutes=AVERAGED_MINUTES / 2.0)
        wanted = np.datetime64(middle.astimezone(UTC).replace(tzinfo=None), "ms")
        after = int(np.searchsorted(self.time, wanted))
        if after == self.time.size or (after == 0 and self.time[0] != wanted):
            return float("nan")
        if self.time[after] == wanted:
            return float(self.index_usd[after])
        ends = self.time[after - 1 : after + 1].astype(np.int64)
        if ends[1] - ends[0] > GAP_HOURS_MAX * 3.6e6:
            return float("nan")
        share = float(wanted.astype(np.int64) - ends[0]) / float(ends[1] - ends[0])
        before_usd, after_usd = (float(x) for x in self.index_usd[after - 1 : after + 1])
        return before_usd + share * (after_usd - before_usd)


def listed_instruments(names: Sequence[str], snapshot: MarketSnapshot) -> BoolArray:
    """Return which instruments a snapshot lists with a mark, bool (n_names,).

    A future needs a listed expiry, a perpetual or spot an index price; unknown names are not
    listed.
    """
    faults = instrument_faults(names, snapshot, {}, _MARKS)
    return np.array(
        [n not in faults and not has_expired(n, snapshot.time) for n in names], np.bool_
    )


def realised_profits(
    names: Sequence[str],
    now: MarketSnapshot,
    then: MarketSnapshot,
    index: Mapping[str, IndexPath],
) -> FloatArray:
    """Return the profit of one unit of each instrument between two snapshots.

    Parameters
    ----------
    names : sequence of str
        Names of instruments; unknown ones are allowed.
    now, then : MarketSnapshot
        The earlier and the later market.
    index : mapping of str to IndexPath
        Recorded index by underlying, for contracts that expire between the snapshots.

    Returns
    -------
    float64 array of shape (n_names,), US dollars
        A profit is positive. NaN if the instrument had expired at the first snapshot, is not listed
        with a mark at one of them, or expires in between without a delivery price.

    Notes
    -----
    Perpetuals and spot move with the index of the chain, which records no price of the perpetual.
    """
    out = np.full(len(names), np.nan)
    live: list[int] = np.flatnonzero(listed_instruments(names, now)).tolist()
    ending = [i for i in live if has_expired(names[i], then.time)]
    later = listed_instruments([names[i] for i in live], then)
    lasting = [i for i, listed in zip(live, later.tolist(), strict=True) if listed]
    for rows, at in ((lasting, then), (ending, None)):
        if rows:
            own = [names[i] for i in rows]
            out[rows] = _profits(own, now, _ends(own, at, index))
    return out


@dataclass(frozen=True)
class _Ends:
    """Levels and values of contracts at the end of the period, float64 (n_contracts,) each."""

    level_usd: FloatArray
    """Forward, index or delivery price, US dollars per coin."""
    option_usd: FloatArray
    """Value of one unit of an option, US dollars; not used for other contracts."""


def _ends(
    names: Sequence[str], then: MarketSnapshot | None, index: Mapping[str, IndexPath]
) -> _Ends:
    """Return the ends of contracts at a snapshot, or of settled contracts if it is None."""
    if then is not None:
        contracts = contracts_from_names(names, then, {}, _MARKS)
        level = np.array([contracts.curves[c].level_usd for c in contracts.curve], np.float64)
        return _Ends(level, values_today(contracts, then, _MARKS))
    items = [instrument_from_name(name) for name in names]
    level = np.array([_delivery(item, index) for item in items], np.float64)
    payoff = [
        max((price - item.strike) * (1.0 if item.is_call else -1.0), 0.0)
        if item.strike is not None and np.isfinite(price)
        else float("nan")
        for item, price in zip(items, level.tolist(), strict=True)
    ]
    return _Ends(level, np.array(payoff, np.float64))


def _delivery(item: Instrument, index: Mapping[str, IndexPath]) -> float:
    path = index.get(item.underlying)
    if path is None or item.expiry is None:
        return float("nan")
    return path.delivery_usd(item.expiry)


def _profits(names: Sequence[str], now: MarketSnapshot, ends: _Ends) -> FloatArray:
    contracts = contracts_from_names(names, now, {}, _MARKS)
    level = np.array([contracts.curves[c].level_usd for c in contracts.curve], np.float64)
    is_option = np.array([instrument_from_name(n).kind is Kind.OPTION for n in names], np.bool_)
    linear = contracts.unit_value * (ends.level_usd - level)
    return np.where(is_option, ends.option_usd - values_today(contracts, now, _MARKS), linear)
