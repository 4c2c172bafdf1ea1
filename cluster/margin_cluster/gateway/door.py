"""The door of a lane: so many calls at work, the others one after another, newcomers heard first.

gRPC hands over one new call at a time, and only while the event loop is free; what it has not
handed over waits below, where nobody can turn it away. A loop that went from one piece of work to
the next would hear of one newcomer for every call it serves, and callers would queue without bound
and unseen. So between two calls the door listens until nobody has come for a moment; while callers
are being turned away, for a millisecond and as long after it as calls come one upon another. A
caller who is alone waits for nothing.
"""

import asyncio
import time
from collections import deque

from margin_cluster.gateway.admission import Lane

_QUIET_SECONDS = 200e-6
"""gRPC hands over the next call within about half of this, where a processor is free for it."""
_LISTEN_SECONDS = 1.5e-3
_AT_ONCE_SECONDS = 350e-6
"""Calls that come one after another as fast as this had been waiting below."""
_PATIENCE_SECONDS = 20e-3
"""Longest that a call waits for newcomers, so that a flood of them does not stop all work."""


class Door:
    """The entrance to one lane; belongs to one event loop."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._last_arrival = self._last_leave = 0.0
        self._arrivals = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._freed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    def arrived(self) -> None:
        """Note that gRPC handed over a call."""
        self._last_arrival = time.monotonic()
        self._arrivals += 1

    async def enter(self) -> None:
        """Wait for a place in the lane and a turn; `leave` gives the place back."""
        lane = self.lane
        is_alone = lane.active == 0 and not self._queue
        was_idle = self._last_arrival - self._last_leave > _QUIET_SECONDS
        if is_alone and was_idle and not lane.is_pressed(self._last_arrival):
            lane.active += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        lane.waiting += 1
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # let in, but gone
                self.leave()
            raise
        finally:
            lane.waiting -= 1

    def leave(self) -> None:
        """Give the place back."""
        self.lane.active -= 1
        self._last_leave = time.monotonic()
        self._freed.set()

    async def _keep(self) -> None:
        """Let those who wait in, one by one, until nobody waits."""
        while self._queue:
            if self.lane.active >= self.lane.active_max:
                self._freed.clear()
                await self._freed.wait()
                continue
            await self._listen()
            turn = self._queue.popleft()
            if not turn.done():
                self.lane.active += 1
                turn.set_result(None)
                await asyncio.sleep(0)  # it does its work in here, up to where it waits
        self._keeper = None

    async def _listen(self) -> None:
        """Return when no newcomer seems to be on the way."""
        now = begin = time.monotonic()
        until = begin + _PATIENCE_SECONDS
        if not self.lane.is_pressed(now):
            while now < min(max(self._last_arrival, begin) + _QUIET_SECONDS, until):
                await asyncio.sleep(0)
                now = time.monotonic()
            return
        comes_at_once = True
        while comes_at_once and now < until:
            begin, before = now, self._arrivals
            while now < begin + _LISTEN_SECONDS:  # a loop's own clock may lag behind
                await asyncio.sleep(_LISTEN_SECONDS)
                now = time.monotonic()
            comes_at_once = (self._arrivals - before) * _AT_ONCE_SECONDS > now - begin
