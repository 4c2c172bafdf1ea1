"""Classes of the arguments of calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Position:
    """A quantity of one instrument."""

    instrument_name: str
    """Exchange name, for example BTC-26JUN26-100000-C or BTC-PERPETUAL."""
    quantity: float
    """Long positive. Unit: coins; US dollars of notional for inverse futures and perpetuals."""


@dataclass(frozen=True, slots=True)
class AccountPosition:
    """A position of an account, for an upload of positions."""

    account_id: str
    """1 to 128 printable characters, without a space at either end."""
    member_id: str
    """The account's clearing member; the same rules as for account_id."""
    instrument_name: str
    quantity: float
    """Sign and unit as Position.quantity."""


@dataclass(frozen=True, slots=True)
class Trade:
    """A change of one position."""

    account_id: str
    """A new account is opened by its first trade."""
    instrument_name: str
    quantity: float
    """Change of the position, bought positive; unit as Position.quantity."""
    member_id: str = ""
    """Required for a new account only."""


@dataclass(frozen=True, slots=True)
class ClearedTrade:
    """A trade between two clearing accounts."""

    trade_id: str
    """Used once."""
    instrument_name: str
    buyer_account_id: str
    seller_account_id: str
    quantity: str
    """Decimal, positive, at most 9 decimals; unit as Position.quantity."""
    price: str = ""
    """Decimal: US dollars per coin; for options the premium per coin, in coins if they are inverse.
    Empty for the price in the current snapshot."""
    buyer_quote_id: str = ""
    """Quote whose reservation of the buyer the trade uses."""
    seller_quote_id: str = ""


@dataclass(frozen=True, slots=True)
class CallAction:
    """An action on a margin call that requires two people."""

    account_id: str
    call_id: str
    kind: Literal["hold", "extend", "cancel", "declare_default"]
    reason: str
    """Why; part of what is approved."""
    tranche: int = 0
    """Number of the tranche to extend."""
    due_time: datetime | None = None
    """New due time of the tranche to extend; must have a timezone."""
    call_class: Literal["initial", "variation", "default_fund"] = "initial"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Trades whose joint effect on a margin is simulated."""

    trades: Mapping[str, float]
    """Change of quantity by instrument name, bought positive; unit as Position.quantity."""
    candidate_id: str = ""
    """Name chosen by the caller; returned with the answer."""


@dataclass(frozen=True, slots=True)
class Forward:
    """The forward price of one expiry of one underlying."""

    underlying: str
    expiry: datetime
    """Time of expiry; must have a timezone."""
    forward_usd: float
    """Current price of the coin for delivery at the expiry, US dollars."""


@dataclass(frozen=True, slots=True)
class OptionQuote:
    """The quote of one listed option.

    Prices are in coins per coin of underlying for inverse options, otherwise in US dollars. A
    missing price or volatility is NaN.
    """

    instrument_name: str
    mark_vol: float = float("nan")
    """Annual volatility of the mark price, as a fraction."""
    bid: float = float("nan")
    ask: float = float("nan")
    mark: float = float("nan")
    open_interest: float = 0.0
    """Open interest in coins."""
    volume: float = 0.0
    """Volume over the last day, in coins."""
    age_seconds: float = float("nan")
    """Age of the quote at the snapshot's time, seconds; NaN if it is not known."""


@dataclass(frozen=True, slots=True)
class RateCurve:
    """Continuously compounded zero rates of US dollars."""

    day: date
    """Day of the most recent of the published values."""
    tenor_years: tuple[float, ...]
    """Times of the nodes, years of 365 days; positive and ascending."""
    zero_rate: tuple[float, ...]
    """Rates to the nodes, annual fractions."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a market at one time, without the option quotes."""

    time: datetime
    """Valuation time; must have a timezone."""
    index_prices: Mapping[str, float]
    """Index price by underlying, US dollars."""
    forwards: tuple[Forward, ...]
    """One forward per underlying and expiry."""
    discount_annual: float = 0.0
    """Continuously compounded US dollar rate that discounts linear options; annual fraction."""
    is_synthetic: bool = False
    """True for synthetic data."""
    perpetual_prices: Mapping[str, float] = field(default_factory=dict[str, float])
    """Price of the perpetual by underlying, US dollars; others are priced at the index."""
    rates: RateCurve | None = None
    """Interest rates for models that discount at a curve."""
