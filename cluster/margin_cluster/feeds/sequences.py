"""Detection of gaps: trades numbered per instrument, and changes of order books.

Pure state machines, without a clock.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

Arrival: TypeAlias = Literal["new", "repeated", "gap"]


@dataclass
class TradeSequence:
    """The numbers of the trades of one instrument, in whatever order they arrive.

    A trade is delivered once. Numbers that were skipped are `missing` until they arrive, from the
    channel (reordered messages) or from a request for the past.
    """

    missing_max: int = 100_000
    """Largest number of missing trades that are remembered; of a larger gap, the latest ones."""
    last: int | None = None
    """Largest number seen; None before the first trade."""
    missing: set[int] = field(default_factory=set[int])

    def accept(self, number: int) -> Arrival:
        """Return whether a trade is new, a repetition, or new after a gap."""
        if self.last is None or number == self.last + 1:
            self.last = number
            return "new"
        if number <= self.last:
            if number in self.missing:
                self.missing.discard(number)
                return "new"
            return "repeated"
        self.missing.update(range(max(self.last + 1, number - self.missing_max), number))
        self.last = number
        return "gap"


@dataclass
class BookReplica:
    """The order book of one instrument, rebuilt from a snapshot and numbered changes.

    Each change names the number of the one before it; after a gap the replica is invalid until the
    next snapshot.
    """

    bids: dict[float, float] = field(default_factory=dict[float, float])
    """Size by price."""
    asks: dict[float, float] = field(default_factory=dict[float, float])
    change_id: int | None = None
    """Number of the last change; None without a valid snapshot."""

    def apply(self, data: Mapping[str, object]) -> Arrival:
        """Apply one message of the channel; KeyError, TypeError or ValueError if it is malformed.

        After "gap" the channel must be subscribed to again, to receive a snapshot.
        """
        number = _whole(data["change_id"])
        bids, asks = _levels(data["bids"]), _levels(data["asks"])
        if data.get("type") == "snapshot":
            self.bids.clear()
            self.asks.clear()
        else:
            previous = _whole(data["prev_change_id"])
            if self.change_id is not None and number <= self.change_id:
                return "repeated"
            if self.change_id is None or previous != self.change_id:
                self.change_id = None
                return "gap"
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for action, price, size in levels:
                if action == "delete":
                    side.pop(price, None)
                else:
                    side[price] = size
        self.change_id = number
        return "new"

    @property
    def best(self) -> tuple[float, float]:
        """The best bid and the best ask; NaN for an empty side or an invalid replica."""
        valid = self.change_id is not None
        return (
            max(self.bids) if valid and self.bids else math.nan,
            min(self.asks) if valid and self.asks else math.nan,
        )


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return the runs of consecutive numbers as (first, last), ascending.

    Examples
    --------
    >>> ranges({7, 3, 4, 8, 1})
    [(1, 1), (3, 4), (7, 8)]
    """
    out: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if out and number == out[-1][1] + 1:
            out[-1] = (out[-1][0], number)
        else:
            out.append((number, number))
    return out


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _levels(value: object) -> list[tuple[str, float, float]]:
    out: list[tuple[str, float, float]] = []
    for level in cast("Sequence[Sequence[object]]", value):
        action, price, size = level
        if not isinstance(price, int | float) or not isinstance(size, int | float):
            raise TypeError(f"{level!r} is not a level of an order book")
        out.append((str(action), float(price), float(size)))
    return out
