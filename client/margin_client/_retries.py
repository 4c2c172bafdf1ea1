"""When to try again: pure decisions about one call; the clients only wait and send."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from margin_client._status import REQUEST_ID_KEY
from margin_client.errors import BusyError, DeadlineError, MarginClientError, UnavailableError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How the client tries again where that helps: on UNAVAILABLE, and where told to come back.

    Every call may be repeated safely: reads change nothing, and what changes something carries a
    key under which a repeat has no further effect.
    """

    first_seconds: float = 0.1
    """Wait before the second attempt, at most; each later wait may be twice as long."""
    longest_seconds: float = 5.0
    """Longest wait, unless the service asks for a longer one."""
    attempts_max: int = 100
    """Attempts in all; 1 for none but the first. The deadline ends them earlier."""

    def __post_init__(self) -> None:
        if not (0 < self.first_seconds <= self.longest_seconds and self.attempts_max >= 1):
            raise ValueError(
                f"need 0 < first_seconds <= longest_seconds, attempts_max >= 1: {self}"
            )


class Attempts:
    """The attempts of one call, all under one request id and one deadline."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        timeout_seconds: float,
        request_id: str | None = None,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._policy, self._now, self._chance = policy, now, chance
        self._until = now() + timeout_seconds
        self._made = 1
        self.request_id = request_id or uuid4().hex
        self.metadata = ((REQUEST_ID_KEY, self.request_id),)

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline, for the attempt about to be made."""
        return max(self._until - self._now(), 0.001)

    def wait_after(self, error: MarginClientError) -> float:
        """Return the seconds to wait before the next attempt, or raise the error: give up.

        The wait is drawn evenly from what the policy allows, so that callers who failed together do
        not come back together, and is never shorter than the service asked for.
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

    def passed(self) -> DeadlineError:
        """Return the error of a deadline that passed between messages."""
        return DeadlineError(
            "the time allowed passed",
            code="DEADLINE_EXCEEDED",
            request_id=self.request_id,
            attempts=self._made,
        )
