"""The call in progress, available to everything below the handler."""

import time
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One call."""

    method: str
    """Without the package, for example MarginService/CalculateMargin."""
    request_id: str
    """The caller's x-request-id, or a generated one; in every log line, error and record."""
    started: float
    """Monotonic time of arrival, seconds."""
    until: float
    """Monotonic time of the deadline, seconds: the caller's, or the service's own limit."""
    caller: str
    """Identity in the caller's certificate, else its address without the port of the connection;
    printable, at most 128 characters."""

    @property
    def seconds(self) -> float:
        """Return the seconds since it arrived."""
        return time.monotonic() - self.started


current: ContextVar[Call] = ContextVar("call")
