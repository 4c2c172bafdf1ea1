"""The door of a lane: so many calls at work, the others one after another, newcomers heard first.

gRPC hands over one new call at a time, and only while the event loop is free; what it has not
handed over waits below, where nobody can turn it away. A loop that went from one piece of work to
the next would hear of one newcomer for every call it serves, and callers would queue without bound
and unseen. So before each piece of work the door lets the loop take over all who have come.
"""

import asyncio
import time
from collections import deque

from margin_cluster.gateway.admission import Lane
from margin_cluster.gateway.backlog import Backlog

_PATIENCE_SECONDS = 20e-3
"""Longest that a call waits for newcomers, so that a flood of them does not stop all work."""
_SILENCE_SECONDS = 5e-3
"""Longest wait for the next of them, while the loop is free."""


class Door:
    """The entrance to one lane; belongs to one event loop."""

    def __init__(self, lane: Lane, backlog: Backlog) -> None:
        self.lane, self._backlog = lane, backlog
        self._queue: deque[asyncio.Future[None]] = deque()
        self._freed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def enter(self) -> None:
        """Wait for a place in the lane and a turn; `leave` gives the place back."""
        lane = self.lane
        is_alone = lane.active == 0 and not self._queue
        if is_alone and self._backlog.known >= self._backlog.arrived():
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
        self._freed.set()

    async def _keep(self) -> None:
        """Let those who wait in, one by one, until nobody waits."""
        while self._queue:
            if self.lane.active >= self.lane.active_max:
                self._freed.clear()
                await self._freed.wait()
                continue
            await self._take_over()
            turn = self._queue.popleft()
            if not turn.done():
                self.lane.active += 1
                turn.set_result(None)
                await asyncio.sleep(0)  # it does its work in here, up to where it waits
        self._keeper = None

    async def _take_over(self) -> None:
        """Return when all who had come have been handed over."""
        backlog = self._backlog
        arrived, known = backlog.arrived(), backlog.known
        now = heard = time.monotonic()
        until = now + _PATIENCE_SECONDS
        while known < arrived and now < until:
            await asyncio.sleep(0)
            now = time.monotonic()
            if backlog.known > known:
                known, heard = backlog.known, now
            elif now - heard > _SILENCE_SECONDS:
                break
        backlog.left_over(max(arrived - backlog.known, 0), now)
