"""Outages: times in which members could not pay, by which due times are extended."""

from collections.abc import Iterable
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


def merged(outages: Iterable[Outage]) -> tuple[Outage, ...]:
    """Return the union of outages: in order of time, neither overlapping nor touching."""
    union: list[Outage] = []
    for outage in sorted(outages, key=lambda o: o.began):
        if union and outage.began <= union[-1].ended:
            last = union.pop()
            outage = Outage(last.began, max(last.ended, outage.ended))
        union.append(outage)
    return tuple(union)
