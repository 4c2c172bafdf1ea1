"""What can go wrong, by what the caller can do about it; mirrors the service's table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a request, or missing for it."""

    field: str
    """Where, for example trades[3].quantity."""
    description: str
    """What is wrong and what to do."""


class MarginClientError(Exception):
    """A call failed; the other classes say how. This one: the service broke its own invariant.

    Attributes
    ----------
    code : str
        Name of the gRPC status, for example UNAVAILABLE.
    message : str
        What was wrong, in one line.
    problems : tuple of Problem
        Every bad field at once, where the service named them.
    request_id : str
        The id of the request in the service's log; quote it when you ask for help.
    retry_seconds : float or None
        After how long the service suggests to come back.
    attempts : int
        How often the client tried.
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
    """The request is wrong; `problems` names every bad field. Do not repeat it as it is."""


class NotFoundError(MarginClientError):
    """There is no such account, calculation or scenario set."""


class NotReadyError(MarginClientError):
    """The service lacks what the answer needs; `problems` says what. Repeat once it has arrived."""


class ConflictError(MarginClientError):
    """The idempotency key was used for other content. Choose a new key for new content."""


class BusyError(MarginClientError):
    """The service has all the calls it can serve, and stayed so for as long as was allowed."""


class UnavailableError(MarginClientError):
    """The service could not be reached, or lost what it needed, for as long as was allowed.

    The request may or may not have had its effect; repeating it under the same idempotency key is
    safe.
    """


class DeadlineError(MarginClientError):
    """The time allowed passed. The request may or may not have had its effect; see above."""


class AccessError(MarginClientError):
    """The caller is not known, or not allowed to do this."""
