"""When scenario sets are rebuilt: a pure state machine of closes and builds."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import Field

from margin_actors.parameter_section import ParameterSection

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = {"day": 86_400, "hour": 3_600}


class RebuildParameters(ParameterSection):
    """When scenario sets are rebuilt."""

    closes: Literal["day", "hour"] = "day"
    """A set is due when a day or an hour (UTC) closes."""
    delay_seconds: float = Field(default=120.0, ge=0.0)
    """Wait after the close, so that the last prices have been recorded."""
    retry_seconds: float = Field(default=300.0, gt=0.0)
    """Wait after a build that failed; the set in use stays in use."""


@dataclass(frozen=True, slots=True)
class RebuildState:
    """What is known of scenario sets."""

    active: datetime | None = None
    """Close up to which the set in use was built, UTC; None if there is none."""
    building: datetime | None = None
    """Close of the build that runs; None if none runs."""
    not_before: datetime = _EPOCH


def close_due(state: RebuildState, now: datetime, parameters: RebuildParameters) -> datetime | None:
    """Return the close for which a build must start now, UTC; None if none must.

    One build runs at a time. A build of an earlier close is skipped if a later one has passed.
    """
    if state.building is not None or now < state.not_before:
        return None
    close = last_close(now, parameters)
    return close if state.active is None or close > state.active else None


def last_close(now: datetime, parameters: RebuildParameters) -> datetime:
    """Return the last close whose delay has passed at `now`, UTC."""
    step = timedelta(seconds=_SECONDS[parameters.closes])
    settled = now - timedelta(seconds=parameters.delay_seconds)
    return settled - (settled - _EPOCH) % step


def started(state: RebuildState, close: datetime) -> RebuildState:
    """Return the state after a build began."""
    return replace(state, building=close)


def finished(
    state: RebuildState, now: datetime, parameters: RebuildParameters, *, has_succeeded: bool
) -> RebuildState:
    """Return the state after the build ended; its set is in use if it succeeded."""
    if has_succeeded:
        return RebuildState(active=state.building)
    wait = timedelta(seconds=parameters.retry_seconds)
    return replace(state, building=None, not_before=now + wait)


__all__ = ["RebuildParameters", "RebuildState", "close_due", "finished", "last_close", "started"]
