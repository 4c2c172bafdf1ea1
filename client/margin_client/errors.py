"""Errors of calls, classified by what the caller can do about them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a request, or one thing that the service lacks for it."""

    field: str
    """Field or subject concerned, for example trades[3].quantity."""
    description: str
    """Description of the fault and its remedy."""


class MarginClientError(Exception):
    """A call failed. Subclasses state the cause; the class itself is an error inside the service.

    Attributes
    ----------
    code : str
        Name of the gRPC status, for example UNAVAILABLE.
    message : str
        Description of the fault in one line.
    problems : tuple of Problem
        All faults of the request, if the service listed them.
    request_id : str
        Id of the request in the service's log.
    retry_seconds : float or None
        Delay in seconds that the service suggests before a retry.
    attempts : int
        Number of attempts that the client made.
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
    """The request is invalid; `problems` lists all invalid fields. Correct it before a retry."""


class NotFoundError(MarginClientError):
    """There is no such account, calculation or scenario set."""


class NotReadyError(MarginClientError):
    """The service lacks data for the answer, or rejected an outdated snapshot; see `problems`."""


class RefusedError(NotReadyError):
    """The clearing house refused the request; `problems` names the rule and gives the reason."""


class ConflictError(MarginClientError):
    """The idempotency key was already used with other content. Use a new key for new content."""


class BusyError(MarginClientError):
    """The service rejected all attempts of the call because of its load."""


class UnavailableError(MarginClientError):
    """The service could not be reached, or could not answer, in all attempts of the call.

    The request may or may not have had its effect. Repeating it with the same idempotency key is
    safe.
    """


class DeadlineError(MarginClientError):
    """The time limit of the call passed.

    The request may or may not have had its effect. Repeating it with the same idempotency key is
    safe.
    """


class AccessError(MarginClientError):
    """The caller is not authenticated or not authorised."""
