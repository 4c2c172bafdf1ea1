"""Payment calendars, the parameters of calls, and the ledger clock."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from margin_actors.clearing.calls import (
    CallParameters,
    ClockAlarm,
    ClockParameters,
    LedgerClock,
    Outage,
    PaymentCalendar,
    PaymentWindow,
    next_scheduled_run,
    prefunding_time,
    read_clock,
)
from margin_actors.clearing.calls.calendars import (
    after_open_time,
    federal_reserve_holidays,
    is_open,
    is_open_throughout,
)
from margin_actors.clearing.calls.parameters import US_DOLLARS
from margin_actors.errors import InvalidParameters, InvalidRequest

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
WEDNESDAY = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)
FRIDAY = datetime(2026, 6, 12, 16, 0, tzinfo=UTC)
MONDAY = datetime(2026, 6, 15, 2, 0, tzinfo=UTC)
COIN = PaymentCalendar(asset="BTC")


def window(weekday: int, opens: time, closes: time) -> PaymentWindow:
    return PaymentWindow(weekday=weekday, opens=opens, closes=closes)


# -- holidays --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("year", "days"),
    [
        # Board of Governors, K.8 Holidays Observed by the Federal Reserve System.
        (2025, "01-01 01-20 02-17 05-26 06-19 07-04 09-01 10-13 11-11 11-27 12-25"),
        (2026, "01-01 01-19 02-16 05-25 06-19 09-07 10-12 11-11 11-26 12-25"),
        (2027, "01-01 01-18 02-15 05-31 07-05 09-06 10-11 11-11 11-25"),
        (2028, "01-17 02-21 05-29 06-19 07-04 09-04 10-09 11-23 12-25"),
        (2029, "01-01 01-15 02-19 05-28 06-19 07-04 09-03 10-08 11-12 11-22 12-25"),
    ],
)
def test_federal_reserve_holidays_are_those_published(year: int, days: str) -> None:
    assert federal_reserve_holidays(year) == {
        date.fromisoformat(f"{year}-{day}") for day in days.split()
    }


# -- open hours ------------------------------------------------------------------------------------


def test_hours_include_their_beginning_and_exclude_their_end() -> None:
    assert not is_open(US_DOLLARS, MONDAY - timedelta(microseconds=1))
    assert is_open(US_DOLLARS, MONDAY)
    assert is_open(US_DOLLARS, FRIDAY - timedelta(microseconds=1))
    assert not is_open(US_DOLLARS, FRIDAY)
    assert not is_open(US_DOLLARS, datetime(2026, 6, 19, 12, 0, tzinfo=UTC))  # a holiday


def test_time_is_counted_only_while_payments_are_settled() -> None:
    assert after_open_time(US_DOLLARS, WEDNESDAY, HOUR) == WEDNESDAY + HOUR
    assert after_open_time(US_DOLLARS, FRIDAY - HOUR, HOUR) == FRIDAY
    assert after_open_time(US_DOLLARS, FRIDAY - 59 * MINUTE, HOUR) == MONDAY + MINUTE
    assert after_open_time(US_DOLLARS, FRIDAY + 30 * HOUR, HOUR) == MONDAY + HOUR
    assert after_open_time(COIN, FRIDAY, HOUR) == FRIDAY + HOUR


def test_days_that_end_at_midnight_are_joined() -> None:
    calendar = PaymentCalendar(
        asset="USD",
        windows=(window(2, time(20), time(0)), window(3, time(0), time(4))),
    )
    start = datetime(2026, 6, 10, 23, 30, tzinfo=UTC)
    assert after_open_time(calendar, start, HOUR) == start + HOUR
    assert is_open_throughout(calendar, start, start + HOUR)
    assert not is_open_throughout(calendar, start, start + 5 * HOUR)


def test_hours_of_one_day_can_touch() -> None:
    calendar = PaymentCalendar(
        asset="USD", windows=(window(2, time(12), time(16)), window(2, time(8), time(12)))
    )
    assert after_open_time(calendar, WEDNESDAY - HOUR, 2 * HOUR) == WEDNESDAY + HOUR


def test_a_calendar_that_never_opens_is_refused() -> None:
    closed = tuple(date(2026, 6, 1) + timedelta(days=n) for n in range(90))
    calendar = PaymentCalendar(
        asset="USD", windows=(window(2, time(8), time(9)),), closed_days=closed
    )
    with pytest.raises(InvalidParameters, match="USD is not open for long enough in 60 days"):
        after_open_time(calendar, WEDNESDAY, HOUR)


@given(st.integers(0, 60 * 24 * 21), st.integers(1, 60 * 30))
def test_open_time_agrees_with_a_count_of_minutes(offset: int, minutes: int) -> None:
    start = datetime(2026, 12, 14, tzinfo=UTC) + offset * MINUTE
    end = after_open_time(US_DOLLARS, start, minutes * MINUTE)
    counted = 0
    at = start
    while at < end:
        counted += is_open(US_DOLLARS, at)
        at += MINUTE
    assert counted == minutes
    assert is_open(US_DOLLARS, end - MINUTE)


# -- pre-funding -----------------------------------------------------------------------------------


def test_members_deposit_before_the_weekend() -> None:
    assert prefunding_time(US_DOLLARS, WEDNESDAY) == FRIDAY
    assert prefunding_time(US_DOLLARS, FRIDAY - MINUTE) == FRIDAY
    assert prefunding_time(US_DOLLARS, FRIDAY + MINUTE) == FRIDAY + MINUTE
    assert prefunding_time(COIN, WEDNESDAY) is None


def test_a_holiday_is_a_long_closure_and_a_night_is_not() -> None:
    thursday = datetime(2026, 6, 18, 12, 0, tzinfo=UTC)  # the next day is a holiday
    assert prefunding_time(US_DOLLARS, thursday) == thursday.replace(hour=22, minute=45)
    assert prefunding_time(US_DOLLARS, WEDNESDAY, hours_min=3) == WEDNESDAY.replace(
        hour=22, minute=45
    )
    assert prefunding_time(US_DOLLARS, WEDNESDAY, hours_min=24 * 7) is None


def test_a_closure_of_exactly_a_day_is_long() -> None:
    calendar = PaymentCalendar(
        asset="USD", windows=(window(2, time(12), time(13)), window(3, time(13), time(14)))
    )
    assert prefunding_time(calendar, WEDNESDAY) == WEDNESDAY + HOUR


# -- parameters ------------------------------------------------------------------------------------


def test_the_scheduled_runs_follow_each_other_over_midnight() -> None:
    parameters = CallParameters()
    at = datetime(2026, 6, 10, 8, 14, tzinfo=UTC)
    runs: list[str] = []
    for _ in range(5):
        run = next_scheduled_run(at, parameters)
        assert run is not None
        assert run > at
        at = run
        runs.append(run.strftime("%d %H:%M"))
    assert runs == ["10 08:15", "10 12:00", "10 16:00", "10 20:00", "11 08:15"]
    assert next_scheduled_run(at, CallParameters(scheduled_runs=())) is None


def test_every_parameter_is_part_of_the_id_except_the_version() -> None:
    base = CallParameters()
    assert CallParameters(version="2").id == base.id
    changes: dict[str, object] = {
        "trigger_basis_points": 11_001,
        "release_basis_points": 9_999,
        "release_cycles": 3,
        "minimum_transfer_usd": 1,
        "unit_usd": 1,
        "payment_minutes": 61,
        "scheduled_runs": (time(8),),
        "outage_seconds_min": 301,
        "valuation_seconds_max": 301,
        "approval_minutes": 61,
        "payment_calendars": (COIN,),
        "closed_rule": "extend",
        "clock": ClockParameters(jump_seconds_max=301),
    }
    assert set(changes) == set(CallParameters.model_fields) - {"version"}
    ids = {base.model_copy(update={name: value}).id for name, value in changes.items()}
    assert len(ids | {base.id}) == len(changes) + 1


def test_parameters_survive_their_stored_form() -> None:
    base = CallParameters()
    assert CallParameters.model_validate_json(base.model_dump_json()) == base


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"release_basis_points": 11_001}, "release_basis_points exceeds"),
        ({"scheduled_runs": (time(12), time(8))}, "not ascending"),
        ({"scheduled_runs": (time(12, tzinfo=UTC),)}, "no time zone"),
        ({"payment_calendars": (US_DOLLARS,)}, "around the clock"),
        ({"payment_calendars": (), "closed_rule": "extend"}, "empty"),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_contradictory_parameters_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CallParameters.model_validate(change)


def test_the_smallest_values_of_parameters() -> None:
    smallest = {
        "trigger_basis_points": 10_000,
        "release_basis_points": 1,
        "release_cycles": 1,
        "minimum_transfer_usd": 1,
        "unit_usd": 1,
        "payment_minutes": 1,
        "outage_seconds_min": 0,
        "valuation_seconds_max": 1,
        "approval_minutes": 1,
    }
    CallParameters.model_validate(smallest)
    for name, value in smallest.items():
        with pytest.raises(ValidationError, match=name):
            CallParameters.model_validate({**smallest, name: value - 1})
    ClockParameters(jump_seconds_max=1, agreement_seconds_max=0)
    for clock in ({"jump_seconds_max": 0}, {"agreement_seconds_max": -1}):
        with pytest.raises(ValidationError, match=next(iter(clock))):
            ClockParameters.model_validate(clock)


def test_calendars_are_of_known_assets_and_one_per_asset() -> None:
    with pytest.raises(InvalidParameters, match="XYZ is not a known asset"):
        CallParameters(payment_calendars=(COIN, PaymentCalendar(asset="XYZ")))
    with pytest.raises(InvalidParameters, match="BTC has two calendars"):
        CallParameters(payment_calendars=(COIN, COIN))


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ((window(0, time(8), time(12)), window(0, time(11), time(13))), "overlap"),
        ((window(0, time(8), time(0)), window(0, time(11), time(13))), "overlap"),
        ((), "no hours of payment"),
    ],
)
def test_contradictory_calendars_are_refused(
    windows: tuple[PaymentWindow, ...], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        PaymentCalendar(asset="USD", windows=windows, closed_days=(date(2026, 1, 1),))


def test_hours_that_end_before_they_begin_are_refused() -> None:
    with pytest.raises(ValidationError, match="not after"):
        window(0, time(12), time(8))
    with pytest.raises(ValidationError, match="not after"):
        window(0, time(12), time(12))
    with pytest.raises(ValidationError, match="no time zone"):
        window(0, time(8, tzinfo=UTC), time(12))


# -- the ledger clock ------------------------------------------------------------------------------

LIMITS = ClockParameters()


def test_the_clock_follows_the_wall_clock() -> None:
    reading = read_clock(LedgerClock(WEDNESDAY), WEDNESDAY + 5 * MINUTE, parameters=LIMITS)
    assert reading.clock == LedgerClock(WEDNESDAY + 5 * MINUTE)
    assert (reading.alarm, reading.outage) == (None, None)


def test_the_clock_never_goes_back() -> None:
    for back, alarm in ((5 * MINUTE, None), (6 * MINUTE, ClockAlarm.BEHIND)):
        reading = read_clock(LedgerClock(WEDNESDAY), WEDNESDAY - back, parameters=LIMITS)
        assert (reading.clock, reading.alarm) == (LedgerClock(WEDNESDAY), alarm)


def test_an_unconfirmed_jump_leaves_the_time_as_it_is() -> None:
    jumped = read_clock(LedgerClock(WEDNESDAY), WEDNESDAY + 6 * MINUTE, parameters=LIMITS)
    assert jumped.clock == LedgerClock(WEDNESDAY, is_suspended=True)
    assert jumped.alarm is ClockAlarm.JUMPED
    contradicted = read_clock(
        jumped.clock, WEDNESDAY + 7 * MINUTE, second=WEDNESDAY + MINUTE, parameters=LIMITS
    )
    assert contradicted.clock == LedgerClock(WEDNESDAY, is_suspended=True)
    assert contradicted.alarm is ClockAlarm.CONTRADICTED
    # The wall clock was set right: nothing remains of the jump.
    right = read_clock(contradicted.clock, WEDNESDAY + MINUTE, parameters=LIMITS)
    assert right.clock == LedgerClock(WEDNESDAY + MINUTE)
    assert right.outage is None


@pytest.mark.parametrize("seconds", [-10, 0, 10])
def test_a_confirmed_jump_is_an_outage(seconds: int) -> None:
    wall = WEDNESDAY + 5 * HOUR
    second = wall + timedelta(seconds=seconds)
    suspended = LedgerClock(WEDNESDAY, is_suspended=True)
    reading = read_clock(suspended, wall, second=second, parameters=LIMITS)
    assert reading.clock == LedgerClock(wall)
    assert reading.outage == Outage(WEDNESDAY, wall)


def test_clocks_that_differ_by_more_than_the_limit_do_not_confirm_each_other() -> None:
    wall = WEDNESDAY + HOUR
    second = wall + timedelta(seconds=10, microseconds=1)
    reading = read_clock(LedgerClock(WEDNESDAY), wall, second=second, parameters=LIMITS)
    assert reading.alarm is ClockAlarm.CONTRADICTED


def test_clocks_are_in_utc() -> None:
    local = WEDNESDAY.replace(tzinfo=None)
    with pytest.raises(InvalidRequest, match="now: "):
        LedgerClock(local)
    with pytest.raises(InvalidRequest, match="2 problems"):
        read_clock(LedgerClock(WEDNESDAY), local, second=local, parameters=LIMITS)


SECONDS = st.integers(-1000, 1000)


@given(st.lists(st.tuples(SECONDS, st.none() | SECONDS)))
def test_the_time_of_the_ledger_never_decreases_and_never_jumps_unconfirmed(
    readings: list[tuple[int, int | None]],
) -> None:
    clock = LedgerClock(WEDNESDAY)
    for offset, other in readings:
        wall = WEDNESDAY + timedelta(seconds=offset)
        second = None if other is None else WEDNESDAY + timedelta(seconds=other)
        reading = read_clock(clock, wall, second=second, parameters=LIMITS)
        step = reading.clock.now - clock.now
        assert step >= timedelta(0)
        assert step <= 5 * MINUTE or (second and abs(second - wall) <= timedelta(seconds=10))
        assert (reading.outage is not None) == (step > 5 * MINUTE)
        assert not (reading.clock.is_suspended and step)
        clock = reading.clock
