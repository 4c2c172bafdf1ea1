"""Commands: what services and the loop ask of the clearing house.

Each command has an id, by which a repetition is recognised, and an actor, the identity of the
person or process that asks. The same id with another content is an error.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from margin_actors.clearing.amounts import Asset
from margin_actors.clearing.calls import CallClass, Outage
from margin_actors.clearing.house.account_events import (
    CLEARING_ACCOUNT,
    QUOTED_TRADE,
    ClearingAccount,
    QuotedTrade,
)
from margin_actors.clearing.house.call_forms import CALL_CLASS, OUTAGE
from margin_actors.clearing.house.cycle_command import RecordCycle
from margin_actors.clearing.house.events import HouseAlarm
from margin_actors.clearing.house.forms import (
    DECIMAL,
    INTEGER,
    MOMENT,
    TEXT,
    Form,
    enumeration,
    many,
    optional,
    record,
    section,
)
from margin_actors.clearing.house.journal_forms import ASSET, EXECUTION, RESERVATION
from margin_actors.clearing.house.parameters import HouseParameters
from margin_actors.clearing.house.people_commands import (
    AcknowledgeCall,
    ApproveAct,
    ApproveAction,
    EndExemption,
    ExecuteAct,
    ExecuteAction,
    ProposeAct,
    ProposeAction,
    ReleaseHold,
)
from margin_actors.clearing.house.recorded import Recorded, recorded
from margin_actors.clearing.house.settlement_forms import BATCH, DELIVERY_PRICE, TRADE
from margin_actors.clearing.journal.reservations import Execution, Reservation
from margin_actors.clearing.settlement import DeliveryPrice, SettlementBatch, Trade


@recorded("open_account", id=TEXT, actor=TEXT, account=CLEARING_ACCOUNT)
@dataclass(frozen=True)
class OpenAccount(Recorded):
    """Open a clearing account; subject of the reply: the account."""

    id: str
    actor: str
    account: ClearingAccount


@recorded("record_parameters", id=TEXT, actor=TEXT, parameters=section(HouseParameters))
@dataclass(frozen=True)
class RecordParameters(Recorded):
    """Record the first parameters; later ones are an act of two people (`ChangeParameters`)."""

    id: str
    actor: str
    parameters: HouseParameters


_PAYMENT: dict[str, Form[Any]] = {
    "id": TEXT,
    "actor": TEXT,
    "account": TEXT,
    "payment_id": TEXT,
    "asset": ASSET,
    "units": INTEGER,
    "custodian": TEXT,
    "call_class": CALL_CLASS,
}


@recorded("attest_payment", **_PAYMENT, attested_at=MOMENT, expires=MOMENT)
@dataclass(frozen=True)
class AttestPayment(Recorded):
    """A custodian attests that a payment is under way; subject of the reply: the payment."""

    id: str
    actor: str
    account: str
    payment_id: str
    """The custodian's reference, also of the deposit that follows."""
    asset: Asset
    units: int
    """Units of the asset, at least 1."""
    custodian: str
    attested_at: datetime
    """UTC."""
    expires: datetime
    """Time from which the attestation no longer counts, UTC."""
    call_class: CallClass = CallClass.INITIAL
    """The class of calls that the payment is for."""


@recorded("deposit", **_PAYMENT, received_at=MOMENT)
@dataclass(frozen=True)
class Deposit(Recorded):
    """A custodian received a payment: it is credited, and posted to an open call.

    Subject of the reply: the payment. A deposit of a frozen account is credited and retained.
    """

    id: str
    actor: str
    account: str
    payment_id: str
    """The custodian's reference."""
    asset: Asset
    units: int
    """Units of the asset, at least 1."""
    custodian: str
    received_at: datetime
    """Time at which the custodian received it, UTC; decides whether it was timely."""
    call_class: CallClass = CallClass.INITIAL
    """The class of calls that the payment is for."""


@recorded(
    "request_withdrawal",
    id=TEXT,
    actor=TEXT,
    request_id=TEXT,
    account=TEXT,
    asset=ASSET,
    units=INTEGER,
    custodian=TEXT,
)
@dataclass(frozen=True)
class RequestWithdrawal(Recorded):
    """Set collateral aside for a withdrawal; subject of the reply: the request."""

    id: str
    actor: str
    request_id: str
    account: str
    asset: Asset
    units: int
    """Units of the asset, at least 1."""
    custodian: str


@recorded("approve_withdrawal", id=TEXT, actor=TEXT, request_id=TEXT)
@dataclass(frozen=True)
class ApproveWithdrawal(Recorded):
    """Approve a requested withdrawal; the actor must be another person than the requester."""

    id: str
    actor: str
    request_id: str


@recorded("confirm_payout", id=TEXT, actor=TEXT, request_id=TEXT)
@dataclass(frozen=True)
class ConfirmPayout(Recorded):
    """The custodian paid an approved withdrawal."""

    id: str
    actor: str
    request_id: str


@recorded("return_payout", id=TEXT, actor=TEXT, request_id=TEXT)
@dataclass(frozen=True)
class ReturnPayout(Recorded):
    """The custodian could not pay an approved withdrawal; it is credited again."""

    id: str
    actor: str
    request_id: str


@dataclass(frozen=True)
class TradeBooking:
    """A trade and the reservations that it uses."""

    instrument: str
    trade: Trade
    executions: tuple[Execution, ...] = ()
    """Reservations of the parties that the trade posts."""


_BOOKING = record(TradeBooking, instrument=TEXT, trade=TRADE, executions=many(EXECUTION))


@recorded("book_trades", id=TEXT, actor=TEXT, trades=many(_BOOKING))
@dataclass(frozen=True)
class BookTrades(Recorded):
    """Book trades in their order, all or none; subjects of the reply: the trades.

    A contract that is not listed is listed with a multiplier of 1.
    """

    id: str
    actor: str
    trades: tuple[TradeBooking, ...]


@dataclass(frozen=True, slots=True)
class PricingBasis:
    """On what a reservation was priced."""

    read_number: int
    """Number of the entry up to which positions were read."""
    quotes: tuple[str, ...]
    """Open reservations that were included, in their order."""


PRICING_BASIS = record(PricingBasis, read_number=INTEGER, quotes=many(TEXT))


@recorded(
    "reserve",
    id=TEXT,
    actor=TEXT,
    account=TEXT,
    reservation=RESERVATION,
    trades=many(QUOTED_TRADE),
    basis=optional(PRICING_BASIS),
)
@dataclass(frozen=True)
class Reserve(Recorded):
    """Set the incremental margin of a quote aside; subject of the reply: the quote."""

    id: str
    actor: str
    account: str
    reservation: Reservation
    """Priced on the book with all open reservations of the account."""
    trades: tuple[QuotedTrade, ...] = ()
    """What is quoted, so that the reservation can be priced again."""
    basis: PricingBasis | None = None
    """On what it was priced; the command is refused if that has changed. None: not checked."""


@recorded("cancel_reservation", id=TEXT, actor=TEXT, account=TEXT, quote=TEXT)
@dataclass(frozen=True)
class CancelReservation(Recorded):
    """Release the margin of a quote; subject of the reply: the quote."""

    id: str
    actor: str
    account: str
    quote: str


@recorded("fire_timers", id=TEXT, actor=TEXT)
@dataclass(frozen=True)
class FireTimers(Recorded):
    """Carry out everything whose time has passed, by time and then by id.

    It can be repeated freely, and its id is not recorded.
    """

    id: str
    actor: str


@recorded("read_clock", id=TEXT, actor=TEXT, second=optional(MOMENT))
@dataclass(frozen=True)
class ReadClock(Recorded):
    """Record a reading of the clock; a second clock confirms a jump, which is then an outage.

    Its id is not recorded.
    """

    id: str
    actor: str
    second: datetime | None
    """An independent clock, read at the same time, UTC; None if there is none."""


@recorded("report_outage", id=TEXT, actor=TEXT, source=TEXT, outage=OUTAGE)
@dataclass(frozen=True)
class ReportOutage(Recorded):
    """Members could not pay for a time; due times are extended by the rule of outages."""

    id: str
    actor: str
    source: str
    """What was unavailable."""
    outage: Outage


@recorded("list_contract", id=TEXT, actor=TEXT, instrument=TEXT, multiplier=DECIMAL)
@dataclass(frozen=True)
class ListContract(Recorded):
    """List a contract; subject of the reply: the contract."""

    id: str
    actor: str
    instrument: str
    multiplier: Decimal
    """Size of one unit of quantity, positive."""


@recorded("record_delivery_price", id=TEXT, actor=TEXT, price=DELIVERY_PRICE)
@dataclass(frozen=True)
class RecordDeliveryPrice(Recorded):
    """Record the delivery price computed from the index; subjects: the contracts that expire."""

    id: str
    actor: str
    price: DeliveryPrice


@recorded("archive_contract", id=TEXT, actor=TEXT, instrument=TEXT)
@dataclass(frozen=True)
class ArchiveContract(Recorded):
    """Remove a delivered contract from the list; subject of the reply: the contract."""

    id: str
    actor: str
    instrument: str


@recorded("book_settlement", id=TEXT, actor=TEXT, batch=BATCH)
@dataclass(frozen=True)
class BookSettlement(Recorded):
    """Book the groups of a settlement in their order, all or none; subjects: the groups.

    Cash is then moved to or covered from collateral as far as possible.
    """

    id: str
    actor: str
    batch: SettlementBatch


@recorded(
    "raise_alarm", id=TEXT, actor=TEXT, alarm=enumeration(HouseAlarm), subject=TEXT, what=TEXT
)
@dataclass(frozen=True)
class RaiseAlarm(Recorded):
    """Record an observation that requires attention."""

    id: str
    actor: str
    alarm: HouseAlarm
    subject: str
    what: str


Command = (
    OpenAccount
    | RecordParameters
    | AttestPayment
    | Deposit
    | RequestWithdrawal
    | ApproveWithdrawal
    | ConfirmPayout
    | ReturnPayout
    | BookTrades
    | Reserve
    | CancelReservation
    | RecordCycle
    | FireTimers
    | ReadClock
    | AcknowledgeCall
    | ReleaseHold
    | ProposeAction
    | ApproveAction
    | ExecuteAction
    | ProposeAct
    | ApproveAct
    | ExecuteAct
    | EndExemption
    | ReportOutage
    | ListContract
    | RecordDeliveryPrice
    | ArchiveContract
    | BookSettlement
    | RaiseAlarm
)
"""What can be asked of the clearing house."""
