"""Some past states of the log, from which any other past state is folded with little reading.

States are immutable and share what did not change, so that a kept state costs little memory.
"""

from bisect import bisect_right
from typing import Generic, TypeVar

from margin_cluster.ledger.clearing_rows import Committed

S = TypeVar("S")


class StateHistory(Generic[S]):
    """States at regular distances; the distance doubles when there are too many.

    Parameters
    ----------
    first : Committed
        The state before the first event.
    apart : int
        Smallest number of events between two kept states.
    kept_max : int
        Largest number of kept states.
    """

    def __init__(self, first: Committed[S], *, apart: int = 1_000, kept_max: int = 128) -> None:
        self._kept = [first]
        self._apart, self._kept_max = apart, kept_max

    def note(self, committed: Committed[S]) -> None:
        """Keep a state if it is far enough from the last one that is kept."""
        if committed.at.number < self._kept[-1].at.number + self._apart:
            return
        self._kept.append(committed)
        if len(self._kept) > self._kept_max:
            self._apart *= 2
            self._kept = self._kept[::2]

    def before(self, number: int) -> Committed[S]:
        """Return the last kept state at or before an entry."""
        kept = self._kept
        return kept[bisect_right(kept, number, key=lambda one: one.at.number) - 1]


__all__ = ["StateHistory"]
