"""Delays between attempts that failed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """A delay that doubles with every failed attempt, up to a maximum."""

    first_seconds: float
    """Delay after the first failed attempt."""
    max_seconds: float
    """Maximum delay."""

    def delay_seconds(self, attempt: int) -> float:
        """Return the delay after failed attempt `attempt`, counted from 0.

        Examples
        --------
        >>> [Backoff(0.1, 0.5).delay_seconds(attempt) for attempt in range(4)]
        [0.1, 0.2, 0.4, 0.5]
        """
        return min(self.first_seconds * 2.0 ** min(attempt, 30), self.max_seconds)
