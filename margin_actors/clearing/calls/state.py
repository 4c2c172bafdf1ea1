"""The state of the margin calls of one account and class.

Amounts are int in US cents, the smallest unit of `amounts.USD`. A payment in another asset counts
with the value that the ledger credited. At most one call is open, because the state has room for
one; a further deficit is called by a further tranche of the same call.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from margin_actors.clearing.calls.approvals import Approval
from margin_actors.clearing.calls.outages import Outage


class CallClass(StrEnum):
    """What is called; an account has at most one open call per class."""

    INITIAL = "initial"
    """Initial margin, and variation losses that count against resources."""
    VARIATION = "variation"
    """Variation that is due in cash."""
    DEFAULT_FUND = "default_fund"
    """Contribution to the default fund."""


class CallStatus(StrEnum):
    """Status of the current or last call."""

    NONE = "none"
    """No call was ever issued."""
    ISSUED = "issued"
    ACKNOWLEDGED = "acknowledged"
    """The member confirmed that it has read the call."""
    PARTLY_MET = "partly_met"
    """Something has been paid, and no tranche is late."""
    OVERDUE = "overdue"
    """The due time of a tranche passed before it was paid."""
    MET = "met"
    """Everything has been paid."""
    CANCELLED = "cancelled"
    """The deficit disappeared, or two people cancelled the call."""
    DEFAULT_DECLARED = "default_declared"
    """Two people declared the default of the account; no event leaves this status."""


OPEN = frozenset(
    {CallStatus.ISSUED, CallStatus.ACKNOWLEDGED, CallStatus.PARTLY_MET, CallStatus.OVERDUE}
)
"""Statuses in which something remains to be paid."""


@dataclass(frozen=True, slots=True)
class Tranche:
    """A part of a call with a due time of its own."""

    number: int
    """From 1, in the order of issue."""
    amount_cents: int
    """Called amount after reductions, at least `paid_cents`."""
    issued_at: datetime
    """UTC."""
    due: datetime
    """UTC; only an extension or an outage changes it."""
    granted_due: datetime
    """Due time set at the issue or by an extension, before outages, UTC."""
    granted_at: datetime
    """Time at which `granted_due` was set, UTC; outages extend it from then on."""
    assets: tuple[str, ...]
    """Assets in which the tranche can be paid, in order of preference."""
    timer_version: int
    """Version of the state in which the timer of `due` was set; other timers are stale."""
    paid_cents: int = 0
    is_late: bool = False
    """Whether the timer found the tranche unpaid at its due time, without a hold."""
    passed_under_hold: bool = False
    """Whether the due time passed unpaid while the call was held."""

    @property
    def unpaid_cents(self) -> int:
        """Amount that remains to be paid, US cents, at least 0."""
        return self.amount_cents - self.paid_cents


@dataclass(frozen=True, slots=True)
class AttestedPayment:
    """A payment under way, which a custodian has attested and which is not credited yet."""

    payment_id: str
    content_hash: str
    amount_cents: int
    expires: datetime
    """Time from which the attestation no longer counts, UTC."""
    timer_version: int
    """Version of the state in which the timer of `expires` was set."""


@dataclass(frozen=True, slots=True)
class KnownPayment:
    """The identity of a payment that has been posted."""

    payment_id: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class CallState:
    """The current or last call of one account and class, and what former calls leave behind."""

    account: str
    call_class: CallClass
    number: int = 0
    """Number of the current or last call, from 1; 0 if no call was ever issued."""
    status: CallStatus = CallStatus.NONE
    tranches: tuple[Tranche, ...] = ()
    """In the order of issue."""
    is_acknowledged: bool = False
    is_held: bool = False
    """Whether the consequence of missed deadlines is suspended."""
    attested: tuple[AttestedPayment, ...] = ()
    payments: tuple[KnownPayment, ...] = ()
    """All payments posted so far, also those of former calls."""
    approvals: tuple[Approval, ...] = ()
    outages: tuple[Outage, ...] = ()
    """Union of the outages reported for this call that are longer than the limit, in order."""
    cycles_at_release: int = 0
    """Number of consecutive requirement cycles at or below release."""
    last_cycle: int = 0
    """Number of the last requirement cycle; repeated and older cycles are ignored."""
    version: int = 0
    """Number of changes; for compare and set."""
    changed_at: datetime | None = None
    """Time of the last change, UTC; None before the first."""

    @property
    def call_id(self) -> str:
        """Id of the current or last call."""
        return f"call/{self.account}/{self.call_class}/{self.number}"

    @property
    def is_open(self) -> bool:
        """Whether a call is open."""
        return self.status in OPEN

    @property
    def out_cents(self) -> int:
        """Called and not paid, US cents; 0 if no call is open or in default."""
        if self.is_open or self.status is CallStatus.DEFAULT_DECLARED:
            return sum(tranche.unpaid_cents for tranche in self.tranches)
        return 0

    def tranche_id(self, number: int) -> str:
        """Return the id of a tranche of the current call."""
        return f"{self.call_id}/{number}"
