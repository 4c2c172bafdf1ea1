"""The market at one moment: indices, forwards, and the listed options with their quotes."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray
from margin_actors.errors import InvalidMarketData, Problem, raise_if_any
from margin_actors.market.identity import content_id

TIME_MIN = datetime(2009, 1, 3, tzinfo=UTC)
"""Before it there was nothing to margin: a time this early was never set."""
FUTURE_MAX = timedelta(days=1)
"""How far a published snapshot may be ahead of the clock."""
PRICE_MIN, PRICE_MAX = 1e-12, 1e15
"""US dollars: bounds on published index prices and forwards."""
RATE_MAX = 10.0
"""Largest absolute discount rate of a published snapshot, fraction a year."""
HOURS_PER_YEAR = 8760.0
"""Volatilities and tenors run in years of 365 days."""


@dataclass(frozen=True, slots=True)
class ExpiryForward:
    """One expiry of one underlying."""

    underlying: str
    expiry: datetime
    forward_usd: float
    """Price today of the coin delivered at the expiry, US dollars."""
    tenor_years: float
    """Time from the snapshot to the expiry, ACT/365; positive."""


@dataclass(frozen=True)
class OptionQuotes:
    """Listed options, one row each. All arrays have shape (n_options,)."""

    names: tuple[str, ...]
    expiry_index: IndexArray
    """int32, position of the option's expiry in the snapshot's list."""
    strike_usd: FloatArray
    is_call: BoolArray
    is_inverse: BoolArray
    bid: FloatArray
    """Coins a coin of underlying for inverse options, else US dollars; NaN without a bid."""
    ask: FloatArray
    """As `bid`."""
    mark: FloatArray
    """As `bid`; NaN where the source gives none."""
    mark_vol: FloatArray
    """Annual volatility, a fraction; NaN where the source gives none."""
    open_interest: FloatArray
    """Coins."""
    volume: FloatArray
    """Coins over the last day."""

    def __len__(self) -> int:
        """Return the number of options."""
        return len(self.names)


@dataclass(frozen=True)
class MarketSnapshot:
    """Everything the engine knows of the market at `time`. Immutable, named by its content."""

    time: datetime
    """Aware, UTC: the valuation time."""
    index_usd: dict[str, float]
    """Index price per underlying, US dollars."""
    expiries: tuple[ExpiryForward, ...]
    """Ordered by underlying, then expiry; none has passed."""
    options: OptionQuotes
    is_synthetic: bool = False
    """True for made-up data; every report says so."""
    origin: str = ""
    """Where it came from, for people; not part of the id."""
    discount_annual: float = field(default=0.0)
    """Continuously compounded US dollar rate that discounts linear options; fraction a year."""

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        for underlying, price in self.index_usd.items():
            if not (np.isfinite(price) and price > 0):
                problems.append(Problem(f"index of {underlying}", f"{price} is not a price"))
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
        """Content id: equal content has an equal id."""
        quotes = self.options
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
                ],
                "synthetic": self.is_synthetic,
                "discount": self.discount_annual,
            },
        )

    @cached_property
    def option_row(self) -> dict[str, int]:
        """Row of each option by name."""
        return {name: row for row, name in enumerate(self.options.names)}

    @cached_property
    def expiry_row(self) -> dict[tuple[str, datetime], int]:
        """Position of each (underlying, expiry) in `expiries`."""
        return {(e.underlying, e.expiry): i for i, e in enumerate(self.expiries)}


def tenor_years(now: datetime, expiry: datetime) -> float:
    """Return the time from `now` to `expiry` in years of 365 days."""
    return (expiry - now).total_seconds() / (HOURS_PER_YEAR * 3600.0)


def publishable_faults(
    snapshot: MarketSnapshot, current_time: datetime | None, now: datetime
) -> list[Problem]:
    """Return every reason not to publish a snapshot; none for one that may become current.

    A snapshot that is only read from a file need not pass: one without options is enough to margin
    futures. A published one is what all accounts are margined on.

    Parameters
    ----------
    snapshot : MarketSnapshot
    current_time : aware datetime, optional
        Time of the snapshot in use; an earlier snapshot is refused. None: any age is accepted.
    now : aware datetime
        The clock.
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
        problems.append(Problem("index prices", "there is none", "give one for every underlying"))
    prices = [(f"index of {name}", price) for name, price in snapshot.index_usd.items()]
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
        problems.append(Problem("options", "there is none", "give the option chains"))
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
