"""Arguments of calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Position:
    """A quantity of one instrument."""

    instrument_name: str
    """Exchange name, for example BTC-26JUN26-100000-C or BTC-PERPETUAL."""
    quantity: float
    """Long positive; coins, or US dollars of notional for inverse futures and perpetuals."""


@dataclass(frozen=True, slots=True)
class AccountPosition:
    """A position of an account, for uploads."""

    account_id: str
    member_id: str
    """The account's clearing member."""
    instrument_name: str
    quantity: float
    """As Position.quantity."""


@dataclass(frozen=True, slots=True)
class Trade:
    """A change of one position."""

    account_id: str
    """A new account is opened by its first trade."""
    instrument_name: str
    quantity: float
    """Added to the position; bought positive."""
    member_id: str = ""
    """Required for a new account only."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Trades that are judged together."""

    trades: Mapping[str, float]
    """Change of quantity by instrument; bought positive."""
    candidate_id: str = ""
    """Any name; returned with the answer."""


@dataclass(frozen=True, slots=True)
class Forward:
    """One expiry of one underlying."""

    underlying: str
    expiry: datetime
    """With its timezone."""
    forward_usd: float
    """Today's price of the coin delivered at the expiry."""


@dataclass(frozen=True, slots=True)
class OptionQuote:
    """One listed option; prices in coins for inverse options, else US dollars; NaN if missing."""

    instrument_name: str
    mark_vol: float = float("nan")
    """Annual fraction."""
    bid: float = float("nan")
    ask: float = float("nan")
    mark: float = float("nan")
    open_interest: float = 0.0
    """Coins."""
    volume: float = 0.0
    """Coins over the last day."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A market at one time, except its quotes."""

    time: datetime
    """Valuation time, with its timezone."""
    index_prices: Mapping[str, float]
    """US dollars by underlying."""
    forwards: tuple[Forward, ...]
    discount_annual: float = 0.0
    """Continuously compounded US dollar rate that discounts linear options; fraction a year."""
    is_synthetic: bool = False
    """True for synthetic data."""
