"""Effects of a transition: what the service commits and carries out after it.

Every effect can be carried out more than once without further consequence, because each names the
call, tranche, timer or payment that it concerns.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from margin_actors.clearing.calls.events import Timer
from margin_actors.clearing.calls.state import CallState


@dataclass(frozen=True, slots=True)
class TrancheIssued:
    """An amount is called."""

    tranche_id: str
    amount_cents: int
    due: datetime
    """UTC."""
    assets: tuple[str, ...]
    """Assets in which the tranche can be paid, in order of preference."""


@dataclass(frozen=True, slots=True)
class TrancheReduced:
    """Less is called than before."""

    tranche_id: str
    by_cents: int


@dataclass(frozen=True, slots=True)
class PaymentAllocated:
    """A part of a payment fills a tranche; what no tranche takes stays a deposit."""

    tranche_id: str
    payment_id: str
    amount_cents: int
    is_timely: bool
    """Whether the custodian received the payment at or before the due time."""


@dataclass(frozen=True, slots=True)
class TimerSet:
    """A timer is to be stored and fired at its time."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class TimerVoided:
    """A timer is no longer needed; if it fires nevertheless, it is ignored."""

    timer: Timer


class News(StrEnum):
    """What the member and the risk desk are informed of."""

    ISSUED = "issued"
    TOPPED_UP = "topped_up"
    REDUCED = "reduced"
    ACKNOWLEDGED = "acknowledged"
    PAYMENT_UNDER_WAY = "payment_under_way"
    ATTESTATION_EXPIRED = "attestation_expired"
    PAYMENT_POSTED = "payment_posted"
    """A payment was allocated, and more is out."""
    MET = "met"
    OVERDUE = "overdue"
    DEADLINE_PASSED_UNDER_HOLD = "deadline_passed_under_hold"
    EXTENDED = "extended"
    ACTION_PROPOSED = "action_proposed"
    ACTION_APPROVED = "action_approved"
    HELD = "held"
    HOLD_RELEASED = "hold_released"
    CANCELLED = "cancelled"
    DEFAULT_DECLARED = "default_declared"


@dataclass(frozen=True, slots=True)
class Announcement:
    """Information for the member and the risk desk; sent only after it has been committed."""

    news: News
    call_id: str
    out_cents: int
    """Called and not paid after the transition."""
    subject: str = ""
    """Id of the tranche, payment or action concerned; empty if it is the call."""


@dataclass(frozen=True, slots=True)
class WithdrawalsBlocked:
    """The account cannot withdraw, because the call is overdue."""

    account: str
    call_id: str


@dataclass(frozen=True, slots=True)
class WithdrawalsAllowed:
    """The call no longer blocks withdrawals of the account; that of another class still can."""

    account: str
    call_id: str


@dataclass(frozen=True, slots=True)
class AccountFrozen:
    """The account is in default; `frozen_treatment` states what a frozen account can do."""

    account: str
    call_id: str


@dataclass(frozen=True, slots=True)
class ReservationsVoided:
    """All pending reservations of the account are released."""

    account: str
    call_id: str


class AlarmKind(StrEnum):
    """What requires the attention of the operator."""

    OVERDUE = "overdue"
    """A deadline passed; escalate."""
    STALE_VALUATION = "stale_valuation"
    """A requirement was too old for a decision."""
    PAYMENT_CHANGED = "payment_changed"
    """A known payment id arrived with another content."""
    PAYMENT_AFTER_DEFAULT = "payment_after_default"
    """A payment was posted to an account in default; it stays a deposit."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something requires the attention of the operator."""

    kind: AlarmKind
    call_id: str
    subject: str
    """Id of the tranche or payment, or number of the cycle."""


Effect = (
    TrancheIssued
    | TrancheReduced
    | PaymentAllocated
    | TimerSet
    | TimerVoided
    | Announcement
    | WithdrawalsBlocked
    | WithdrawalsAllowed
    | AccountFrozen
    | ReservationsVoided
    | Alarm
)
"""What a transition can require."""


class RefusalRule(StrEnum):
    """The rule by which the event of a person is refused."""

    OTHER_CALL = "other_call"
    """The event names a call that is not the current one."""
    NOT_OPEN = "not_open"
    NOT_OVERDUE = "not_overdue"
    ALREADY_HELD = "already_held"
    NOT_HELD = "not_held"
    HELD = "held"
    """A default cannot be declared during a hold."""
    PAYMENT_UNDER_WAY = "payment_under_way"
    """A default cannot be declared while a custodian attests a payment."""
    NO_SUCH_TRANCHE = "no_such_tranche"
    """The tranche does not exist or is paid."""
    NOT_LATER = "not_later"
    """The new due time is not after the former one and the present time."""
    ALREADY_PROPOSED = "already_proposed"
    """The action has been proposed and has not expired; approve it instead."""
    NOT_PROPOSED = "not_proposed"
    """The action was not proposed, or its proposal has expired or was cleared."""
    SAME_PERSON = "same_person"
    """The proposer cannot approve."""
    NOT_APPROVED = "not_approved"
    """Two different people have not approved the action, or the approval has expired."""
    NOT_ENDED = "not_ended"
    """The outage ends after the present time."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event was refused; the state is unchanged."""

    rule: RefusalRule
    what: str
    """Description of the problem, including the value that causes it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a transition."""

    state: CallState
    effects: tuple[Effect, ...] = ()
    """In the order in which they are to be carried out."""
    refusal: Refusal | None = None
    """Set if the event was refused; then the state is unchanged and there are no effects."""
