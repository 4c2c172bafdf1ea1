"""Waits until gRPC has handed over the calls that have arrived.

gRPC hands over one new call at a time, and only while the event loop is free. An event loop that is
never idle would receive only one new call for each call that it serves. The others would wait
inside gRPC, where admission control cannot count them. Therefore the loop yields before each work
item until gRPC holds no new call.

gRPC reports the number of calls that it holds only through channelz, which renders the state of
every connection on each request. But the order of its events is enough. When a call is handed over,
gRPC has already been asked for the next one, and it completes operations in the order in which they
become possible. So once a call has received its first message, or has sent its status, the next
call has been handed over too, or there was none at that time.
"""

import asyncio
import time
from collections.abc import Callable

_PASSES = 6
"""Iterations of the event loop after which a call that gRPC has completed reaches its handler."""
_SILENCE_SECONDS_MAX = 5e-3
"""Longest wait without progress, because the last call handed over may never send its message."""
_WAIT_SECONDS_MAX = 20e-3
"""Longest total wait, so that a flood of calls does not stop all work."""


class Backlog:
    """Tracks the calls that one gRPC server has not handed over yet; belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._handed = 0
        self._confirmed = 0

    def handed_over(self) -> int:
        """Count a call that gRPC handed over, and return its number."""
        self._handed += 1
        return self._handed

    def confirm(self, number: int) -> None:
        """Note that gRPC completed an operation of a call, and so has handed over the next one."""
        self._confirmed = max(self._confirmed, number)

    async def drained(self) -> None:
        """Return when gRPC has no call left to hand over, or after 20 ms."""
        progress = self._clock()
        until = progress + _WAIT_SECONDS_MAX
        while True:
            before = self._handed
            for _ in range(_PASSES):
                await asyncio.sleep(0)
            now = self._clock()
            if self._handed != before:
                progress = now
            elif self._confirmed >= before:
                return
            elif now - progress > _SILENCE_SECONDS_MAX:
                self._confirmed = before
                return
            if now >= until:
                return
