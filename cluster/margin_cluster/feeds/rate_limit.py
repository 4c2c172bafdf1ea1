"""A token bucket: the limit that the exchange applies to requests."""

from dataclasses import dataclass, field


@dataclass
class TokenBucket:
    """Up to `capacity` requests at once, and `per_second` in the long run.

    Times are those of a monotonic clock, seconds.

    Examples
    --------
    >>> bucket = TokenBucket(per_second=2.0, capacity=2.0)
    >>> [bucket.take(0.0) for _ in range(4)]
    [0.0, 0.0, 0.5, 1.0]
    """

    per_second: float
    capacity: float
    _tokens: float = field(init=False)
    _at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tokens = self.capacity

    def take(self, now: float) -> float:
        """Reserve one request and return the delay in seconds after which it may be sent."""
        self._refill(now)
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self.per_second)

    def drain(self, now: float) -> None:
        """Empty the bucket: the source has reported that its own limit is reached."""
        self._refill(now)
        self._tokens = min(self._tokens, 0.0)

    def _refill(self, now: float) -> None:
        passed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._tokens = min(self.capacity, self._tokens + passed * self.per_second)
        self._at = now if self._at is None else max(self._at, now)
