"""The retry policy of calls. This module only decides; the clients wait and send."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from margin_client._status import REQUEST_ID_KEY
from margin_client.errors import BusyError, DeadlineError, MarginClientError, UnavailableError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter, for calls that fail with UnavailableError or BusyError.

    Every call can be retried safely: reads change nothing, and other calls carry an idempotency key
    under which a repeat has no further effect.
    """

    first_seconds: float = 0.1
    """Upper limit of the wait before the second attempt; it doubles with each attempt."""
    longest_seconds: float = 5.0
    """Largest upper limit of the wait. A delay that the service suggests is added to the wait."""
    attempts_max: int = 100
    """Maximum number of attempts; 1 for no retry. The deadline may end the attempts earlier."""

    def __post_init__(self) -> None:
        if not (0 < self.first_seconds <= self.longest_seconds and self.attempts_max >= 1):
            raise ValueError(
                f"need 0 < first_seconds <= longest_seconds, attempts_max >= 1: {self}"
            )


class Attempts:
    """The attempts of one call, which share a request id and a deadline.

    `now` returns the time in seconds, `chance` a uniform random number in [0, 1).
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        timeout_seconds: float,
        request_id: str | None = None,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if not timeout_seconds > 0:
            raise ValueError(f"timeout_seconds is {timeout_seconds!r}; give a number above 0")
        self._policy, self._now, self._chance = policy, now, chance
        self._until = now() + timeout_seconds
        self._made = 1
        self.request_id = request_id or uuid4().hex
        self.metadata = ((REQUEST_ID_KEY, self.request_id),)

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline, at least 0.001; the time limit of the next attempt."""
        return max(self._until - self._now(), 0.001)

    def wait_after(self, error: MarginClientError) -> float:
        """Return the seconds to wait before the next attempt, or raise `error` to give up.

        The wait is the delay that the service suggested plus a random time, uniform between 0 and
        the policy's limit, so that callers that failed together do not retry together.

        Raises
        ------
        MarginClientError
            `error`, if it is not retryable, the attempts are used up, or the deadline would pass.
        """
        error.attempts = self._made
        if not isinstance(error, UnavailableError | BusyError):
            raise error
        policy = self._policy
        if self._made >= policy.attempts_max:
            raise error
        allowed = min(policy.first_seconds * 2.0 ** (self._made - 1), policy.longest_seconds)
        wait = allowed * self._chance() + (error.retry_seconds or 0.0)
        if self._now() + wait >= self._until:
            raise error
        self._made += 1
        return wait

    def wait_or_raise(self, error: MarginClientError, cause: Exception) -> float:
        """Return what `wait_after` returns; an error that it raises has `cause` as its cause."""
        try:
            return self.wait_after(error)
        except MarginClientError:
            raise error from cause

    def passed(self) -> DeadlineError:
        """Return the error for a deadline that passed before the call was sent."""
        return DeadlineError(
            "the time limit passed before the call was sent",
            code="DEADLINE_EXCEEDED",
            request_id=self.request_id,
            attempts=self._made,
        )
