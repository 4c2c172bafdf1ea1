"""The state of the clearing house: what the fold of its log gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from margin_actors.clearing.calls import Approval, CallClass, CallState, LedgerClock
from margin_actors.clearing.house.account_events import (
    ClearingAccount,
    ReminderSent,
    ReservationQuoted,
    WithdrawalChanged,
)
from margin_actors.clearing.house.acts import Act
from margin_actors.clearing.house.book_events import ContractChanged, CycleRecorded
from margin_actors.clearing.house.events import AlarmRaised, ExemptionChanged, Reply
from margin_actors.clearing.house.parameters import HouseParameters
from margin_actors.clearing.journal import Group, JournalState
from margin_actors.clearing.journal.maps import PersistentMap

TRADED = ("listed", "averaging")
"""Stages of a contract in which it can be traded."""


@dataclass(frozen=True, slots=True)
class AccountMargin:
    """What the last calculation gave for one account."""

    cycle: int
    read_number: int
    """Number of the entry up to which the requirement includes positions."""
    requirement_cents: int
    option_values_cents: Mapping[str, int]
    """Net option value by settlement asset before the de-peg scenarios, US cents."""
    unsettled_cents: int
    """Unsettled variation, US cents, a profit positive."""


@dataclass(frozen=True, slots=True)
class LastChange:
    """Numbers of the last entries that changed an account; 0 if none did."""

    holdings: int = 0
    """Changed its collateral, cash or positions."""
    valuation: int = 0
    """Changed its positions or settled cash, so that its unsettled variation and option value have
    to be computed again."""
    quantities: int = 0
    """Changed the quantity of a position, so that the requirement does not include it."""


@dataclass(frozen=True, slots=True)
class OpenAct:
    """An act that waits for its approval or execution."""

    act: Act
    approval: Approval


@dataclass(frozen=True, slots=True)
class BookedTrade:
    """A trade as it was booked."""

    group: Group
    number: int
    """Number of its entry."""
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command that was accepted."""

    command_hash: str
    reply: Reply


@dataclass(frozen=True)
class HouseState:
    """Everything that decisions depend on; immutable, sharing unchanged parts with former states.

    Maps of calls have the keys of `call_key`; all others are by name of the account, unless stated.
    """

    number: int = 0
    """Number of events folded."""
    clock: LedgerClock | None = None
    """The ledger clock after the last event; None before the first."""
    parameters: HouseParameters = field(default_factory=HouseParameters)
    are_parameters_recorded: bool = False
    """Whether `parameters` were recorded; before that they are the defaults, and no asset counts
    as collateral."""
    journal: JournalState = field(default_factory=JournalState)
    accounts: PersistentMap[ClearingAccount] = field(default_factory=PersistentMap[ClearingAccount])
    netting: PersistentMap[tuple[str, ...]] = field(default_factory=PersistentMap[tuple[str, ...]])
    """House accounts that net, in the order of their opening, by member."""
    calls: PersistentMap[CallState] = field(default_factory=PersistentMap[CallState])
    """States of calls that ever changed, by `call_key`. `CallState.last_cycle` is that of the last
    change; `queries.call_state` adds the cycles that passed since."""
    timed_calls: PersistentMap[str] = field(default_factory=PersistentMap[str])
    """Account by `call_key` of the calls that are open or have an attested payment."""
    reminders: PersistentMap[tuple[ReminderSent, ...]] = field(
        default_factory=PersistentMap[tuple[ReminderSent, ...]]
    )
    """Reminders sent for the open call, by `call_key`."""
    cycle: CycleRecorded | None = None
    """The last cycle."""
    earlier: PersistentMap[AccountMargin] = field(default_factory=PersistentMap[AccountMargin])
    """Margin of accounts that are not part of the last cycle."""
    last_changes: PersistentMap[LastChange] = field(default_factory=PersistentMap[LastChange])
    held: PersistentMap[tuple[str, ...]] = field(default_factory=PersistentMap[tuple[str, ...]])
    """Instruments in which an account has lots, in order of their names."""
    reserved: PersistentMap[tuple[tuple[int, int], ...]] = field(
        default_factory=PersistentMap[tuple[tuple[int, int], ...]]
    )
    """(number of the entry, all reserved margin credited up to it in US cents), ascending; only of
    accounts that have reserved margin which a requirement may not include yet."""
    quotes: PersistentMap[tuple[ReservationQuoted, ...]] = field(
        default_factory=PersistentMap[tuple[ReservationQuoted, ...]]
    )
    """What the reservations of an account are for, in their order; quotes that are no longer open
    remain until the next one of the account."""
    contracts: PersistentMap[ContractChanged] = field(
        default_factory=PersistentMap[ContractChanged]
    )
    """Listed contracts with the stage of their life, by instrument."""
    trades: PersistentMap[BookedTrade] = field(default_factory=PersistentMap[BookedTrade])
    """By id of the trade."""
    frozen: PersistentMap[str] = field(default_factory=PersistentMap[str])
    """Id of the call whose default froze the account."""
    blocked: PersistentMap[tuple[str, ...]] = field(default_factory=PersistentMap[tuple[str, ...]])
    """Ids of the overdue calls that block withdrawals of the account."""
    withdrawals: PersistentMap[WithdrawalChanged] = field(
        default_factory=PersistentMap[WithdrawalChanged]
    )
    """The last stage of each withdrawal, by id of the request."""
    requesters: PersistentMap[str] = field(default_factory=PersistentMap[str])
    """Who requested each withdrawal, by id of the request."""
    acts: PersistentMap[OpenAct] = field(default_factory=PersistentMap[OpenAct])
    """Acts that wait for approval or execution, by hash."""
    exemptions: PersistentMap[ExemptionChanged] = field(
        default_factory=PersistentMap[ExemptionChanged]
    )
    """Exemptions in force, by `exemption_key`."""
    alarms: PersistentMap[AlarmRaised] = field(default_factory=PersistentMap[AlarmRaised])
    """The last alarm of each kind and subject, by ``kind:subject``."""
    commands: PersistentMap[CommandRecord] = field(default_factory=PersistentMap[CommandRecord])
    """Accepted commands by id."""

    @property
    def prices(self) -> Mapping[str, Decimal]:
        """Last prices of assets, US dollars per coin."""
        return {} if self.cycle is None else self.cycle.prices

    @property
    def marks(self) -> Mapping[str, Decimal]:
        """Last marks of instruments, see `CycleRecorded.marks`."""
        return {} if self.cycle is None else self.cycle.marks

    def margin(self, account: str) -> AccountMargin | None:
        """Return what the last calculation gave for an account; None if there was none."""
        row = None if self.cycle is None else self.cycle.rows.get(account)
        if self.cycle is None or row is None:
            return self.earlier.get(account)
        return margin_of_row(self.cycle, row)

    def last_change(self, account: str) -> LastChange:
        """Return which entries last changed an account."""
        return self.last_changes.get(account, LastChange())

    def lead(self, account: str) -> str:
        """Return the account in whose name calls are issued: the first of those that net."""
        return self.netted(account)[0]

    def netted(self, account: str) -> tuple[str, ...]:
        """Return the accounts over which deficits and excesses are added, the account included."""
        known = self.accounts.get(account)
        if known is None or not known.nets:
            return (account,)
        return self.netting.get(known.member, (account,))


def margin_of_row(cycle: CycleRecorded, row: int) -> AccountMargin:
    """Return one row of a cycle."""
    options = cycle.option_values_cents.items()
    values = {asset: cents[row] for asset, cents in options if cents[row]}
    return AccountMargin(
        cycle.number,
        cycle.read_number,
        cycle.requirement_cents[row],
        values,
        cycle.unsettled_cents[row],
    )


def stored_call(state: HouseState, account: str, call_class: CallClass) -> CallState:
    """Return the calls of an account and class as they last changed; of the lead, if it nets."""
    lead = state.lead(account)
    stored = state.calls.get(call_key(lead, call_class))
    return CallState(lead, call_class) if stored is None else stored


def call_key(account: str, call_class: CallClass) -> str:
    """Return the key of the state of the calls of one account and class."""
    return f"{call_class.value}:{account}"


def exemption_key(kind: str, subject: str) -> str:
    """Return the key of an exemption."""
    return f"{kind}:{subject}"


EMPTY_HOUSE = HouseState()
"""The clearing house before the first entry of its log."""
