"""A small clearing house for tests of its log: deposits in the journal, and margin calls."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256

from journal_world import BANK, LIMIT, ROUNDING, SETTLEMENT, USDC, accounts_of
from margin_cluster.ledger.clearing_machine import Machine

from margin_actors.clearing.calls import (
    CallClass,
    CallParameters,
    CallState,
    PaymentPosted,
    RequirementCycle,
    transition,
)
from margin_actors.clearing.journal import (
    EMPTY,
    Account,
    AccountKind,
    Applied,
    Group,
    JournalState,
    Transfer,
    TransferKind,
    account_id,
    apply,
    open_account,
)
from margin_actors.clearing.journal.maps import PersistentMap
from margin_actors.errors import InvalidRequest, KeyReused, Problem
from margin_actors.hash_chain import content_hash

CENT = 10_000
"""Units of USDC in a cent."""
PARAMETERS = CallParameters()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUSE = (BANK, SETTLEMENT, ROUNDING, LIMIT)


@dataclass(frozen=True)
class CallChanged:
    """An event of a margin call was applied."""

    id: str
    account: str
    asked: str
    """Content of the command, by which a repeat is recognised."""
    event: RequirementCycle | PaymentPosted

    @property
    def log_kind(self) -> str:
        return "call"

    @cached_property
    def payload_hash(self) -> str:
        return content_hash("call", {"payload": payload_of(self)})


Logged = Group | CallChanged


@dataclass(frozen=True)
class Deposit:
    """Credits collateral, and pays what is called."""

    id: str
    account: str
    cents: int
    actor: str = "custodian"


@dataclass(frozen=True)
class Require:
    """States a requirement; the resources are read when it is committed."""

    id: str
    account: str
    cents: int
    """Negative: the command is not valid."""
    actor: str = "cycle"


@dataclass(frozen=True)
class State:
    journal: JournalState = EMPTY
    calls: PersistentMap[CallState] = field(default_factory=PersistentMap[CallState])
    asked: PersistentMap[str] = field(default_factory=PersistentMap[str])
    """Content of the commands about calls, by id."""

    def call(self, account: str) -> CallState:
        return self.calls.get(account) or CallState(account, CallClass.INITIAL)

    def resources_cents(self, account: str) -> int:
        return self.journal.balance(AccountKind.COLLATERAL, USDC, account).available // CENT

    @property
    def digest(self) -> str:
        """Equal for equal states, in every process."""
        parts = [
            list(self.calls.items()),
            list(self.journal.balances.items()),
            list(self.journal.groups.items()),
            list(self.asked.items()),
        ]
        return sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Decided:
    state: State
    events: tuple[Logged, ...] = ()
    is_repeat: bool = False


def decide(state: State, command: Deposit | Require, now: datetime) -> Decided:
    content = repr(command)
    known = state.asked.get(command.id)
    if known is not None and known != content:
        raise KeyReused("the id is known", [Problem("id", command.id)])
    if known is not None:
        return Decided(state, is_repeat=True)
    if isinstance(command, Require):
        cycle = RequirementCycle(
            state.call(command.account).last_cycle + 1,
            command.cents,
            state.resources_cents(command.account),
            valued_at=now,
        )
        event = CallChanged(command.id, command.account, content, cycle)
        return Decided(fold(state, event, now), (event,))
    events: list[Logged] = [deposit_group(command, now)]
    paid = PaymentPosted(command.id, content, command.cents, received_at=now)
    events.append(CallChanged(f"{command.id}/paid", command.account, content, paid))
    for event in events:
        state = fold(state, event, now)
    return Decided(state, tuple(events))


def deposit_group(command: Deposit, now: datetime) -> Group:
    accounts = (*HOUSE, *accounts_of(command.account))
    credit = account_id(AccountKind.COLLATERAL, USDC, command.account)
    units = command.cents * CENT
    moved = Transfer(command.id, BANK.id, credit, USDC, units, TransferKind.DEPOSIT, now)
    return Group(command.id, (moved,), accounts=accounts)


def fold(state: State, event: Logged, recorded_at: datetime) -> State:
    if isinstance(event, Group):
        outcome = apply(state.journal, event, recorded_at)
        if not isinstance(outcome, Applied) or outcome.is_repeat:
            raise InvalidRequest(f"the group is not applied: {outcome}")
        return replace(state, journal=outcome.state)
    call = transition(state.call(event.account), event.event, recorded_at, PARAMETERS).state
    name = event.id.removesuffix("/paid")
    return replace(
        state,
        calls=state.calls.with_items({event.account: call}),
        asked=state.asked.with_items({name: event.asked}),
    )


def payload_of(event: Logged) -> str:
    if isinstance(event, Group):
        accounts = [[a.kind.value, a.owner, a.asset.name, a.asset.decimals] for a in event.accounts]
        (t,) = event.transfers
        moved = [t.id, t.debit, t.credit, t.amount, _us(t.valid_time)]
        return json.dumps({"id": event.id, "accounts": accounts, "deposit": moved})
    is_cycle = isinstance(event.event, RequirementCycle)
    one = event.event
    columns = (
        [one.cycle, one.requirement_cents, one.resources_cents, _us(one.valued_at)]
        if is_cycle
        else [one.payment_id, one.content_hash, one.amount_cents, _us(one.received_at)]
    )
    return json.dumps([event.id, event.account, event.asked, is_cycle, columns])


def event_of(kind: str, payload: str) -> Logged:
    found = json.loads(payload)
    if kind == "group":
        name, debit, credit, amount, valid = found["deposit"]
        moved = Transfer(name, debit, credit, USDC, amount, TransferKind.DEPOSIT, _time(valid))
        accounts = tuple(_account(*columns) for columns in found["accounts"])
        return Group(found["id"], (moved,), accounts=accounts)
    if kind != "call":
        raise InvalidRequest(f"unknown kind {kind}")
    name, account, asked, is_cycle, (first, second, third, time) = found
    make = RequirementCycle if is_cycle else PaymentPosted
    return CallChanged(name, account, asked, make(first, second, third, _time(time)))


def _account(kind: str, owner: str, asset: str, decimals: int) -> Account:
    return open_account(AccountKind(kind), type(USDC)(asset, decimals), owner)


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _time(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def account_of(event: Logged) -> str:
    return "" if isinstance(event, Group) else event.account


SMALL_HOUSE: Machine[State, Logged, Deposit | Require, Decided] = Machine(
    State(), fold, decide, payload_of, event_of, account_of
)


def fold_all(events: Iterable[tuple[Logged, datetime]]) -> State:
    """Return the serial fold of events and their times."""
    state = State()
    for event, recorded_at in events:
        state = fold(state, event, recorded_at)
    return state


__all__ = [
    "CENT",
    "SMALL_HOUSE",
    "CallChanged",
    "Decided",
    "Deposit",
    "Require",
    "State",
    "fold_all",
]
