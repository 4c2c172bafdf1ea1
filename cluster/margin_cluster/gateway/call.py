"""The call in progress, available to everything below the handler."""

import time
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """Identity and timing of one call."""

    method: str
    """Service and method without the package, for example MarginService/CalculateMargin."""
    request_id: str
    """The caller's x-request-id, or a generated one; in every log line, error and record."""
    started: float
    """Monotonic time of arrival, seconds."""
    until: float
    """Monotonic time of the deadline, seconds: the earlier of the caller's and the service's."""
    caller: str
    """Identity in the caller's certificate, or without one the caller's address without the port;
    printable, at most 128 characters."""
    is_authenticated: bool = False
    """Whether `caller` is the identity in a verified certificate."""

    @property
    def seconds(self) -> float:
        """Return the seconds since the call arrived."""
        return time.monotonic() - self.started


current: ContextVar[Call] = ContextVar("call")
