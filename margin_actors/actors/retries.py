"""Repetition of work after a loss of a process, a node or an object."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from margin_actors.actors.faults import cause_of, is_loss, is_ours
from margin_actors.actors.plan import RETRY
from margin_actors.errors import ClusterUnavailable

T = TypeVar("T")


async def repeat_losses(work: Callable[[int], Awaitable[T]], *, until: float, exhausted: str) -> T:
    """Return the result of `work`, which is repeated after a loss until a deadline.

    Parameters
    ----------
    work : callable
        Receives the number of the attempt, from 0; must be safe to repeat.
    until : float
        Deadline, seconds of the monotonic clock. `work` observes it itself.
    exhausted : str
        Summary of the error if the next attempt would begin after the deadline.

    Raises
    ------
    ClusterUnavailable
        If the next attempt would begin after the deadline.
    MarginError
        If the work raised one.
    """
    attempt = 0
    while True:
        try:
            return await work(attempt)
        except Exception as error:
            if is_ours(error):
                raise cause_of(error) from None
            if not is_loss(error):
                raise
        delay = RETRY.delay_seconds(attempt)
        if time.monotonic() + delay >= until:
            raise ClusterUnavailable(exhausted)
        await asyncio.sleep(delay)
        attempt += 1
