"""Who may come in: so many calls at work, so few waiting, and the rest told at once to come back.

A queue only moves the wait from the caller, who could do something else, to here; so it is kept as
short as evens out the arrivals, and shorter while callers are being turned away: what does not get
shorter by itself is no burst. The numbers are settings of the gateway; the decision is pure.
"""

from dataclasses import dataclass

PRESSED_SECONDS = 0.25
"""A lane is pressed so long after it turned a caller away."""
_PRESSED_SHARE = 4
"""Of its places, a lane that is pressed keeps one in so many."""


@dataclass(slots=True)
class Lane:
    """One class of calls with its own limits."""

    name: str
    active_max: int
    waiting_max: int
    active: int = 0
    waiting: int = 0
    rejected: int = 0
    last_rejection: float = float("-inf")
    """Of the monotonic clock."""
    seconds: float = 0.05
    """Smoothed time that a call takes, for the delay told to those turned away."""

    def is_pressed(self, now: float) -> bool:
        """Return whether callers have been turned away lately."""
        return now - self.last_rejection < PRESSED_SECONDS

    def is_full(self, now: float) -> bool:
        """Return whether another call would be turned away."""
        places = self.active_max + self.waiting_max
        if self.is_pressed(now):
            places = max(places // _PRESSED_SHARE, 1)
        return self.active + self.waiting >= places

    def turn_away(self, now: float) -> float:
        """Count a rejection and return the seconds after which a place should be free."""
        self.rejected += 1
        self.last_rejection = now
        queue = (self.active + self.waiting) / self.active_max
        return min(max(self.seconds * queue, 0.05), 5.0)

    def note_duration(self, seconds: float) -> None:
        """Learn from a finished call."""
        self.seconds += 0.05 * (seconds - self.seconds)


@dataclass(slots=True)
class Lanes:
    """The lanes of a gateway, and which call takes which."""

    quick: Lane
    """Unary calls."""
    long: Lane
    """Streams: books, uploads, snapshots, builds."""

    def of(self, *, is_stream: bool) -> Lane:
        """Return the lane of a call."""
        return self.long if is_stream else self.quick
