"""Trades: positions of both sides at the trade price, premiums of options, and trade fees."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from margin_actors.clearing.settlement.contracts import Contract, require_price
from margin_actors.clearing.settlement.events import (
    Inputs,
    SettlementEvent,
    Subject,
    entry_list,
)
from margin_actors.clearing.settlement.exact import (
    canonical,
    number_problems,
    rounded_units,
    time_problems,
)
from margin_actors.clearing.settlement.fees import fee_events, fee_units
from margin_actors.clearing.settlement.groups import SettlementGroup, linked_group
from margin_actors.clearing.settlement.parameters import SettlementParameters
from margin_actors.clearing.settlement.positions import RESERVED_ACCOUNTS, PositionChange
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_actors.market.instruments import Kind


@dataclass(frozen=True)
class Trade:
    """A trade of one contract between two accounts."""

    id: str
    """Unique id; part of the ids of its events."""
    buyer: str
    seller: str
    quantity: Decimal
    """Positive, in the unit of the contract."""
    price: Decimal
    """Futures and perpetuals: US dollars per coin, the base of the next variation. Options: the
    premium per coin, in coins for inverse options and in US dollars for linear ones; at least 0."""
    index: Decimal
    """Index at the time of the trade, US dollars per coin; fees are a fraction of it."""
    time: datetime
    """UTC."""


def premium_units(contract: Contract, quantity: Decimal, price: Decimal) -> int:
    """Return what the buyer of an option pays, in smallest units, rounded half to even.

    Parameters
    ----------
    contract : Contract
        An option.
    quantity : Decimal
        In the unit of the contract.
    price : Decimal
        Coins per coin for inverse options, US dollars per coin for linear ones.
    """
    return rounded_units(contract.size(quantity) * Fraction(price), contract.asset)


def trade_group(
    contract: Contract, trade: Trade, parameters: SettlementParameters, *, version: int = 1
) -> SettlementGroup:
    """Return the linked group of a trade: positions of both sides, premium and fees.

    The premium is rounded once and moves from the buyer to the seller; nothing remains to round.

    Raises
    ------
    InvalidRequest
        If the quantity is not positive, the premium is negative, buyer and seller are the same or a
        reserved account, or an id, price or time cannot be used.
    InvalidMarketData
        If a price is not positive for an inverse future or perpetual.
    """
    _require_tradable(contract, trade)
    index = require_price(contract, trade.index, "index")
    is_option = contract.kind is Kind.OPTION
    if not is_option:
        require_price(contract, trade.price, "price")
    base = None if is_option else trade.price
    premium = premium_units(contract, trade.quantity, trade.price) if is_option else 0
    size = contract.size(trade.quantity)
    rule = parameters.fees.option_trade if is_option else parameters.fees.future_trade
    inputs: Inputs = (
        ("price", canonical(trade.price)),
        ("quantity", canonical(trade.quantity)),
        ("index", canonical(trade.index)),
    )
    subject = Subject(
        "premium" if is_option else "trade", contract.name, trade.time, version, trade.id
    )
    events = [
        SettlementEvent(
            subject, account, entry_list(account, contract.asset, received),
            (PositionChange(account, contract.name, quantity, base, trade.time),),
            inputs,
        )
        for account, quantity, received in (
            (trade.buyer, trade.quantity, -premium),
            (trade.seller, trade.quantity.copy_negate(), premium),
        )
    ]  # fmt: skip
    fee = fee_units(rule, contract, size, index, size * Fraction(trade.price))
    events += fee_events(
        Subject("fee", contract.name, trade.time, version, trade.id),
        contract,
        {trade.buyer: fee, trade.seller: fee},
        (*inputs, ("rules", parameters.id)),
    )
    return linked_group("trade", trade.id, trade.time, events, version=version)


def _require_tradable(contract: Contract, trade: Trade) -> None:
    problems = time_problems(trade.time, "time")
    for name in ("quantity", "price", "index"):
        problems += number_problems(getattr(trade, name), name)
    if not problems and trade.quantity <= 0:
        problems.append(Problem("quantity", f"is {trade.quantity}, not positive"))
    if not problems and contract.kind is Kind.OPTION and trade.price < 0:
        problems.append(Problem("price", f"is {trade.price}, a negative premium"))
    if contract.expiry is not None and not problems and trade.time >= contract.expiry:
        problems.append(Problem("time", f"is not before the expiry of {contract.name}"))
    if not trade.id:
        problems.append(Problem("id", "is empty"))
    for side in ("buyer", "seller"):
        account = getattr(trade, side)
        if not account or account in RESERVED_ACCOUNTS:
            problems.append(Problem(side, f"is {account!r}, which cannot hold positions"))
    if trade.buyer == trade.seller:
        problems.append(Problem("seller", f"is also the buyer, {trade.buyer!r}"))
    raise_if_any(problems, InvalidRequest, f"the trade {trade.id!r} cannot be booked")
