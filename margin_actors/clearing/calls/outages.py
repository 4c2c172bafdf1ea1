"""Outages: times in which members could not pay, by which due times are extended."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from margin_actors.clearing.calls.times import require_utc
from margin_actors.errors import InvalidRequest, Problem


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which the service, or the way by which deposits arrive, was unavailable."""

    began: datetime
    """UTC."""
    ended: datetime
    """UTC, after `began`."""

    def __post_init__(self) -> None:
        require_utc(began=self.began, ended=self.ended)
        if self.ended <= self.began:
            what = f"the outage ends at {self.ended}, not after its beginning at {self.began}"
            raise InvalidRequest("the outage is not valid", [Problem("ended", what)])

    @property
    def length(self) -> timedelta:
        """Time from the beginning to the end, positive."""
        return self.ended - self.began


def uncounted(outage: Outage, since: datetime, counted: tuple[Outage, ...]) -> timedelta:
    """Return the part of an outage that is after `since` and in none of the `counted` outages.

    A repeated report of an outage, or one of two that overlap, therefore extends a due time once.
    """
    edge = max(outage.began, since)
    length = timedelta(0)
    for other in sorted(counted, key=lambda o: o.began):
        length += max(min(other.began, outage.ended) - edge, timedelta(0))
        edge = max(edge, other.ended)
    return length + max(outage.ended - edge, timedelta(0))
