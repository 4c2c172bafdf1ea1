"""What a settlement books, from a state of the house: daily groups, expiries and corrections. Pure.

Positions are those of the state at the time of the settlement, which never changes once a later
entry is recorded. The same settlement therefore has the same content whenever and wherever it is
computed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from margin_actors.clearing.house.state import HouseState
from margin_actors.clearing.house.valuing import contract_of
from margin_actors.clearing.settlement import (
    Contract,
    ContractLife,
    Cutoff,
    DeliveryPrice,
    FundingSession,
    Held,
    PositionChange,
    SettlementGroup,
    contract_from_name,
    correction,
    daily_group,
    expiry_group,
)
from margin_actors.clearing.settlement.exact import EXACT, utc_text
from margin_actors.errors import InvalidRequest, MissingMarketData, Problem, raise_if_any
from margin_actors.market.instruments import Kind, expiry_label

Changes = Mapping[str, tuple[PositionChange, ...]]
"""Changes of positions by instrument."""
_SETTLED = ("exercised", "delivered", "archived")


@dataclass(frozen=True, slots=True, order=True)
class Expiry:
    """Contracts that expire together: one underlying, asset and time."""

    time: datetime
    """UTC."""
    underlying: str
    asset: str

    @property
    def scope(self) -> str:
        """The scope of the group that settles them."""
        return f"{self.underlying}_{self.asset}-{expiry_label(self.time)}"


def settlement_id(time: datetime) -> str:
    """Return the id of the command that books the settlement of a time."""
    return f"settlement:{utc_text(time)}"


def expiry_id(expiry: Expiry, version: int) -> str:
    """Return the id of the command that books an expiry later, or corrects it."""
    return f"settlement:{utc_text(expiry.time)}:{expiry.scope}:v{version}"


def lots_of(state: HouseState, time: datetime) -> dict[str, list[PositionChange]]:
    """Return all lots by instrument, as changes at a time."""
    found: dict[str, list[PositionChange]] = defaultdict(list)
    for account, instruments in state.held.items():
        for name in instruments:
            for lot in state.journal.position(account, name).lots:
                found[name].append(
                    PositionChange(account, name, lot.quantity, lot.base_price, time)
                )
    return found


def with_opening(
    lots: Sequence[PositionChange], session: Sequence[PositionChange], since: datetime
) -> tuple[PositionChange, ...]:
    """Return the positions at the beginning of a session and its changes, which sum to `lots`.

    Parameters
    ----------
    lots : sequence of PositionChange
        Positions at the end, in one instrument.
    session : sequence of PositionChange
        Changes during the session, in the same instrument.
    since : datetime
        Beginning of the session, UTC.
    """
    opening: dict[tuple[str, str, Decimal | None], Decimal] = {}
    for sign, changes in ((1, lots), (-1, session)):
        for one in changes:
            key = one.account, one.instrument, one.base_price
            opening[key] = EXACT.add(opening.get(key, Decimal(0)), sign * one.quantity)
    first = tuple(
        PositionChange(account, name, quantity, base, since)
        for (account, name, base), quantity in opening.items()
        if quantity
    )
    return (*first, *session)


def daily_groups(
    state: HouseState,
    cutoff: Cutoff,
    marks: Mapping[str, Decimal],
    sessions: Mapping[str, FundingSession],
    changes: Changes,
) -> list[SettlementGroup]:
    """Return the daily settlement of all futures and perpetuals.

    Parameters
    ----------
    state : HouseState
        At the cutoff.
    cutoff : Cutoff
    marks : mapping of str to Decimal
        Settlement prices, US dollars per coin.
    sessions : mapping of str to FundingSession
        One for each perpetual that was held during the session.
    changes : mapping of str to tuple of PositionChange
        Changes of perpetuals during the session.

    Raises
    ------
    MissingMarketData
        If a contract has no mark; names all of them.
    """
    lots = lots_of(state, cutoff.time)
    names = sorted({*lots, *sessions})
    contracts = [contract_of(state, name) for name in names]
    open_ones = [c for c in contracts if is_settled_daily(c, cutoff.time)]
    problems = [Problem(c.name, "has no mark") for c in open_ones if c.name not in marks]
    raise_if_any(problems, MissingMarketData, "the daily settlement waits for marks")
    groups: list[SettlementGroup] = []
    for contract in open_ones:
        own = tuple(lots.get(contract.name, ()))
        session = sessions.get(contract.name)
        if session is not None:
            own = with_opening(own, changes.get(contract.name, ()), session.since)
        if own:
            groups.append(daily_group(Held(contract, own), marks[contract.name], cutoff, session))
    return groups


def is_settled_daily(contract: Contract, time: datetime) -> bool:
    """Return whether a contract has variation that is settled at a time."""
    if contract.kind is Kind.OPTION:
        return False
    return contract.expiry is None or contract.expiry > time


def expiry_of(state: HouseState, life: ContractLife) -> Expiry:
    """Return the expiry to which a contract belongs."""
    return Expiry(life.expiry, life.underlying, contract_of(state, life.instrument).asset.name)


def expiries_to_price(state: HouseState, now: datetime) -> list[tuple[str, datetime]]:
    """Return (underlying, expiry) of contracts that have expired and have no delivery price."""
    lives = _lives(state)
    return sorted(
        {
            (life.underlying, life.expiry)
            for life in lives
            if life.computed is None and life.expiry <= now
        },
        key=lambda one: (one[1], one[0]),
    )


def expiries_to_book(state: HouseState) -> dict[Expiry, DeliveryPrice]:
    """Return the expiries that have a final price at which they are not booked, with the price."""
    found: dict[Expiry, DeliveryPrice] = {}
    for life in _lives(state):
        price = life.price
        if price is None or price.status != "final" or life.state in _SETTLED:
            continue
        found[expiry_of(state, life)] = price
    return dict(sorted(found.items()))


def booked_version(state: HouseState, expiry: Expiry) -> int:
    """Return the version of the price at which an expiry was booked last; 0 if it was not."""
    versions = [
        booked.version
        for life in _lives(state)
        for booked in life.bookings
        if expiry_of(state, life) == expiry
    ]
    return max(versions, default=0)


def price_of(state: HouseState, expiry: Expiry) -> DeliveryPrice | None:
    """Return the delivery price that applies to an expiry; None before there is one."""
    for life in _lives(state):
        if expiry_of(state, life) == expiry and life.price is not None:
            return life.price
    return None


def expiry_settlement(
    state: HouseState, expiry: Expiry, price: DeliveryPrice, entry_number: int
) -> SettlementGroup:
    """Return the settlement of an expiry at a final price.

    Parameters
    ----------
    state : HouseState
        At the time of the expiry.
    expiry : Expiry
    price : DeliveryPrice
        Final; the group has its version.
    entry_number : int
        Number of the last entry of the log that counts.
    """
    lots = lots_of(state, expiry.time)
    name = f"{_prefix(expiry)}-{expiry_label(expiry.time)}"
    future = contract_of(state, name)
    assert (future.underlying, future.asset.name) == (expiry.underlying, expiry.asset)
    options = [
        Held(contract, tuple(lots[instrument]))
        for instrument in sorted(lots)
        if (contract := contract_of(state, instrument)).kind is Kind.OPTION
        and (contract.expiry, contract.underlying, contract.asset.name)
        == (expiry.time, expiry.underlying, expiry.asset)
    ]
    multipliers = {held.contract.multiplier for held in options if not future.is_inverse}
    if name not in state.contracts and len(multipliers) == 1:
        future = contract_from_name(name, multipliers.pop())
    cutoff = Cutoff(expiry.time, entry_number, price.version)
    rules = state.parameters.settlement
    return expiry_group(Held(future, tuple(lots.get(name, ()))), options, price, cutoff, rules)


def corrected_settlement(
    state: HouseState,
    expiry: Expiry,
    former: DeliveryPrice,
    price: DeliveryPrice,
    entry_number: int,
) -> SettlementGroup:
    """Return the group that reverses an expiry and books it at a corrected price.

    Parameters
    ----------
    state : HouseState
        At the time of the expiry.
    expiry : Expiry
    former : DeliveryPrice
        The price at which it was booked.
    price : DeliveryPrice
        Corrected by two people.
    entry_number : int
        As in `expiry_settlement`.

    Raises
    ------
    InvalidRequest
        If no decision on the price is recorded.
    """
    if price.decision is None:
        problem = Problem(expiry.scope, "has a price without a decision")
        raise InvalidRequest("the expiry cannot be corrected", [problem])
    booked = expiry_settlement(state, expiry, former, entry_number)
    again = expiry_settlement(state, expiry, price, entry_number)
    return correction(booked, again, price.decision)


def contracts_to_archive(state: HouseState, now: datetime, hours: float) -> list[str]:
    """Return contracts that were delivered and expired at least so many hours ago."""
    return [
        life.instrument
        for life in _lives(state)
        if life.state == "delivered" and (now - life.expiry).total_seconds() >= 3600.0 * hours
    ]


def _lives(state: HouseState) -> Iterable[ContractLife]:
    return [c.life for c in state.contracts.values() if c.life is not None]


def _prefix(expiry: Expiry) -> str:
    """Return the prefix of names of contracts: ``BTC`` if they pay in the coin."""
    if expiry.asset == expiry.underlying:
        return expiry.underlying
    return f"{expiry.underlying}_{expiry.asset}"


__all__ = [
    "Expiry",
    "booked_version",
    "contracts_to_archive",
    "corrected_settlement",
    "daily_groups",
    "expiries_to_book",
    "expiries_to_price",
    "expiry_id",
    "expiry_settlement",
    "is_settled_daily",
    "lots_of",
    "price_of",
    "settlement_id",
    "with_opening",
]
