"""The call in progress: its id and its deadline, known everywhere below the handler."""

import time
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One call."""

    method: str
    """Without the package, for example MarginService/CalculateMargin."""
    request_id: str
    """The caller's x-request-id, or one made here; in every log line, error and record."""
    started: float
    """Of the monotonic clock."""
    until: float
    """Deadline of the monotonic clock: the caller's, or the service's own limit."""

    @property
    def seconds(self) -> float:
        """Seconds since it came."""
        return time.monotonic() - self.started


current: ContextVar[Call] = ContextVar("call")
