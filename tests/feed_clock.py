"""A clock that runs faster than real time, so that waiting costs nothing."""

import asyncio
import time


class FastClock:
    """Time that passes `factor` times faster; `start` is the time of day at the beginning."""

    def __init__(self, factor: float = 200.0, start: float = 1_768_521_600.0) -> None:
        self.factor, self.start, self.slept = factor, start, list[float]()
        self._origin = time.monotonic()

    def time(self) -> float:
        return self.start + self.monotonic()

    def monotonic(self) -> float:
        return (time.monotonic() - self._origin) * self.factor

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(seconds / self.factor)


class SteppedClock:
    """A clock that moves only when something sleeps: deterministic, for one task."""

    def __init__(self, start: float = 1_768_521_600.0) -> None:
        self.now, self.start, self.slept = 0.0, start, list[float]()

    def time(self) -> float:
        return self.start + self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
