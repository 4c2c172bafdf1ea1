"""Who may come in: so many calls at work, so few waiting, and the rest told at once to come back.

A queue only moves the wait from the caller, who could do something else, to here; so it is kept as
short as evens out the arrivals. The numbers are settings of the gateway; the decision is pure.
"""

from dataclasses import dataclass

from margin_actors.errors import Overloaded


@dataclass(slots=True)
class Lane:
    """One class of calls with its own limits."""

    name: str
    active_max: int
    waiting_max: int
    active: int = 0
    waiting: int = 0
    rejected: int = 0
    seconds: float = 0.05
    """Smoothed time that a call takes, for the delay told to those turned away."""

    @property
    def is_full(self) -> bool:
        """True where another call would be turned away."""
        return self.active + self.waiting >= self.active_max + self.waiting_max

    def turned_away(self) -> Overloaded:
        """Count a rejection and return it, with the delay after which a place should be free."""
        self.rejected += 1
        error = Overloaded(f"the service has all the {self.name} it can serve")
        queue = (self.active + self.waiting) / self.active_max
        error.retry_seconds = min(max(self.seconds * queue, 0.05), 5.0)
        return error

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
