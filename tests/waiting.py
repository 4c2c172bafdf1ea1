"""Waiting for a condition with a deadline."""

import asyncio
import time
from collections.abc import Callable

_POLL_SECONDS = 0.02


def wait_until(is_true: Callable[[], object], seconds: float = 30.0) -> None:
    """Return as soon as the condition holds; fail if it does not hold in time."""
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, f"the condition did not hold within {seconds:g} s"
        time.sleep(_POLL_SECONDS)


async def wait_until_async(is_true: Callable[[], object], seconds: float = 30.0) -> None:
    """Return as soon as the condition holds, while the event loop runs; fail if it does not."""
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, f"the condition did not hold within {seconds:g} s"
        await asyncio.sleep(_POLL_SECONDS)
