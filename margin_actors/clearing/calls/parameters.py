"""Parameters of margin calls: a versioned section, stored with every call that it decided."""

from datetime import datetime, time, timedelta
from typing import Literal

from pydantic import Field, model_validator

from margin_actors.clearing.amounts import ASSETS, USD
from margin_actors.clearing.calls.calendars import (
    PaymentCalendar,
    PaymentWindow,
    after_open_time,
    is_open_throughout,
    require_known_assets,
)
from margin_actors.market.identity import content_id
from margin_actors.parameter_section import ParameterSection

_CENTS = 10**USD.decimals
_FRIDAY = 4

US_DOLLARS = PaymentCalendar(
    asset="USD",
    windows=tuple(
        PaymentWindow(
            weekday=day, opens=time(2), closes=time(16) if day == _FRIDAY else time(22, 45)
        )
        for day in range(5)
    ),
    holidays="federal_reserve",
)
"""Hours in which Fedwire settles payments for third parties in winter and in summer, 02:00 to 22:45
UTC; on Fridays only until 16:00, when members have deposited for the weekend."""
AROUND_THE_CLOCK = tuple(PaymentCalendar(asset=name) for name in ("USDC", "USDT", "BTC", "ETH"))
"""Calendars of the assets that move at any time."""


class ClockParameters(ParameterSection):
    """Limits of the ledger clock."""

    jump_seconds_max: int = Field(default=300, gt=0)
    """Largest difference between two readings; a larger one suspends deadlines."""
    agreement_seconds_max: int = Field(default=10, ge=0)
    """Largest difference between two clocks that confirm each other."""


class CallParameters(ParameterSection):
    """When a margin call is issued, its amount, its deadline, and when it is cancelled."""

    version: str = "1"
    """Human-readable version of the parameters; not part of `id`."""
    trigger_basis_points: int = Field(default=11_000, ge=10_000)
    """A call is issued if the requirement exceeds this share of the resources; 10,000 are 100 %."""
    release_basis_points: int = Field(default=10_000, gt=0)
    """A call can be cancelled if the requirement is at most this share of the resources."""
    release_cycles: int = Field(default=2, ge=1)
    """Number of consecutive cycles at or below release after which a call is cancelled."""
    minimum_transfer_usd: int = Field(default=100_000, gt=0)
    """Smallest deficit beyond what is called already that is called, US dollars."""
    unit_usd: int = Field(default=10_000, gt=0)
    """Called amounts are rounded up to a multiple of this, US dollars."""
    payment_minutes: int = Field(default=60, gt=0)
    """Time from the issue of a tranche to its due time, minutes."""
    scheduled_runs: tuple[time, ...] = (time(8, 15), time(12), time(16), time(20))
    """Times of day of the scheduled runs, UTC, ascending; further runs may be ad hoc."""
    outage_seconds_min: int = Field(default=300, ge=0)
    """An outage that is longer than this extends due times by its length."""
    valuation_seconds_max: int = Field(default=300, gt=0)
    """Largest age of the valuation of a requirement from which a call is decided."""
    approval_minutes: int = Field(default=60, gt=0)
    """Time after which a proposed action expires, minutes."""
    payment_calendars: tuple[PaymentCalendar, ...] = (US_DOLLARS, *AROUND_THE_CLOCK)
    """Assets in which calls can be paid, in order of preference."""
    closed_rule: Literal["open_assets", "extend"] = "open_assets"
    """Rule for an asset that is closed before a tranche would be due. `open_assets`: the tranche
    cannot be paid in it. `extend`: the due time is extended over the closed time."""
    clock: ClockParameters = ClockParameters()
    """Limits of the ledger clock."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "CallParameters":
        if self.release_basis_points > self.trigger_basis_points:
            raise ValueError("release_basis_points exceeds trigger_basis_points")
        if list(self.scheduled_runs) != sorted(set(self.scheduled_runs)):
            raise ValueError("scheduled_runs are not ascending")
        if any(run.tzinfo is not None for run in self.scheduled_runs):
            raise ValueError("scheduled_runs are in UTC and have no time zone")
        require_known_assets(self.payment_calendars, frozenset(ASSETS))
        if not self.payment_calendars:
            raise ValueError("payment_calendars are empty")
        is_any_open = any(calendar.is_always_open for calendar in self.payment_calendars)
        if self.closed_rule == "open_assets" and not is_any_open:
            raise ValueError("no asset of payment_calendars moves around the clock")
        return self

    @property
    def id(self) -> str:
        """Content id of all parameters except `version`."""
        return content_id("calls", self.model_dump(mode="json", exclude={"version"}))

    @property
    def minimum_transfer_cents(self) -> int:
        """The minimum transfer in US cents."""
        return self.minimum_transfer_usd * _CENTS

    @property
    def unit_cents(self) -> int:
        """The unit of called amounts in US cents."""
        return self.unit_usd * _CENTS


def due_time_and_assets(
    now: datetime, parameters: CallParameters
) -> tuple[datetime, tuple[str, ...]]:
    """Return the due time of a tranche issued now, UTC, and the assets in which it can be paid."""
    duration = timedelta(minutes=parameters.payment_minutes)
    calendars = parameters.payment_calendars
    if parameters.closed_rule == "extend":
        due = max(after_open_time(calendar, now, duration) for calendar in calendars)
        return due, tuple(calendar.asset for calendar in calendars)
    due = now + duration
    return due, tuple(c.asset for c in calendars if is_open_throughout(c, now, due))


def extended_due_time(
    due: datetime, extension: timedelta, assets: tuple[str, ...], parameters: CallParameters
) -> datetime:
    """Return a due time that is extended by the length of an outage, UTC.

    Under the rule `extend`, closed times of the assets in which the tranche can be paid do not
    count.
    """
    if parameters.closed_rule == "open_assets" or not extension:
        return due + extension
    calendars = [c for c in parameters.payment_calendars if c.asset in assets]
    return max((after_open_time(c, due, extension) for c in calendars), default=due + extension)


def next_scheduled_run(now: datetime, parameters: CallParameters) -> datetime | None:
    """Return the first scheduled run after `now`, UTC; None if no runs are scheduled."""
    runs = [
        datetime.combine(now.date() + timedelta(days=day), run, now.tzinfo)
        for day in (0, 1)
        for run in parameters.scheduled_runs
    ]
    return next((run for run in runs if run > now), None)
