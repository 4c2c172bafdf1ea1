"""Documents of the clearing day: the story of an account, and a simulated day."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from margin_cluster.cli.schemas.base import Document, Record


class AuditReference(Record):
    """An identifier that a line mentions."""

    what: str
    """For example call, tranche, payment, calculation, market snapshot, model."""
    id: str
    """The identifier."""


class AuditLine(Record):
    """One line of the story of an account."""

    at: datetime
    """Time of the ledger clock, UTC."""
    topic: str
    """What the line is about: account, rules, requirement, call, payment, settlement, trade,
    withdrawal, reservation, decision or alarm."""
    tone: Literal["plain", "good", "warning", "bad"]
    """Emphasis: bad for missed deadlines and defaults, warning for what is owed or doubtful."""
    title: str
    """A few words."""
    text: str
    """Sentences with all amounts and times."""
    actor: str
    """The person or process that caused it."""
    people: list[str]
    """Who decided besides the actor, with the role: approved by bob."""
    number: int
    """Number of the event in the log of the clearing house."""
    event_id: str
    """Id of the event."""
    entry_hash: str
    """Hash of the entry of the ledger that proves the line."""
    references: list[AuditReference]
    """Identifiers that the line mentions."""


class AuditPosition(Record):
    """Where the account stands at one end of the period."""

    at: datetime | None
    """Time of the last event that is included, UTC; null before the first event."""
    number: int
    """Number of that event."""
    requirement_usd: float | None
    """Requirement; null before the first calculation."""
    resources_usd: float | None
    """Resources; null if the account was not open or could not be valued."""
    call: str
    """The margin call in words."""
    balances: list[str]
    """Collateral and settled cash by asset."""


class AuditDocument(Document):
    """Printed by `margin audit`. What happened to one account, with the entries that prove it."""

    form_id: Literal["margin.audit/1"] = Field(default="margin.audit/1", alias="schema")
    """Name and version of this form."""
    account: str
    """The account."""
    member: str
    """The clearing member."""
    call_account: str
    """The account in whose name calls are issued."""
    first: datetime | None
    """Start of the period, UTC, inclusive; null for the beginning of the log."""
    last: datetime | None
    """End of the period, UTC, inclusive; null for the end of the log."""
    opening: AuditPosition
    """Position before the period."""
    lines: list[AuditLine]
    """The story, in the order of the log."""
    closing: AuditPosition
    """Position at the end of the period."""
    cycles: int
    """Number of requirement cycles of the account; not each of them has a line."""
    models: list[str]
    """Ids of the margin models of these cycles."""
    head_number: int
    """Number of the last event of the log when it was read."""
    head_hash: str
    """Hash of the last entry, which covers all entries before it."""


class SimulateDayDocument(Document):
    """Result of a simulated day; amounts in US dollars."""

    form_id: Literal["margin.simulate-day/1"] = Field(
        default="margin.simulate-day/1", alias="schema"
    )
    """Name and version of this form."""
    out: str
    """Folder with ledger.sqlite, report.html and plan.json."""
    plan_id: str
    """Content id of everything that determines the log."""
    start: datetime
    """First minute of the day, UTC."""
    end: datetime
    """Last minute of the day, UTC."""
    rules: list[str]
    """The rules of the market, the collateral and the members in words."""
    cycles: int
    """Number of requirement cycles."""
    accounts: int
    """Number of clearing accounts."""
    contracts_omitted: int
    """Contracts of the book that the market does not price at the start."""
    calls_issued: int
    """Number of margin calls."""
    calls_met: int
    """Calls that are paid in full at the end."""
    calls_overdue: int
    """Calls that missed a deadline."""
    calls_unpaid_usd: float
    """Called and not paid at the end."""
    accounts_short: int
    """Accounts in deficit at the last cycle."""
    deficit_usd: float
    """Sum of their deficits, at least 0."""
    requirement_usd: float
    """Sum of the requirements at the last cycle."""
    resources_usd: float
    """Sum of the resources at the last cycle."""
    settlements: list[str]
    """Ids of the settlements that were booked."""
    is_sound: bool
    """True if the hash chain is intact and nothing was created or lost; otherwise the exit code is
    2."""
    findings: list[str]
    """What is not sound."""
    head_sequence: int
    """Number of the last entry of the ledger."""
    head_hash: str
    """Its hash; equal plans on equal files give equal hashes."""
    seconds: float
    """Duration of the command's run, with opening and verification."""
    synthetic: bool
    """True if the market is synthetic."""
