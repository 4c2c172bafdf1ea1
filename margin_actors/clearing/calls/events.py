"""Events of a margin call: results of cycles, messages of members and custodians, people, timers.

The time of an event is that of the ledger clock when it is committed; it is passed beside the
event.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from margin_actors.clearing.amounts import UNITS_MAX
from margin_actors.clearing.calls.approvals import Action
from margin_actors.clearing.calls.outages import Outage
from margin_actors.clearing.calls.times import require_utc
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_actors.market.identity import content_id


class TimerKind(StrEnum):
    """What happens when a timer fires."""

    DUE = "due"
    """A tranche becomes late if it is unpaid; the subject is the id of the tranche."""
    ATTESTATION = "attestation"
    """An attested payment no longer counts; the subject is the id of the payment."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A durable timer: stored with its absolute time, fired at or after it, at least once."""

    kind: TimerKind
    subject: str
    version: int
    """Version of the state by which the timer was set; timers that were replaced are stale."""
    at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True)
class RequirementCycle:
    """A requirement was calculated; the resources are read in the transaction that commits.

    The sender passes the requirement and never a deficit, which could have been paid meanwhile.
    """

    cycle: int
    """Number of the calculation cycle, increasing."""
    requirement_cents: int
    """US cents, at least 0."""
    resources_cents: int
    """US cents at commit: collateral after haircut, option value, unsettled variation; signed."""
    valued_at: datetime
    """Time of the market data from which the requirement was calculated, UTC."""
    is_frozen: bool = False
    """Whether the account is frozen, for example by a default in another class."""

    def __post_init__(self) -> None:
        require_utc(valued_at=self.valued_at)
        problems = [
            Problem("requirement", f"{self.requirement_cents} cents is not in 0…10^18")
            for _ in range(not 0 <= self.requirement_cents <= UNITS_MAX)
        ] + [
            Problem("resources", f"{self.resources_cents} cents exceeds 10^18")
            for _ in range(abs(self.resources_cents) > UNITS_MAX)
        ]
        raise_if_any(problems, InvalidRequest, "the requirement cycle is not valid")

    @property
    def deficit_cents(self) -> int:
        """Requirement less resources, US cents; positive if resources are missing."""
        return self.requirement_cents - self.resources_cents


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The member confirms that it has read the call."""

    call_id: str


@dataclass(frozen=True, slots=True)
class PaymentPending:
    """A custodian attests that a payment is under way."""

    payment_id: str
    content_hash: str
    """Hash of the attestation."""
    amount_cents: int
    """Value with which the payment is expected to count, US cents, positive."""
    expires: datetime
    """Time from which the attestation no longer counts, UTC."""

    def __post_init__(self) -> None:
        require_utc(expires=self.expires)
        _require_payment(self.payment_id, self.amount_cents)


@dataclass(frozen=True, slots=True)
class PaymentPosted:
    """A payment was credited to the account."""

    payment_id: str
    content_hash: str
    """Hash of the custodian's record, see `payment_hash`."""
    amount_cents: int
    """Value with which the payment counts, US cents, positive."""
    received_at: datetime
    """Time at which the custodian received the payment, UTC; decides whether it was timely."""

    def __post_init__(self) -> None:
        require_utc(received_at=self.received_at)
        _require_payment(self.payment_id, self.amount_cents)


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer reached its time."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class OutageEnded:
    """The service or the way of deposits was unavailable, and is available again."""

    outage: Outage


@dataclass(frozen=True, slots=True)
class ActionProposed:
    """A person proposes an action that requires two people."""

    action: Action
    by: str
    """Identity of the person."""

    def __post_init__(self) -> None:
        _require_person(self.by)


@dataclass(frozen=True, slots=True)
class ActionApproved:
    """A second person approves a proposed action."""

    action_hash: str
    by: str
    """Identity of the person."""

    def __post_init__(self) -> None:
        _require_person(self.by)


@dataclass(frozen=True, slots=True)
class ActionExecuted:
    """An approved action is to be executed; it is refused without its approvals."""

    action: Action


@dataclass(frozen=True, slots=True)
class HoldReleased:
    """One person ends a hold."""

    call_id: str
    by: str
    """Identity of the person."""

    def __post_init__(self) -> None:
        _require_person(self.by)


CallEvent = (
    RequirementCycle
    | Acknowledged
    | PaymentPending
    | PaymentPosted
    | TimerFired
    | OutageEnded
    | ActionProposed
    | ActionApproved
    | ActionExecuted
    | HoldReleased
)
"""Everything that can change the state of a margin call."""


def payment_hash(
    payment_id: str, *, account: str, asset: str, units: int, received_at: datetime
) -> str:
    """Return the content id of a custodian's record of a payment.

    Parameters
    ----------
    payment_id, account, asset : str
    units : int
        Amount in the smallest unit of the asset. The value in US cents is not part of the hash,
        because a repeated message may be valued at another price.
    received_at : datetime
        UTC.

    Raises
    ------
    InvalidRequest
        If the time is not in UTC.
    """
    require_utc(received_at=received_at)
    parts = {"id": payment_id, "account": account, "asset": asset, "units": units}
    return content_id("payment", {**parts, "received_at": received_at.isoformat()})


def _require_payment(payment_id: str, amount_cents: int) -> None:
    problems: list[Problem] = []
    if not payment_id:
        problems.append(Problem("payment_id", "is empty"))
    if not 0 < amount_cents <= UNITS_MAX:
        problems.append(Problem("amount", f"{amount_cents} cents is not in 1…10^18"))
    raise_if_any(problems, InvalidRequest, "the payment is not valid")


def _require_person(by: str) -> None:
    if not by.strip():
        raise InvalidRequest("the event is not valid", [Problem("by", "names no person")])
