"""The settlement of a day: groups of daily settlement and of expiry, and the batch that links them.

Funding and variation close before a delivery. The groups of one time form a batch, which is applied
in its order, as a whole or not at all; a later correction concerns one group only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property

from margin_actors.clearing.settlement.contracts import Contract
from margin_actors.clearing.settlement.delivery_price import DeliveryPrice
from margin_actors.clearing.settlement.events import SettlementEvent, joined_id
from margin_actors.clearing.settlement.exact import time_problems, utc_text
from margin_actors.clearing.settlement.expiry import (
    delivery_fees,
    exercise,
    future_delivery,
    option_delivery,
)
from margin_actors.clearing.settlement.funding import FundingSession, funding
from margin_actors.clearing.settlement.groups import SettlementGroup, linked_group
from margin_actors.clearing.settlement.parameters import SettlementParameters
from margin_actors.clearing.settlement.positions import Cutoff, PositionChange
from margin_actors.clearing.settlement.variation import variation
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_actors.market.identity import content_id
from margin_actors.market.instruments import Kind, expiry_label

_PURPOSE_ORDER = {"trade": 0, "daily": 1, "expiry": 2}


@dataclass(frozen=True)
class Held:
    """A contract with all changes of its positions up to the cutoff."""

    contract: Contract
    changes: tuple[PositionChange, ...]


@dataclass(frozen=True)
class SettlementBatch:
    """Groups of one time, applied in order, as a whole or not at all."""

    time: datetime
    groups: tuple[SettlementGroup, ...]
    """Daily settlements before expiries."""

    @cached_property
    def id(self) -> str:
        """Deterministic id from the time and the ids of the groups."""
        ids = content_id("groups", {"ids": [group.id for group in self.groups]})
        return joined_id(["batch", utc_text(self.time), ids])

    @cached_property
    def content_hash(self) -> str:
        """Hash of the contents of all groups."""
        return content_id("batch", {"groups": [group.content_hash for group in self.groups]})


def next_settlement(now: datetime, parameters: SettlementParameters) -> datetime:
    """Return the first settlement time after `now`, UTC.

    Raises
    ------
    InvalidRequest
        If `now` is not in UTC.
    """
    raise_if_any(time_problems(now, "now"), InvalidRequest, "the time cannot be used")
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return min(
        time
        for day in (0, 1)
        for hour in parameters.hours_utc
        if (time := midnight + timedelta(days=day, hours=hour)) > now
    )


def daily_group(
    held: Held, price: Decimal, cutoff: Cutoff, session: FundingSession | None = None
) -> SettlementGroup:
    """Return the daily settlement of a future or perpetual: funding, then variation.

    Parameters
    ----------
    held : Held
    price : Decimal, US dollars per coin
        Settlement price.
    cutoff : Cutoff
    session : FundingSession, optional
        Required for a perpetual, and only for one.

    Raises
    ------
    InvalidRequest
        If a perpetual has no session or another contract has one; otherwise as `funding` and
        `variation`.
    """
    contract = held.contract
    problems: list[Problem] = []
    if (contract.kind is Kind.PERPETUAL) != (session is not None):
        what = "has no funding session" if session is None else "has a funding session"
        problems.append(Problem(contract.name, what, "perpetuals, and only they, pay funding"))
    raise_if_any(problems, InvalidRequest, f"{contract.name} cannot be settled")
    events: list[SettlementEvent] = []
    if session is not None:
        events += funding(contract, held.changes, session, cutoff)
    events += variation(contract, held.changes, price, cutoff)
    return linked_group("daily", contract.name, cutoff.time, events, version=cutoff.version)


def expiry_group(
    future: Held,
    options: Sequence[Held],
    delivery: DeliveryPrice,
    cutoff: Cutoff,
    parameters: SettlementParameters,
) -> SettlementGroup:
    """Return the expiry of a future and of all options on the same expiry and asset.

    Parameters
    ----------
    future : Held
        The dated future of the expiry; without changes if no account holds it.
    options : sequence of Held
        Each option once.
    delivery : DeliveryPrice
        Final.
    cutoff : Cutoff
        Its time is the expiry; a correction has the version of the price.
    parameters : SettlementParameters
        Fees, and whether options are delivered directly or in two steps.

    Raises
    ------
    InvalidRequest
        If an option is of another expiry or asset than the future, or occurs twice; otherwise as
        `option_delivery`, `exercise` and `future_delivery`.
    """
    target = future.contract
    problems = [
        Problem(held.contract.name, f"does not expire with {target.name}")
        for held in options
        if (held.contract.underlying, held.contract.expiry, held.contract.asset)
        != (target.underlying, target.expiry, target.asset)
    ]
    raise_if_any(problems, InvalidRequest, "the contracts do not expire together")
    rules = parameters.delivery
    two_step = rules.two_step_inverse if target.is_inverse else rules.two_step_linear
    events: list[SettlementEvent] = []
    future_changes = list(future.changes)
    for held in options:
        if two_step:
            exercised = exercise(held.contract, held.changes, delivery, cutoff, target)
            events += exercised
            future_changes += (
                c for event in exercised for c in event.changes if c.instrument == target.name
            )
        else:
            events += option_delivery(held.contract, held.changes, delivery, cutoff)
        fee = parameters.fees.option_delivery
        events += delivery_fees(held.contract, held.changes, delivery, cutoff, fee)
    events += future_delivery(target, future_changes, delivery, cutoff)
    fee = parameters.fees.future_delivery
    events += delivery_fees(target, future.changes, delivery, cutoff, fee)
    assert target.expiry is not None
    scope = f"{target.underlying}_{target.asset.name}-{expiry_label(target.expiry)}"
    return linked_group("expiry", scope, cutoff.time, events, version=cutoff.version)


def settlement_batch(groups: Iterable[SettlementGroup]) -> SettlementBatch:
    """Return groups of one time as a batch, daily settlements before expiries.

    Raises
    ------
    InvalidRequest
        If there is no group, a group occurs twice or is for another time, or a trade is among them.
    """
    ordered = tuple(sorted(groups, key=lambda g: (_PURPOSE_ORDER[g.purpose], g.id)))
    problems: list[Problem] = []
    if not ordered:
        problems.append(Problem("groups", "is empty"))
    seen: set[str] = set()
    for group in ordered:
        if group.time != ordered[0].time:
            problems.append(Problem(group.id, f"is not for {utc_text(ordered[0].time)}"))
        if group.purpose == "trade":
            problems.append(Problem(group.id, "is a trade, which is booked by itself"))
        if group.id in seen:
            problems.append(Problem(group.id, "occurs twice"))
        seen.add(group.id)
    raise_if_any(problems, InvalidRequest, "the groups cannot be linked")
    return SettlementBatch(ordered[0].time, ordered)
