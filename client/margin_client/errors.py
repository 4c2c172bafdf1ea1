"""Errors by what the caller can do about them; the counterpart of the service's table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a request, or missing for it."""

    field: str
    """Where, for example trades[3].quantity."""
    description: str
    """What is wrong and what to do."""


class MarginClientError(Exception):
    """A call failed. Subclasses say why; this class itself means an internal error of the service.

    Attributes
    ----------
    code : str
        Name of the gRPC status, for example UNAVAILABLE.
    message : str
        What is wrong, in one line.
    problems : tuple of Problem
        Every invalid field, if the service listed them.
    request_id : str
        Id of the request in the service's log.
    retry_seconds : float or None
        Delay that the service suggests before a repeat.
    attempts : int
        Number of attempts of the client.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "INTERNAL",
        problems: tuple[Problem, ...] = (),
        request_id: str = "",
        retry_seconds: float | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.problems = message, code, problems
        self.request_id, self.retry_seconds, self.attempts = request_id, retry_seconds, attempts

    def __str__(self) -> str:
        tried = f", tried {self.attempts} times" if self.attempts > 1 else ""
        request = f", request {self.request_id}" if self.request_id else ""
        lines = [f"{self.message} [{self.code}{tried}{request}]"]
        return "\n".join(lines + [f"  {p.field}: {p.description}" for p in self.problems])


class InvalidRequestError(MarginClientError):
    """The request is not valid; `problems` lists every invalid field. Change it before a repeat."""


class NotFoundError(MarginClientError):
    """There is no such account, calculation or scenario set."""


class NotReadyError(MarginClientError):
    """The service lacks data for the answer, or refuses an older snapshot; see `problems`."""


class ConflictError(MarginClientError):
    """The idempotency key was used for other content. Choose a new key for new content."""


class BusyError(MarginClientError):
    """The service rejected the call because of its load until the time limit."""


class UnavailableError(MarginClientError):
    """The service could not be reached, or could not answer, until the time limit.

    The request may or may not have had its effect; repeating it under the same idempotency key is
    safe.
    """


class DeadlineError(MarginClientError):
    """The time limit passed. The request may or may not have had its effect, as above."""


class AccessError(MarginClientError):
    """The caller is not authenticated or not authorised."""
