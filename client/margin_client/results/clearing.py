"""Results of calls of MarginCallService, CollateralService and ReservationService.

Amounts in US cents and in the smallest unit of an asset are integers; quantities and prices of
cleared positions are decimals as text.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from margin_client import _tables
from margin_client.results.types import AccountResources, Generation, LogPosition
from margin_client.values import Position

if TYPE_CHECKING:
    import pandas as pd


class CallClass(StrEnum):
    """What is called."""

    UNKNOWN = "unknown"
    """A class that this version of the client does not know."""
    INITIAL = "initial"
    VARIATION = "variation"
    DEFAULT_FUND = "default_fund"


class CallStatus(StrEnum):
    """Status of a margin call."""

    UNKNOWN = "unknown"
    """A status that this version of the client does not know."""
    ISSUED = "issued"
    ACKNOWLEDGED = "acknowledged"
    PARTLY_MET = "partly_met"
    OVERDUE = "overdue"
    MET = "met"
    CANCELLED = "cancelled"
    DEFAULT_DECLARED = "default_declared"


@dataclass(frozen=True, slots=True)
class CallTranche:
    """A part of a call with a due time of its own."""

    number: int
    amount_cents: int
    paid_cents: int
    issue_time: datetime
    due_time: datetime
    assets: tuple[str, ...]
    """Assets in which it can be paid, in order of preference."""
    is_late: bool
    passed_under_hold: bool


@dataclass(frozen=True, slots=True)
class AttestedPayment:
    """A payment under way that a custodian has attested."""

    payment_id: str
    amount_cents: int
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class CallApproval:
    """A proposal, and its approval if there is one."""

    action_hash: str
    proposer: str
    approver: str
    """Empty until the action is approved."""
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class MarginCall:
    """The current or last call of one account and class."""

    call_id: str
    account_id: str
    call_class: CallClass
    status: CallStatus
    out_cents: int
    """Called and not paid, US cents."""
    tranches: tuple[CallTranche, ...]
    is_acknowledged: bool
    is_held: bool
    is_open: bool
    attested: tuple[AttestedPayment, ...]
    approvals: tuple[CallApproval, ...]
    version: int
    change_time: datetime | None


@dataclass(frozen=True, slots=True)
class MarginCallList:
    """Calls of one state of the clearing house."""

    calls: tuple[MarginCall, ...]
    """By class and account."""
    next_page_token: str
    """Empty on the last page."""
    position: LogPosition
    """`watch_margin_calls` continues from its token."""


@dataclass(frozen=True, slots=True)
class CallAnnouncement:
    """One piece of information on a call."""

    news: str
    subject: str


@dataclass(frozen=True, slots=True)
class CallReminder:
    """A reminder of a due time."""

    tranche_id: str
    due_time: datetime
    minutes: int
    unpaid_cents: int


@dataclass(frozen=True, slots=True)
class CallChange:
    """A committed change of a call."""

    log_number: int
    record_time: datetime
    call: MarginCall | None
    """None for a reminder."""
    announcements: tuple[CallAnnouncement, ...]
    reminder: CallReminder | None
    account_id: str


@dataclass(frozen=True, slots=True)
class WatchedCall:
    """One message of a watch."""

    resume_token: str
    """Keep it after the message has been processed; a later watch continues from it."""
    change: CallChange | None
    """None if nothing happened for some seconds."""


@dataclass(frozen=True, slots=True)
class DecidedCall:
    """A call after a decision of a person."""

    call: MarginCall
    position: LogPosition
    was_repeated: bool


@dataclass(frozen=True, slots=True)
class ProposedAction:
    """A call after the proposal of an action that requires two people."""

    action_hash: str
    call: MarginCall
    position: LogPosition
    was_repeated: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """A change that the clearing house has recorded."""

    position: LogPosition
    was_repeated: bool
    """True if the key had been used with the same content, so that nothing was changed."""


@dataclass(frozen=True, slots=True)
class AttestedDeposit:
    """A recorded payment under way."""

    position: LogPosition
    was_repeated: bool
    call: MarginCall | None
    """None if the account never had a call of the class."""


@dataclass(frozen=True, slots=True)
class ReceivedDeposit:
    """A credited payment."""

    position: LogPosition
    was_repeated: bool
    call: MarginCall | None
    """None if the account never had a call of the class."""
    resources: AccountResources | None


@dataclass(frozen=True, slots=True)
class RequestedWithdrawal:
    """A requested withdrawal."""

    position: LogPosition
    was_repeated: bool
    resources: AccountResources | None


@dataclass(frozen=True, slots=True)
class AssetAmount:
    """An amount of one asset in its smallest unit."""

    asset: str
    units: int


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement of a balance of an account."""

    log_number: int
    record_time: datetime
    movement_id: str
    kind: str
    phase: str
    balance: str
    amount: AssetAmount
    """Change of the balance, a credit positive; of a pending movement, what is set aside."""
    pending_id: str
    valid_time: datetime


@dataclass(frozen=True, slots=True)
class AssetBalance:
    """Balances of an account in one asset, in its smallest unit."""

    asset: str
    collateral: int
    requested: int
    cash: int
    in_transit: int
    announced: int


@dataclass(frozen=True, slots=True)
class PositionLot:
    """A part of a position with one base price."""

    quantity: str
    base_price: str
    """Empty for options."""


@dataclass(frozen=True, slots=True)
class ClearedPosition:
    """A position of a clearing account."""

    instrument_name: str
    quantity: str
    lots: tuple[PositionLot, ...]


@dataclass(frozen=True, slots=True)
class AccountHoldings:
    """Resources, balances and positions of an account in one state of the clearing house."""

    account_id: str
    member_id: str
    resources: AccountResources | None
    """None if they cannot be valued, because of `problem`."""
    balances: tuple[AssetBalance, ...]
    positions: tuple[ClearedPosition, ...]
    position: LogPosition
    problem: str

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row per position."""
        return _tables.frame_of(self.positions)


@dataclass(frozen=True, slots=True)
class MarginReservation:
    """Margin set aside for one quote."""

    quote_id: str
    reserved_cents: int
    expire_time: datetime
    trades: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class ReservedMargin:
    """A reservation that was made."""

    reservation: MarginReservation | None
    """None if a repeated request's reservation is no longer open."""
    incremental_cents: int
    resources: AccountResources | None
    generation: Generation | None
    """None for a repetition."""
    was_repeated: bool


@dataclass(frozen=True, slots=True)
class CancelledReservation:
    """The resources after a reservation was cancelled."""

    resources: AccountResources | None
    was_repeated: bool


@dataclass(frozen=True, slots=True)
class ReservationList:
    """The open reservations of an account, the oldest first."""

    reservations: tuple[MarginReservation, ...]
    position: LogPosition
