"""Decisions that require two people."""

from dataclasses import dataclass
from datetime import datetime

from margin_actors.clearing.settlement.exact import time_problems, utc_text
from margin_actors.errors import InvalidRequest, Problem, raise_if_any


@dataclass(frozen=True)
class Decision:
    """Two different people decided something, for a stated reason.

    Raises
    ------
    InvalidRequest
        If a name or the reason is empty, both names are the same, or the time is not in UTC.
    """

    proposer: str
    approver: str
    reason: str
    time: datetime
    """Time of the approval, UTC."""

    def __post_init__(self) -> None:
        """Check that two people decided and stated a reason."""
        problems = time_problems(self.time, "time")
        for name in ("proposer", "approver", "reason"):
            if not getattr(self, name).strip():
                problems.append(Problem(name, "is empty"))
        if self.proposer.strip() == self.approver.strip():
            what = f"is the proposer, {self.proposer!r}"
            problems.append(Problem("approver", what, "another person must approve"))
        raise_if_any(problems, InvalidRequest, "the decision is not valid")

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """The decision as inputs of an event or group."""
        return (
            ("proposer", self.proposer),
            ("approver", self.approver),
            ("reason", self.reason),
            ("decided_at", utc_text(self.time)),
        )
