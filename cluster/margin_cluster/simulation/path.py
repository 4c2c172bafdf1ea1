"""The index during a simulated day, minute by minute: recorded, or a synthetic crash."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.errors import MissingMarketData, Problem
from margin_actors.numerics.counter_random import normals
from margin_actors.numerics.elementary import exponentials

MINUTE_MS = 60_000
_NOISE_STREAM = 1_200_000
_MINUTE_NOISE = 0.0004
"""Standard deviation of the noise of a synthetic minute, a fraction of the price."""
CRASH = ((0.0, 0.0), (2.0, -0.01), (5.0, -0.05), (6.5, -0.16), (7.0, -0.13), (7.75, -0.205),
         (8.25, -0.185), (11.0, -0.145), (15.0, -0.165), (24.0, -0.12))  # fmt: skip
"""The synthetic crash: (hours after the start, logarithm of the price relative to the start);
linear in between, and the last value afterwards. The lowest point is shortly before 08:00."""
_BETA = {"ETH": 1.25}
"""Move of an underlying in multiples of that of BTC; 1 for all others."""
_VOL_PER_FALL = 1.5
"""Rise of ln volatility per unit of fall of ln price in the synthetic crash."""


@dataclass(frozen=True)
class PricePath:
    """Index prices on a grid of times. A price holds until the next one."""

    time_ms: IntArray
    """int64 (n_times,): milliseconds since 1970-01-01 UTC, ascending."""
    price_usd: Mapping[str, FloatArray]
    """float64 (n_times,), US dollars per coin, by underlying; its level need not be that of the
    chains, because only its relative moves are used."""
    volatility_factor: FloatArray
    """float64 (n_times,), ratio of the volatilities to those of the chain; 1 for recorded days."""
    description: str
    """The source, in words."""

    def row(self, time: datetime) -> int:
        """Return the index of the last time at or before `time`; 0 before the first."""
        stamp = milliseconds(time)
        return max(int(np.searchsorted(self.time_ms, stamp, side="right")) - 1, 0)

    def ratio(self, underlying: str, since: datetime, until: datetime) -> float:
        """Return the price at `until` divided by that at `since`."""
        prices = self.price_usd[underlying]
        return float(prices[self.row(until)] / prices[self.row(since)])


def milliseconds(time: datetime) -> int:
    """Return a time as whole milliseconds since 1970-01-01 UTC."""
    return round(time.timestamp() * 1000)


def time_of(stamp_ms: int) -> datetime:
    """Return the time of whole milliseconds since 1970-01-01 UTC."""
    return datetime.fromtimestamp(stamp_ms / 1000, UTC)


def recorded_path(
    closes: Mapping[str, Sequence[tuple[int, float]]],
    first: datetime,
    last: datetime,
    description: str,
) -> PricePath:
    """Return the recorded closes of a day on a grid of whole minutes; a close holds until the next.

    Parameters
    ----------
    closes : mapping of underlying to pairs
        (end of the candle in milliseconds since 1970-01-01 UTC, close in US dollars), ascending.
    first, last : datetime
        UTC, both inclusive.
    description : str

    Raises
    ------
    MissingMarketData
        If an underlying has no close at or before the first minute.
    """
    time_ms = _minutes(first, last)
    prices: dict[str, FloatArray] = {}
    for underlying, pairs in closes.items():
        stamps = np.array([stamp for stamp, _ in pairs], np.int64)
        values = np.array([value for _, value in pairs], np.float64)
        row = np.searchsorted(stamps, time_ms, side="right") - 1
        if not stamps.size or row[0] < 0:
            what = f"no recorded price at or before {first:%Y-%m-%d %H:%M} UTC"
            problem = Problem(underlying, what, "give --data with prices of the day")
            raise MissingMarketData("the index of the day is not known", [problem])
        prices[underlying] = values[row]
    return PricePath(time_ms, prices, np.ones(time_ms.size), description)


def crash_path(underlyings: Sequence[str], first: datetime, last: datetime, seed: int) -> PricePath:
    """Return the synthetic crash on a grid of whole minutes; prices are relative to the start.

    Parameters
    ----------
    underlyings : sequence of str
    first, last : datetime
        UTC, both inclusive.
    seed : int
        Of the noise of each minute, which is the same for equal arguments on every machine.
    """
    time_ms = _minutes(first, last)
    hours = (time_ms - time_ms[0]) / 3_600_000.0
    knots, levels = np.array(CRASH).T
    base = np.interp(hours, knots, levels)
    prices: dict[str, FloatArray] = {}
    for number, underlying in enumerate(underlyings):
        noise = _MINUTE_NOISE * normals(seed, _NOISE_STREAM + number, time_ms.size)
        noise[0] = 0.0
        prices[underlying] = exponentials(_BETA.get(underlying, 1.0) * base + noise)
    factor = exponentials(-_VOL_PER_FALL * base)
    return PricePath(time_ms, prices, factor, "synthetic crash")


def _minutes(first: datetime, last: datetime) -> IntArray:
    start = milliseconds(first.replace(second=0, microsecond=0))
    if start < milliseconds(first):
        start += MINUTE_MS
    end = milliseconds(last + timedelta(minutes=1))
    return np.arange(start, end, MINUTE_MS, dtype=np.int64)
