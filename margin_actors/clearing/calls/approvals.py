"""Approvals: an action that requires two people is proposed by one and approved by another.

What is approved is the hash of the action with all its content, so that an approval cannot be used
for anything else. The proposal counts as the first approval.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from margin_actors.clearing.calls.times import require_utc
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_actors.market.identity import content_id


@dataclass(frozen=True, slots=True)
class HoldCall:
    """Suspend the consequence of missed deadlines of a call; the deadlines stay as they are."""

    call_id: str
    reason: str

    def __post_init__(self) -> None:
        _require_text(reason=self.reason)


@dataclass(frozen=True, slots=True)
class ExtendDeadline:
    """Set a later due time of one tranche."""

    call_id: str
    tranche: int
    """Number of the tranche, from 1."""
    due: datetime
    """UTC."""
    reason: str

    def __post_init__(self) -> None:
        _require_text(reason=self.reason)
        require_utc(due=self.due)


@dataclass(frozen=True, slots=True)
class CancelCall:
    """Cancel a call although its deficit remains."""

    call_id: str
    reason: str

    def __post_init__(self) -> None:
        _require_text(reason=self.reason)


@dataclass(frozen=True, slots=True)
class DeclareDefault:
    """Declare that the account failed to pay an overdue call."""

    call_id: str
    reason: str

    def __post_init__(self) -> None:
        _require_text(reason=self.reason)


Action = HoldCall | ExtendDeadline | CancelCall | DeclareDefault
"""An action that requires two people."""


@lru_cache(maxsize=1024)
def action_hash(action: Action) -> str:
    """Return the content id of an action, which covers its kind and all its fields."""
    parts: dict[str, object] = {"kind": type(action).__name__}
    for name in type(action).__slots__:
        value = getattr(action, name)
        parts[name] = value.isoformat() if isinstance(value, datetime) else value
    return content_id("action", parts)


@dataclass(frozen=True, slots=True)
class Approval:
    """The approvals of one action."""

    action_hash: str
    proposer: str
    """Identity of the person who proposed the action."""
    expires: datetime
    """Time from which the action can neither be approved nor executed, UTC."""
    is_declaration: bool
    """Whether the action declares a default; such approvals end with the overdue state."""
    approver: str = ""
    """Identity of the second person; empty until the action is approved."""

    def is_complete(self, now: datetime) -> bool:
        """Return whether two people approved the action and the approval has not expired."""
        return self.approver not in ("", self.proposer) and now < self.expires


def proposed(action: Action, proposer: str, now: datetime, *, minutes: int) -> Approval:
    """Return the proposal of an action, which expires after `minutes`."""
    expires = now + timedelta(minutes=minutes)
    return Approval(action_hash(action), proposer, expires, isinstance(action, DeclareDefault))


def approved(approval: Approval, approver: str) -> Approval:
    """Return the approval by a second person.

    Raises
    ------
    InvalidRequest
        If the approver is the proposer.
    """
    if approver == approval.proposer:
        problem = Problem("approver", f"{approver} proposed the action", "ask another person")
        raise InvalidRequest("the approval is not valid", [problem])
    return replace(approval, approver=approver)


def _require_text(**texts: str) -> None:
    problems = [Problem(name, "is empty") for name, text in texts.items() if not text.strip()]
    raise_if_any(problems, InvalidRequest, "the action is not valid")
