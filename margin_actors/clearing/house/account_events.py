"""Events of one clearing account: opening, calls, withdrawals, reminders."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from margin_actors.clearing.calls import CallClass, CallEvent, CallState, Effect
from margin_actors.clearing.house.call_forms import CALL_CLASS, CALL_EVENT, CALL_STATE, EFFECT
from margin_actors.clearing.house.forms import (
    BOOLEAN,
    DECIMAL,
    INTEGER,
    MOMENT,
    TEXT,
    enumeration,
    many,
    record,
)
from margin_actors.clearing.house.journal_forms import MOVEMENT
from margin_actors.clearing.house.recorded import Recorded, recorded
from margin_actors.clearing.journal.deficits import AccountType
from margin_actors.clearing.journal.movements import CollateralMovement


@dataclass(frozen=True)
class ClearingAccount:
    """A clearing account and for whom it is held."""

    name: str
    """Id of the account; owner of its accounts in the journal."""
    member: str
    type: AccountType
    nets: bool = False
    """Whether deficits and excesses are added over the house accounts of the member that net."""


CLEARING_ACCOUNT = record(
    ClearingAccount, name=TEXT, member=TEXT, type=enumeration(AccountType), nets=BOOLEAN
)


@recorded(
    "account",
    account=CLEARING_ACCOUNT,
)
@dataclass(frozen=True)
class AccountOpened(Recorded):
    """A clearing account was opened."""

    account: ClearingAccount

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"account/{self.account.name}"


@recorded(
    "call",
    account=TEXT,
    call_class=CALL_CLASS,
    event=CALL_EVENT,
    after=CALL_STATE,
    effects=many(EFFECT),
)
@dataclass(frozen=True)
class CallChanged(Recorded):
    """A transition changed the state of the calls of one account and class."""

    account: str
    """The account, or the first of the accounts that net."""
    call_class: CallClass
    event: CallEvent
    after: CallState
    effects: tuple[Effect, ...]
    """In the order in which they are to be carried out."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"call/{self.call_class.value}/{self.after.version}/{self.account}"


class WithdrawalStage(StrEnum):
    """Stage of a withdrawal."""

    REQUESTED = "requested"
    APPROVED = "approved"
    PAID = "paid"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    """It lapsed without approval, or the account was frozen."""


@recorded(
    "withdrawal",
    request=MOVEMENT,
    stage=enumeration(WithdrawalStage),
    by=TEXT,
)
@dataclass(frozen=True)
class WithdrawalChanged(Recorded):
    """A withdrawal reached a stage."""

    request: CollateralMovement
    stage: WithdrawalStage
    by: str
    """Who caused it."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"withdrawal/{self.stage.value}/{self.request.id}"


@recorded(
    "reminder",
    account=TEXT,
    call_class=CALL_CLASS,
    tranche_id=TEXT,
    due=MOMENT,
    minutes=INTEGER,
    unpaid_cents=INTEGER,
)
@dataclass(frozen=True)
class ReminderSent(Recorded):
    """The member was reminded of a due time."""

    account: str
    call_class: CallClass
    tranche_id: str
    due: datetime
    """UTC."""
    minutes: int
    """Minutes before the due time for which the reminder was scheduled."""
    unpaid_cents: int
    """Amount of the tranche that remains to be paid, US cents."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"reminder/{self.minutes}/{self.due:%Y%m%dT%H%M%S.%f}/{self.tranche_id}"


@dataclass(frozen=True, slots=True)
class QuotedTrade:
    """One position change of a quoted block trade, from the view of one account."""

    instrument: str
    quantity: Decimal
    """Bought positive, in the unit of the contract; not 0."""


QUOTED_TRADE = record(QuotedTrade, instrument=TEXT, quantity=DECIMAL)


@recorded("quote", account=TEXT, quote=TEXT, trades=many(QUOTED_TRADE), cause=TEXT)
@dataclass(frozen=True)
class ReservationQuoted(Recorded):
    """What a reservation is for, so that it can be priced again with those before it."""

    account: str
    quote: str
    trades: tuple[QuotedTrade, ...]
    cause: str
    """Id of the command."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"quote/{self.cause}"
