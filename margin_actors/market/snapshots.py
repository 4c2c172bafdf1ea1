"""Market snapshots: indices, forwards, quotes, perpetuals and interest rates at one time."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray
from margin_actors.errors import InvalidMarketData, Problem, raise_if_any
from margin_actors.market.identity import content_id
from margin_actors.market.rates import RateCurve

TIME_MIN = datetime(2009, 1, 3, tzinfo=UTC)
"""Date of the first Bitcoin block; an earlier or equal time is treated as not set."""
FUTURE_MAX = timedelta(days=1)
"""How far the time of a published snapshot may be ahead of the clock."""
PRICE_MIN, PRICE_MAX = 1e-12, 1e15
"""Bounds on index prices and forwards of a published snapshot, US dollars."""
RATE_MAX = 10.0
"""Largest absolute discount rate of a published snapshot, fraction per year."""
HOURS_PER_YEAR = 8760.0
"""Hours in a year of 365 days, the unit of tenors and of annual volatilities."""


@dataclass(frozen=True, slots=True)
class ExpiryForward:
    """One expiry of one underlying."""

    underlying: str
    expiry: datetime
    forward_usd: float
    """Forward price at the snapshot's time for delivery at the expiry, US dollars per coin."""
    tenor_years: float
    """Time from the snapshot to the expiry in years, ACT/365; positive."""


@dataclass(frozen=True)
class OptionQuotes:
    """Listed options, one row per option. All arrays have shape (n_options,)."""

    names: tuple[str, ...]
    expiry_index: IndexArray
    """int32, index of the option's expiry in the snapshot's `expiries`."""
    strike_usd: FloatArray
    """US dollars per coin."""
    is_call: BoolArray
    """True for calls."""
    is_inverse: BoolArray
    """True for options that are settled in the coin."""
    bid: FloatArray
    """Coins per coin for inverse options, US dollars for linear ones; NaN without a bid."""
    ask: FloatArray
    """Unit as `bid`; NaN without an ask."""
    mark: FloatArray
    """Unit as `bid`; NaN if not reported."""
    mark_vol: FloatArray
    """Annual volatility, a fraction; NaN if not reported."""
    open_interest: FloatArray
    """Coins."""
    volume: FloatArray
    """Coins traded over the last day."""
    age_seconds: FloatArray | None = None
    """Time of the snapshot minus the time of each quote, seconds, NaN if not reported; None if no
    quote has a time. It is tested by quality gates and has no other effect."""

    def __len__(self) -> int:
        """Return the number of options."""
        return len(self.names)


@dataclass(frozen=True)
class MarketSnapshot:
    """Market data of one valuation time. Immutable and identified by its content.

    Raises InvalidMarketData if an index or forward is not a positive finite number, an expiry has
    passed, or its underlying has no index price.
    """

    time: datetime
    """Aware, UTC: the valuation time."""
    index_usd: dict[str, float]
    """Index price of each underlying, US dollars per coin."""
    expiries: tuple[ExpiryForward, ...]
    """None has passed. `snapshot_from_quotes` orders them by underlying, then expiry;
    `with_listed_futures` appends."""
    options: OptionQuotes
    is_synthetic: bool = False
    """True for synthetic data; every report says so."""
    origin: str = ""
    """Human-readable description of the source; not part of the id."""
    discount_annual: float = field(default=0.0)
    """Continuously compounded US dollar rate that discounts linear options, fraction per year."""
    perpetual_usd: dict[str, float] = field(default_factory=dict[str, float])
    """Price of the perpetual of each underlying, US dollars per coin; perpetuals of other
    underlyings are priced at the index."""
    rates: RateCurve | None = None
    """US dollar zero rates; for models with `revaluation.rates.use` = "curve", instead of
    `discount_annual`."""

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        for underlying, price in self.index_usd.items():
            if not (np.isfinite(price) and price > 0):
                problems.append(Problem(f"index of {underlying}", f"{price} is not a price"))
        for underlying, price in self.perpetual_usd.items():
            if not (np.isfinite(price) and price > 0):
                problems.append(Problem(f"perpetual of {underlying}", f"{price} is not a price"))
            if underlying not in self.index_usd:
                what = "its underlying has no index price"
                problems.append(Problem(f"perpetual of {underlying}", what))
        for item in self.expiries:
            label = f"{item.underlying} {item.expiry:%Y-%m-%d}"
            if not (np.isfinite(item.forward_usd) and item.forward_usd > 0):
                problems.append(
                    Problem(f"forward of {label}", f"{item.forward_usd} is not a price")
                )
            if not item.tenor_years > 0:
                problems.append(Problem(f"expiry {label}", "has passed"))
            if item.underlying not in self.index_usd:
                problems.append(Problem(f"expiry {label}", "its underlying has no index price"))
        raise_if_any(problems, InvalidMarketData, f"the snapshot of {self.time} is unusable")

    @cached_property
    def id(self) -> str:
        """Content id: snapshots of equal content have equal ids."""
        quotes = self.options
        # Snapshots without later fields keep the ids under which they were stored.
        later: dict[str, object] = {}
        if self.perpetual_usd:
            later["perpetuals"] = self.perpetual_usd
        if self.rates is not None:
            later["rates"] = self.rates.content()
        ages = [] if quotes.age_seconds is None else [quotes.age_seconds]
        return content_id(
            "snapshot",
            {
                "time": self.time.isoformat(),
                "index": self.index_usd,
                "expiries": [
                    [e.underlying, e.expiry.isoformat(), e.forward_usd, e.tenor_years]
                    for e in self.expiries
                ],
                "names": quotes.names,
                "quotes": [
                    quotes.expiry_index,
                    quotes.strike_usd,
                    quotes.is_call,
                    quotes.is_inverse,
                    quotes.bid,
                    quotes.ask,
                    quotes.mark,
                    quotes.mark_vol,
                    quotes.open_interest,
                    quotes.volume,
                    *ages,
                ],
                "synthetic": self.is_synthetic,
                "discount": self.discount_annual,
                **later,
            },
        )

    @cached_property
    def option_row(self) -> dict[str, int]:
        """Row of each option in `options`, keyed by name."""
        return {name: row for row, name in enumerate(self.options.names)}

    @cached_property
    def expiry_row(self) -> dict[tuple[str, datetime], int]:
        """Index of each (underlying, expiry) in `expiries`."""
        return {(e.underlying, e.expiry): i for i, e in enumerate(self.expiries)}


def tenor_years(now: datetime, expiry: datetime) -> float:
    """Return the time from `now` to `expiry` in years of 365 days; negative after the expiry."""
    return (expiry - now).total_seconds() / (HOURS_PER_YEAR * 3600.0)


def publishable_faults(
    snapshot: MarketSnapshot, current_time: datetime | None, now: datetime
) -> list[Problem]:
    """Return every reason not to publish a snapshot; an empty list if it may become current.

    The check applies to published snapshots, on which all accounts are margined. A snapshot read
    from a file need not pass it: one without options is enough to margin futures.

    Parameters
    ----------
    snapshot : MarketSnapshot
    current_time : aware datetime, optional
        Time of the current snapshot; an earlier one is refused. If None, any age is accepted.
    now : aware datetime
        Current time.
    """
    return [
        *_time_faults(snapshot.time, current_time, now),
        *_price_faults(snapshot),
        *_option_faults(snapshot),
    ]


def _time_faults(time: datetime, current_time: datetime | None, now: datetime) -> list[Problem]:
    if time <= TIME_MIN:
        return [Problem("time", f"{time.isoformat()} is not set", "give the valuation time")]
    if time > now + FUTURE_MAX:
        return [
            Problem(
                "time",
                f"{time.isoformat()} is more than {FUTURE_MAX.days} day after the clock",
                f"the clock is at {now.isoformat(timespec='seconds')}; correct the time",
            )
        ]
    if current_time is not None and time < current_time:
        return [
            Problem(
                "time",
                f"{time.isoformat()} is before the current snapshot's {current_time.isoformat()}",
                "publish a newer snapshot, or allow an older one explicitly",
            )
        ]
    return []


def _price_faults(snapshot: MarketSnapshot) -> list[Problem]:
    problems: list[Problem] = []
    if not snapshot.index_usd:
        problems.append(Problem("index prices", "none given", "give one for every underlying"))
    prices = [(f"index of {name}", price) for name, price in snapshot.index_usd.items()]
    prices += [(f"perpetual of {name}", p) for name, p in snapshot.perpetual_usd.items()]
    prices += [
        (f"forward of {e.underlying} {e.expiry:%Y-%m-%d}", e.forward_usd) for e in snapshot.expiries
    ]
    problems += [
        Problem(where, f"{price:g}", f"give a price within {PRICE_MIN:g} to {PRICE_MAX:g}")
        for where, price in prices
        if not PRICE_MIN <= price <= PRICE_MAX
    ]
    if not abs(snapshot.discount_annual) <= RATE_MAX:
        problems.append(
            Problem("discount rate", f"{snapshot.discount_annual:g}", f"at most {RATE_MAX:g}")
        )
    counts = Counter((e.underlying, e.expiry) for e in snapshot.expiries)
    problems += [
        Problem(f"expiry {underlying} {expiry:%Y-%m-%d}", f"given {n} times", "give it once")
        for (underlying, expiry), n in counts.items()
        if n > 1
    ]
    return problems


def _option_faults(snapshot: MarketSnapshot) -> list[Problem]:
    options = snapshot.options
    quoted = np.isfinite(options.mark_vol) | np.isfinite(options.mark)
    quoted |= np.isfinite(options.bid) & np.isfinite(options.ask)
    problems: list[Problem] = []
    if not len(options):
        problems.append(Problem("options", "none given", "give the option chains"))
    elif not np.any(quoted):
        problems.append(
            Problem("options", "none has a mark or both quotes", "give marks, or bid and ask")
        )
    problems += [
        Problem(name, f"given {n} times", "give it once")
        for name, n in Counter(options.names).items()
        if n > 1
    ]
    return problems
