"""Waits until gRPC has handed over the calls that have arrived.

gRPC hands over one new call at a time, and only while the event loop is free: it completes the
request for a new call in a thread of its own, and the loop asks for the next one after it has
received this one. A loop that went from one piece of work to the next would receive one new call
for each that it serves; the others would wait where admission control does not see them. So before
each piece of work the loop is left free until no call has been handed over for a short while.

The short while follows the measured time between two calls handed over one right after the other,
which is the time that the next one would have needed. gRPC has no count of the calls that it holds,
except channelz, which renders the state of every connection each time.
"""

import asyncio
import time
from collections.abc import Callable

_QUIET_FACTOR = 4.0
_QUIET_SECONDS_MIN, _QUIET_SECONDS_MAX = 0.2e-3, 3e-3
_INTERVAL_SECONDS_MAX = 1e-3
"""Calls further apart than this arrived one after another, not together."""
_WAIT_SECONDS_MAX = 20e-3
"""Longest wait, so that a flood of calls does not stop all work."""
_PASSES_MIN = 2
"""Passes of the event loop in which a call that has been completed is certainly handed over."""


class Backlog:
    """The calls that one server has not handed over; belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = float("-inf")
        self._busy_until = float("-inf")
        self._was_idle = True
        self._interval = _QUIET_SECONDS_MIN / _QUIET_FACTOR
        self.handed = 0
        """Calls handed over so far."""

    @property
    def quiet_seconds(self) -> float:
        """Return how long no call must be handed over for the backlog to count as empty."""
        return min(max(_QUIET_FACTOR * self._interval, _QUIET_SECONDS_MIN), _QUIET_SECONDS_MAX)

    def handed_over(self) -> None:
        """Note that gRPC handed over a call."""
        now = self._clock()
        since = now - max(self._last, self._busy_until)
        self._was_idle = since > self.quiet_seconds
        if since < _INTERVAL_SECONDS_MAX and self._last > self._busy_until:
            self._interval += 0.1 * (since - self._interval)
        self._last = now
        self.handed += 1

    def work_done(self) -> None:
        """Note that a piece of work, which kept the event loop, has ended."""
        self._busy_until = self._clock()

    @property
    def is_empty(self) -> bool:
        """Return whether the last call came to an idle loop, or long enough ago."""
        return self._was_idle or self._clock() - self._last > self.quiet_seconds

    async def drained(self) -> None:
        """Return when no call has been handed over for a while, or after 20 ms."""
        until = self._clock() + _WAIT_SECONDS_MAX
        for _ in range(_PASSES_MIN):
            await asyncio.sleep(0)
        while (now := self._clock()) - self._last < self.quiet_seconds and now < until:
            await asyncio.sleep(0)
        self._was_idle = False
