"""The life of a contract as a pure state machine: events in, the next state and effects out.

``listed → averaging → provisional → final → exercised → delivered → archived``, and ``corrected``
from any state with a final price. A sound delivery price skips ``provisional``; a contract that is
delivered directly skips ``exercised``. From ``corrected`` the contract is exercised or delivered
again, at the next version of the price.

An event that was applied before changes nothing. An event that contradicts one that was applied is
refused.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from margin_actors.clearing.settlement.contracts import Contract
from margin_actors.clearing.settlement.delivery_price import DeliveryPrice
from margin_actors.clearing.settlement.exact import time_problems, utc_text
from margin_actors.clearing.settlement.parameters import DeliveryParameters
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_actors.market.instruments import Kind

LifeState = Literal[
    "listed", "averaging", "provisional", "final", "exercised", "delivered", "corrected",
    "archived",
]  # fmt: skip


@dataclass(frozen=True)
class ContractLife:
    """The state of one dated contract."""

    instrument: str
    underlying: str
    expiry: datetime
    """UTC."""
    averaging_from: datetime
    """Start of the window of the delivery price, UTC."""
    is_two_step: bool
    """True if the contract is an option that is exercised before it is delivered."""
    state: LifeState = "listed"
    computed: DeliveryPrice | None = None
    """The price as computed from the index; it never changes."""
    price: DeliveryPrice | None = None
    """The price that applies; None before the expiry."""
    bookings: tuple["GroupBooked", ...] = ()
    """Everything that was booked, in order, of all versions."""

    @property
    def booked_groups(self) -> tuple[str, ...]:
        """Ids of the groups that were booked last and not reversed, in order."""
        if not self.bookings:
            return ()
        last = self.bookings[-1].version
        ids = (booked.group_id for booked in self.bookings if booked.version == last)
        return tuple(dict.fromkeys(ids))


@dataclass(frozen=True)
class TimePassed:
    """The time is `now` (UTC); earlier times than before are possible and change nothing."""

    now: datetime


@dataclass(frozen=True)
class PriceComputed:
    """The delivery price was computed from the index."""

    price: DeliveryPrice
    now: datetime
    """UTC."""


@dataclass(frozen=True)
class PriceDecided:
    """Two people confirmed a provisional price or corrected a final one."""

    price: DeliveryPrice
    """The result of `confirmed` or `corrected`."""


@dataclass(frozen=True)
class GroupBooked:
    """The ledger committed a group with the exercise or the delivery of the contract.

    One group may contain both, which are then reported one after the other. A lapse counts as
    delivery, and as exercise before it if the contract is settled in two steps.
    """

    step: Literal["exercise", "delivery"]
    version: int
    """Version of the price."""
    group_id: str


@dataclass(frozen=True)
class ArchiveRequested:
    """No correction is possible any more."""


LifeEvent = TimePassed | PriceComputed | PriceDecided | GroupBooked | ArchiveRequested


@dataclass(frozen=True)
class MarginRemainder:
    """From now on only the part of the price that is not averaged yet is margined."""


@dataclass(frozen=True)
class RequestDecision:
    """Two people must decide on a provisional price; nothing is paid until then."""

    price: DeliveryPrice


@dataclass(frozen=True)
class BookExpiry:
    """The exercise or delivery must be booked at the price of `version`."""

    version: int


@dataclass(frozen=True)
class ReverseAndRebook:
    """What was booked must be reversed and booked again in one linked group."""

    groups: tuple[str, ...]
    """Ids of the groups to reverse."""
    version: int
    """Version of the price at which to book."""


@dataclass(frozen=True)
class RemoveContract:
    """The contract leaves the list of contracts that can be settled."""


LifeEffect = MarginRemainder | RequestDecision | BookExpiry | ReverseAndRebook | RemoveContract
Advance = tuple[ContractLife, tuple[LifeEffect, ...]]


def listed(contract: Contract, parameters: DeliveryParameters) -> ContractLife:
    """Return the life of a contract from its listing.

    Raises
    ------
    InvalidRequest
        If the contract does not expire.
    """
    if contract.expiry is None:
        problem = Problem(contract.name, "does not expire")
        raise InvalidRequest("the contract has no delivery", [problem])
    two_step = parameters.two_step_inverse if contract.is_inverse else parameters.two_step_linear
    start = contract.expiry - timedelta(minutes=parameters.window_minutes)
    is_two_step = two_step and contract.kind is Kind.OPTION
    return ContractLife(contract.name, contract.underlying, contract.expiry, start, is_two_step)


def advance(life: ContractLife, event: LifeEvent) -> Advance:
    """Return the next state of a contract and the effects to carry out, in order.

    Parameters
    ----------
    life : ContractLife
    event : LifeEvent

    Raises
    ------
    InvalidRequest
        If the event is not possible in the state, comes before its time or contradicts an event
        that was applied. The state is unchanged.
    """
    if isinstance(event, TimePassed):
        return _time_passed(life, event)
    if isinstance(event, PriceComputed):
        return _price_computed(life, event)
    if isinstance(event, PriceDecided):
        return _price_decided(life, event.price)
    if isinstance(event, GroupBooked):
        return _group_booked(life, event)
    if life.state == "archived":
        return life, ()
    if life.state != "delivered":
        raise _refused(life, "is not delivered", "archive it after the delivery")
    return replace(life, state="archived"), (RemoveContract(),)


def _time_passed(life: ContractLife, event: TimePassed) -> Advance:
    raise_if_any(time_problems(event.now, "now"), InvalidRequest, "the time cannot be used")
    if life.state == "listed" and event.now >= life.averaging_from:
        return replace(life, state="averaging"), (MarginRemainder(),)
    return life, ()


def _price_computed(life: ContractLife, event: PriceComputed) -> Advance:
    raise_if_any(time_problems(event.now, "now"), InvalidRequest, "the time cannot be used")
    price = event.price
    if life.computed is not None:
        if price == life.computed:
            return life, ()
        raise _refused(
            life, "has a delivery price that differs", "two people may decide on another price"
        )
    if event.now < life.expiry:
        raise _refused(life, f"has no delivery price before {utc_text(life.expiry)}")
    if life.state != "averaging":
        raise _refused(life, "is not averaging", "report the time first")
    _require_own(life, price)
    if price.version != 1 or price.decision is not None:
        raise _refused(life, "has no computed price yet that could be decided on")
    known = replace(life, computed=price, price=price)
    if price.status == "provisional":
        return replace(known, state="provisional"), (RequestDecision(price),)
    return replace(known, state="final"), (BookExpiry(price.version),)


def _price_decided(life: ContractLife, price: DeliveryPrice) -> Advance:
    if price == life.price:
        return life, ()
    _require_own(life, price)
    if price.status != "final" or price.decision is None:
        raise _refused(life, "cannot take a price that two people have not decided")
    if life.state == "provisional":
        if price.version != 1:
            raise _refused(life, f"has no final price before version {price.version}")
        return replace(life, state="final", price=price), (BookExpiry(price.version),)
    if life.state not in ("final", "exercised", "delivered", "corrected"):
        raise _refused(life, "has no final price that can be corrected")
    assert life.price is not None
    if price.version != life.price.version + 1:
        raise _refused(
            life, f"has version {life.price.version} of the price",
            f"the correction must have version {life.price.version + 1}, not {price.version}",
        )  # fmt: skip
    effect: LifeEffect = BookExpiry(price.version)
    if life.booked_groups:
        effect = ReverseAndRebook(life.booked_groups, price.version)
    return replace(life, state="corrected", price=price), (effect,)


def _group_booked(life: ContractLife, event: GroupBooked) -> Advance:
    if event in life.bookings:
        return life, ()
    if life.price is None or life.state not in ("final", "corrected", "exercised"):
        raise _refused(life, f"cannot be booked for {event.step}")
    if event.version != life.price.version:
        raise _refused(life, f"has version {life.price.version} of the price, not {event.version}")
    if event.step == "exercise" and (not life.is_two_step or life.state == "exercised"):
        raise _refused(life, "is not exercised" if not life.is_two_step else "is exercised already")
    if event.step == "delivery" and life.is_two_step and life.state != "exercised":
        raise _refused(life, "must be exercised before its delivery")
    state: LifeState = "exercised" if event.step == "exercise" else "delivered"
    return replace(life, state=state, bookings=(*life.bookings, event)), ()


def _require_own(life: ContractLife, price: DeliveryPrice) -> None:
    if (price.underlying, price.expiry) != (life.underlying, life.expiry):
        raise _refused(
            life, f"cannot take the price of {price.underlying} at {utc_text(price.expiry)}"
        )


def _refused(life: ContractLife, what: str, remedy: str = "") -> InvalidRequest:
    problem = Problem(life.instrument, f"{what}; its state is {life.state}", remedy)
    return InvalidRequest("the event is refused", [problem])
