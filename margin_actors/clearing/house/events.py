"""Events of the clearing house: everything that its log records, in one union.

The state is the fold of these events. An event carries what was decided and not only what was
asked, so that the past does not depend on later versions of the rules: the state of a call after a
transition with its effects, the resources of all accounts in a cycle.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from margin_actors.clearing.calls import Approval, Outage
from margin_actors.clearing.house.account_events import (
    AccountOpened,
    CallChanged,
    ReminderSent,
    ReservationQuoted,
    WithdrawalChanged,
)
from margin_actors.clearing.house.acts import ACT, Act, ExemptionKind
from margin_actors.clearing.house.book_events import ContractChanged, CycleRecorded
from margin_actors.clearing.house.call_forms import APPROVAL, OUTAGE
from margin_actors.clearing.house.forms import (
    BOOLEAN,
    INTEGER,
    MOMENT,
    TEXT,
    enumeration,
    many,
    optional,
    section,
)
from margin_actors.clearing.house.parameters import HouseParameters
from margin_actors.clearing.house.recorded import Recorded, recorded
from margin_actors.clearing.journal import Group


class ApprovalStep(StrEnum):
    """What happened to the approval of an act."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    EXECUTED = "executed"
    LAPSED = "lapsed"
    """It expired before it was executed."""


@recorded(
    "approval",
    step=enumeration(ApprovalStep),
    act=ACT,
    approval=APPROVAL,
    cause=TEXT,
)
@dataclass(frozen=True)
class ApprovalChanged(Recorded):
    """An act was proposed, approved or executed, or its approval lapsed."""

    step: ApprovalStep
    act: Act
    approval: Approval
    cause: str
    """Id of the command, or of the approval that lapsed."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"approval/{self.step.value}/{self.cause}"


@recorded(
    "parameters",
    parameters=section(HouseParameters),
    cause=TEXT,
)
@dataclass(frozen=True)
class ParametersRecorded(Recorded):
    """The parameters that apply from now on."""

    parameters: HouseParameters
    cause: str
    """Id of the command."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"parameters/{self.cause}"


class HouseAlarm(StrEnum):
    """What requires the attention of the operator."""

    SILENT_SOURCE = "silent_source"
    """A source of market data delivers nothing."""
    REJECTED_SNAPSHOT = "rejected_snapshot"
    """A market snapshot failed its checks and was not used."""
    OUTAGE = "outage"
    """The service, or the way by which deposits arrive, was unavailable."""
    STALE_VALUATION = "stale_valuation"
    """The valuation of a cycle was too old for decisions."""
    PAYMENT_CHANGED = "payment_changed"
    """A known payment arrived with another content."""
    PAYMENT_NOT_VALUED = "payment_not_valued"
    """A payment was credited and, without a price, not allocated to the call."""
    MARK_MISSING = "mark_missing"
    """A position that changed after the calculation could not be valued again."""
    OTHER = "other"


@recorded(
    "alarm",
    alarm=enumeration(HouseAlarm),
    subject=TEXT,
    what=TEXT,
    cause=TEXT,
    outage=optional(OUTAGE),
)
@dataclass(frozen=True)
class AlarmRaised(Recorded):
    """An observation that requires attention."""

    alarm: HouseAlarm
    subject: str
    """What is concerned: a source, an account, a snapshot."""
    what: str
    """Description with the values concerned."""
    cause: str
    """Id of the command; one command raises an alarm once per kind and subject."""
    outage: Outage | None = None
    """The outage that was reported, if it is one."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"alarm/{self.alarm.value}/{self.cause}/{self.subject}"


@recorded(
    "clock",
    after=INTEGER,
    wall=MOMENT,
    second=optional(MOMENT),
)
@dataclass(frozen=True)
class ClockRead(Recorded):
    """The clock was read; `second` is an independent clock that confirms a jump."""

    after: int
    """Number of the entry before."""
    wall: datetime
    """UTC."""
    second: datetime | None = None
    """UTC; None if only one clock was read."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"clock/{self.after}"


@recorded(
    "exemption",
    kind=enumeration(ExemptionKind),
    subject=TEXT,
    until=MOMENT,
    reason=TEXT,
    people=many(TEXT),
    is_granted=BOOLEAN,
    cause=TEXT,
)
@dataclass(frozen=True)
class ExemptionChanged(Recorded):
    """An exemption began or ended."""

    kind: ExemptionKind
    subject: str
    until: datetime
    """UTC."""
    reason: str
    people: tuple[str, ...]
    """Proposer and approver; who ended it, if `is_granted` is false."""
    is_granted: bool
    cause: str
    """Id of the command or timer."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"exemption/{self.kind.value}/{self.cause}/{self.subject}"


@dataclass(frozen=True)
class Reply:
    """What an accepted command caused."""

    subjects: tuple[str, ...] = ()
    """Ids of the calls, actions, withdrawals or reservations concerned; see the command."""
    first_number: int = 0
    """Number of the first entry that the command caused; 0 if it caused none."""
    last_number: int = 0


@recorded(
    "command",
    command_id=TEXT,
    command_kind=TEXT,
    command_hash=TEXT,
    actor=TEXT,
    count=INTEGER,
    subjects=many(TEXT),
)
@dataclass(frozen=True)
class CommandDecided(Recorded):
    """A command was accepted; the entries before it are what it caused."""

    command_id: str
    command_kind: str
    command_hash: str
    """Hash of the whole command, by which a repetition is recognised."""
    actor: str
    count: int
    """Number of entries directly before this one that the command caused."""
    subjects: tuple[str, ...] = ()
    """`Reply.subjects`."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"command/{self.command_id}"


HouseEvent = (
    Group
    | AccountOpened
    | CallChanged
    | CycleRecorded
    | ApprovalChanged
    | ParametersRecorded
    | ContractChanged
    | WithdrawalChanged
    | ReminderSent
    | ReservationQuoted
    | AlarmRaised
    | ClockRead
    | ExemptionChanged
    | CommandDecided
)
"""What the log records."""
