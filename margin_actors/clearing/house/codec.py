"""The codec of the log: events as canonical JSON, and back, exactly."""

from collections.abc import Mapping
from typing import Any

from margin_actors.clearing.house.account_events import (
    AccountOpened,
    CallChanged,
    ReminderSent,
    ReservationQuoted,
    WithdrawalChanged,
)
from margin_actors.clearing.house.book_events import ContractChanged, CycleRecorded
from margin_actors.clearing.house.events import (
    AlarmRaised,
    ApprovalChanged,
    ClockRead,
    CommandDecided,
    ExemptionChanged,
    HouseEvent,
    ParametersRecorded,
)
from margin_actors.clearing.house.forms import Form, read_text, written
from margin_actors.clearing.house.journal_forms import GROUP
from margin_actors.clearing.journal import Group
from margin_actors.errors import InvalidRequest, Problem

_EVENTS = (
    AccountOpened,
    AlarmRaised,
    ApprovalChanged,
    CallChanged,
    ClockRead,
    CommandDecided,
    ContractChanged,
    CycleRecorded,
    ExemptionChanged,
    ParametersRecorded,
    ReminderSent,
    ReservationQuoted,
    WithdrawalChanged,
)
FORMS: Mapping[str, Form[Any]] = {"group": GROUP} | {kind.log_kind: kind.form for kind in _EVENTS}
"""The form of each kind of event."""


def payload_of(event: HouseEvent) -> str:
    """Return an event as canonical JSON; equal events have equal payloads."""
    return written(GROUP, event) if isinstance(event, Group) else event.payload


def event_of(log_kind: str, payload: str) -> HouseEvent:
    """Return the event of a payload; it equals the one that was written, with the same hash.

    Raises
    ------
    InvalidRequest
        If the kind is not known or the payload is not one of the kind.
    """
    form = FORMS.get(log_kind)
    if form is None:
        problem = Problem("kind", f"{log_kind!r} is not one of {', '.join(sorted(FORMS))}")
        raise InvalidRequest("the event cannot be read", [problem])
    return read_text(form, payload)
