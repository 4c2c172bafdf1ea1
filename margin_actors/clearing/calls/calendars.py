"""Payment calendars: the times at which a payment in an asset can be expected to arrive."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from margin_actors.errors import InvalidParameters, Problem, raise_if_any
from margin_actors.parameter_section import ParameterSection

_DAYS_SEARCHED = 60
_DAY = timedelta(days=1)
_SATURDAY, _SUNDAY = 5, 6


class PaymentWindow(ParameterSection):
    """The hours of one weekday in which payments are settled."""

    weekday: int = Field(ge=0, le=6)
    """0 is Monday, 6 is Sunday, in UTC."""
    opens: time
    """First time at which payments are settled, UTC."""
    closes: time
    """Time from which payments are no longer settled, UTC; 00:00 is the end of the day."""

    @model_validator(mode="after")
    def _is_ordered(self) -> "PaymentWindow":
        if self.opens.tzinfo is not None or self.closes.tzinfo is not None:
            raise ValueError("hours of payment are in UTC and have no time zone")
        if self.closes != time(0) and self.closes <= self.opens:
            raise ValueError(f"payments close at {self.closes}, not after {self.opens}")
        return self


class PaymentCalendar(ParameterSection):
    """When payments in one asset are settled.

    Without `windows` the asset moves around the clock, on every day of the year.
    """

    asset: str
    """Name of the asset, as in `ASSETS`."""
    windows: tuple[PaymentWindow, ...] = ()
    """Hours of the week, in any order, not overlapping."""
    holidays: Literal["none", "federal_reserve"] = "none"
    """Rule of the days that are closed although their weekday is not."""
    closed_days: tuple[date, ...] = ()
    """Further closed days, UTC."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "PaymentCalendar":
        if not self.windows and (self.closed_days or self.holidays != "none"):
            raise ValueError(f"{self.asset} has closed days but no hours of payment")
        hours = sorted((w.weekday, w.opens, w.closes) for w in self.windows)
        for (day, _, closes), (other, opens, _) in pairwise(hours):
            if day == other and (closes == time(0) or opens < closes):
                raise ValueError(f"hours of payment of {self.asset} overlap on weekday {day}")
        return self

    @property
    def is_always_open(self) -> bool:
        """Whether the asset moves around the clock."""
        return not self.windows


def is_open(calendar: PaymentCalendar, at: datetime) -> bool:
    """Return whether a payment that is sent at the time is settled at once."""
    return calendar.is_always_open or any(a <= at < b for a, b in _open_hours(calendar, at.date()))


def is_open_throughout(calendar: PaymentCalendar, start: datetime, end: datetime) -> bool:
    """Return whether payments are settled at every time from `start` to before `end`."""
    return after_open_time(calendar, start, end - start) == end


def after_open_time(calendar: PaymentCalendar, start: datetime, duration: timedelta) -> datetime:
    """Return the time at which the calendar has been open for `duration` since `start`.

    Parameters
    ----------
    calendar : PaymentCalendar
    start : datetime
        UTC; it may lie in a closed time.
    duration : timedelta
        Positive.

    Raises
    ------
    InvalidParameters
        If the calendar is not open for that long within 60 days.
    """
    if calendar.is_always_open:
        return start + duration
    for opens, closes in _open_hours_since(calendar, start):
        if duration <= closes - opens:
            return opens + duration
        duration -= closes - opens
    raise _not_open(calendar, start)


def prefunding_time(
    calendar: PaymentCalendar, now: datetime, *, hours_min: int = 24
) -> datetime | None:
    """Return the last time at which a payment is settled before the next long closure.

    A member that must be able to pay in this asset during the closure deposits before that time.

    Parameters
    ----------
    calendar : PaymentCalendar
    now : datetime
        UTC.
    hours_min : int
        Hours from which a closure is long.

    Returns
    -------
    datetime or None
        UTC, at or after `now`; None if the asset moves around the clock, or if no closure of the
        next 60 days is that long. `now` if the calendar is in a closure that is that long.
    """
    if calendar.is_always_open:
        return None
    end = now
    for opens, closes in _open_hours_since(calendar, now):
        if opens - end >= timedelta(hours=hours_min):
            return end
        end = closes
    return None


@lru_cache(maxsize=64)
def federal_reserve_holidays(year: int) -> frozenset[date]:
    """Return the days of a year on which the Federal Reserve Banks are closed.

    A holiday on a Sunday is observed on the following Monday. One on a Saturday is not observed on
    another day.

    References
    ----------
    Board of Governors of the Federal Reserve System, K.8, "Holidays Observed by the Federal Reserve
    System".
    """
    fixed = [(1, 1), (6, 19), (7, 4), (11, 11), (12, 25)]
    days = [date(year, month, day) for month, day in fixed]
    observed = {day + _DAY if day.weekday() == _SUNDAY else day for day in days}
    # month and number of the Monday; Memorial Day, the last Monday of May, follows.
    mondays = [(1, 3), (2, 3), (9, 1), (10, 2)]
    observed |= {_nth_weekday(year, month, 0, number) for month, number in mondays}
    memorial_day = _nth_weekday(year, 6, 0, 1) - 7 * _DAY
    thanksgiving = _nth_weekday(year, 11, 3, 4)
    return frozenset(d for d in observed if d.weekday() != _SATURDAY) | {memorial_day, thanksgiving}


def _nth_weekday(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    return first + _DAY * ((weekday - first.weekday()) % 7 + 7 * (number - 1))


def _open_hours(calendar: PaymentCalendar, day: date) -> list[tuple[datetime, datetime]]:
    """Return the open hours of one day in order."""
    is_holiday = calendar.holidays == "federal_reserve" and day in federal_reserve_holidays(
        day.year
    )
    if is_holiday or day in calendar.closed_days:
        return []
    hours = [
        (
            datetime.combine(day, window.opens, UTC),
            datetime.combine(day + _DAY if window.closes == time(0) else day, window.closes, UTC),
        )
        for window in calendar.windows
        if window.weekday == day.weekday()
    ]
    return sorted(hours)


def _open_hours_since(
    calendar: PaymentCalendar, start: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield what remains of the open hours of the 60 days from `start`."""
    for number in range(_DAYS_SEARCHED):
        for opens, closes in _open_hours(calendar, start.date() + number * _DAY):
            if closes > start:
                yield max(opens, start), closes


def _not_open(calendar: PaymentCalendar, start: datetime) -> InvalidParameters:
    what = f"{calendar.asset} is not open for long enough in {_DAYS_SEARCHED} days from {start}"
    problem = Problem("payment_calendars", what, "correct its hours and closed days")
    return InvalidParameters("the payment calendar is not usable", [problem])


def require_known_assets(calendars: tuple[PaymentCalendar, ...], known: frozenset[str]) -> None:
    """Raise unless every calendar is of a known asset and no asset has two.

    Raises
    ------
    InvalidParameters
        Naming the assets concerned.
    """
    names = [calendar.asset for calendar in calendars]
    problems = [
        Problem("payment_calendars", f"{name} is not a known asset")
        for name in names
        if name not in known
    ]
    repeated = sorted({name for name in names if names.count(name) > 1})
    problems += [Problem("payment_calendars", f"{name} has two calendars") for name in repeated]
    raise_if_any(problems, InvalidParameters, "the payment calendars are not usable")
