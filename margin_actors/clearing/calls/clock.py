"""The ledger clock: a time that never decreases and does not follow an unconfirmed jump.

The clock is read at least as often as cycles run. The difference between two readings is therefore
small, unless the service did not run or the wall clock is wrong. Both cases look alike, so that in
both a second, independent clock must agree before time proceeds. The time that has passed in the
meantime is an outage, by which due times are extended. A clock that runs too fast by less than the
limit per reading is not detected.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from margin_actors.clearing.calls.outages import Outage
from margin_actors.clearing.calls.parameters import ClockParameters
from margin_actors.clearing.calls.times import require_utc


class ClockAlarm(StrEnum):
    """What is wrong with the wall clock."""

    BEHIND = "behind"
    """The wall clock is behind the last committed time by more than the limit; time stands still
    until the wall clock has reached it."""
    JUMPED = "jumped"
    """The wall clock jumped forward, and a second clock was not read."""
    CONTRADICTED = "contradicted"
    """The wall clock jumped forward, and the second clock disagrees."""


@dataclass(frozen=True, slots=True)
class LedgerClock:
    """The time of the ledger."""

    now: datetime
    """Time of the last committed entry, UTC; every decision receives this time."""
    is_suspended: bool = False
    """Whether deadlines are suspended: `now` does not proceed until a second clock confirms it."""

    def __post_init__(self) -> None:
        require_utc(now=self.now)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The clock after a reading of the wall clock."""

    clock: LedgerClock
    outage: Outage | None = None
    """The time between two readings, if it was longer than the limit and has been confirmed."""
    alarm: ClockAlarm | None = None


def read_clock(
    clock: LedgerClock,
    wall: datetime,
    *,
    second: datetime | None = None,
    parameters: ClockParameters,
) -> ClockReading:
    """Return the ledger clock after the wall clock was read.

    Parameters
    ----------
    clock : LedgerClock
        The clock after the previous reading.
    wall : datetime
        The wall clock of this machine, UTC.
    second : datetime or None
        An independent clock read at the same time, UTC, for example that of the database or of
        another machine; needed only to confirm a jump.
    parameters : ClockParameters

    Returns
    -------
    ClockReading
        `now` is the larger of the last committed time and the wall clock. It stays unchanged while
        a jump forward is not confirmed.

    Raises
    ------
    InvalidRequest
        If a time is not in UTC.
    """
    require_utc(wall=wall, second=wall if second is None else second)
    limit = timedelta(seconds=parameters.jump_seconds_max)
    if wall <= clock.now:
        alarm = ClockAlarm.BEHIND if clock.now - wall > limit else None
        return ClockReading(LedgerClock(clock.now), alarm=alarm)
    if wall - clock.now <= limit:
        return ClockReading(LedgerClock(wall))
    if second is not None and abs(second - wall) <= timedelta(
        seconds=parameters.agreement_seconds_max
    ):
        return ClockReading(LedgerClock(wall), outage=Outage(clock.now, wall))
    alarm = ClockAlarm.JUMPED if second is None else ClockAlarm.CONTRADICTED
    return ClockReading(LedgerClock(clock.now, is_suspended=True), alarm=alarm)
