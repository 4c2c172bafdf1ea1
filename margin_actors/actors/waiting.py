"""Requests of gateways that wait for another generation than the one they hold."""

import math
from dataclasses import dataclass, field

from margin_actors.actors.instructions import AnswerWaiting


@dataclass(frozen=True, slots=True)
class Waiting:
    """One request that waits."""

    seen: tuple[int, int]
    """Generation that the gateway holds, (number, revision)."""
    until: float
    """Time at which the gateway requires an answer, seconds of the monotonic clock."""


@dataclass
class WaitingRequests:
    """All requests that wait, by number."""

    requests: dict[int, Waiting] = field(default_factory=dict[int, Waiting])

    @property
    def next_time(self) -> float:
        """Time at which the next request requires an answer; infinite if none waits."""
        return min((waiting.until for waiting in self.requests.values()), default=math.inf)

    def add(
        self, request: int, waiting: Waiting, offered: tuple[int, int] | None
    ) -> tuple[AnswerWaiting, ...]:
        """Add a request, or answer it if the generation offered is another than it holds."""
        if offered is not None and offered != waiting.seen:
            return (AnswerWaiting(request, is_new=True),)
        self.requests[request] = waiting
        return ()

    def answer_new(self) -> tuple[AnswerWaiting, ...]:
        """Answer all requests, because a generation is offered that no gateway holds yet."""
        return self._answer(list(self.requests), True)

    def answer_late(self, now: float) -> tuple[AnswerWaiting, ...]:
        """Answer the requests whose time has passed."""
        return self._answer([n for n, w in self.requests.items() if w.until <= now], False)

    def _answer(self, requests: list[int], is_new: bool) -> tuple[AnswerWaiting, ...]:
        for request in requests:
            del self.requests[request]
        return tuple(AnswerWaiting(request, is_new) for request in requests)

    def check_invariants(self, offered: tuple[int, int] | None) -> None:
        """Assert that every request that waits holds the generation offered."""
        if offered is not None:
            assert all(waiting.seen == offered for waiting in self.requests.values())
