"""Records of a story, and the form in which it writes amounts, times and shares."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from margin_actors.clearing.amounts import USD, Asset, value_of
from margin_actors.clearing.house.events import HouseEvent

_MINUS = "\N{MINUS SIGN}"


class Logged(Protocol):
    """An event with what the log records beside it."""

    @property
    def number(self) -> int:
        """Number of the event in the log of the clearing house, from 1."""
        ...

    @property
    def event(self) -> HouseEvent:
        """The event."""
        ...

    @property
    def actor(self) -> str:
        """The person or process that caused it."""
        ...

    @property
    def recorded_at(self) -> datetime:
        """Time of the ledger clock, UTC."""
        ...

    @property
    def hash(self) -> str:
        """Hash of the entry, which covers all entries before it."""
        ...


class Topic(StrEnum):
    """What a line is about."""

    ACCOUNT = "account"
    RULES = "rules"
    REQUIREMENT = "requirement"
    CALL = "call"
    PAYMENT = "payment"
    SETTLEMENT = "settlement"
    TRADE = "trade"
    WITHDRAWAL = "withdrawal"
    RESERVATION = "reservation"
    DECISION = "decision"
    ALARM = "alarm"


class Tone(StrEnum):
    """How a line is emphasised."""

    PLAIN = "plain"
    GOOD = "good"
    """An obligation was met."""
    WARNING = "warning"
    """Something is owed or doubtful."""
    BAD = "bad"
    """A deadline was missed, or the account is in default."""


@dataclass(frozen=True)
class Statement:
    """What one event means for the account, without its place in the log."""

    topic: Topic
    title: str
    """A few words, for example ``Margin call issued``."""
    text: str
    """Sentences with all amounts and times."""
    tone: Tone = Tone.PLAIN
    people: tuple[str, ...] = ()
    """Who decided besides the actor, with the role: ``approved by bob``."""
    references: tuple[tuple[str, str], ...] = ()
    """Pairs (what, identifier): call, tranche, payment, calculation, model, trade."""


@dataclass(frozen=True)
class StoryLine:
    """One line of a story, with the entry of the log that proves it."""

    statement: Statement
    at: datetime
    """Time of the ledger clock, UTC."""
    number: int
    """Number of the event in the log."""
    event_id: str
    entry_hash: str
    actor: str


@dataclass(frozen=True)
class AccountPosition:
    """Where the account stands at one end of the period; amounts in US cents."""

    at: datetime | None
    """UTC; None before the first entry of the log."""
    number: int
    """Number of the last event that is included."""
    requirement_cents: int | None
    """None before the first calculation."""
    resources_cents: int | None
    """None if the account is not open, or cannot be valued without a price."""
    call: str
    """The open call in words, or that there is none."""
    balances: tuple[str, ...]
    """Collateral and settled cash by asset, as text."""


@dataclass(frozen=True)
class Story:
    """What happened to one account during a period."""

    account: str
    member: str
    """Empty if the account is not open."""
    call_account: str
    """The account in whose name calls are issued: another one of the member if they net."""
    opening: AccountPosition
    lines: tuple[StoryLine, ...]
    closing: AccountPosition
    cycles: int
    """Number of requirement cycles of the account in the period; not each of them has a line."""
    models: tuple[str, ...]
    """Identifiers of the margin models of these cycles."""


def money(cents: int) -> str:
    """Return an amount in US cents as text, for example ``USD 1,240,000.00``."""
    return amount(cents, USD)


def amount(units: int, asset: Asset) -> str:
    """Return an amount in units of an asset as text, for example ``BTC 1.50000000``."""
    digits = min(asset.decimals, 2) if asset.name in ("USD", "USDC", "USDT") else asset.decimals
    value = value_of(abs(units), asset)
    exact = value == round(value, digits)
    shown = f"{value:,.{digits}f}" if exact else f"{value:,f}"
    name = "USD" if asset.name == "MARGIN" else asset.name
    return f"{_MINUS if units < 0 else ''}{name} {shown}"


def signed_money(cents: int) -> str:
    """Return a change in US cents with its sign, for example ``+USD 10.00``."""
    return money(cents) if cents < 0 else f"+{money(cents)}"


def share(fraction: Decimal | float, digits: int = 1) -> str:
    """Return a change as a signed percentage, for example ``+4.5 %``."""
    return f"{100 * float(fraction):+.{digits}f} %".replace("-", _MINUS)


def number(value: Decimal) -> str:
    """Return a quantity or price without trailing zeros, for example ``−1,234.5``."""
    whole = f"{abs(value):,f}"
    shown = whole.rstrip("0").rstrip(".") if "." in whole else whole
    return f"{_MINUS if value < 0 else ''}{shown}"


def moment(time: datetime) -> str:
    """Return a time to the second with its date, for example ``2026-02-05 14:35:16 UTC``."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def listed(parts: Iterable[str]) -> str:
    """Return parts as a list in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    *first, last = list(parts) or [""]
    return f"{', '.join(first)} and {last}" if first else last
