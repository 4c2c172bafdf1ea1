"""When cycles run: a pure state machine of times and triggers.

A cycle is due at every multiple of the interval, and when a trigger fires: the index or the
volatility index has moved far enough since the last cycle began, a large trade was booked, or a
person asked for it. At most one cycle runs; a trigger never cancels it. Everything that happens
while a cycle runs is one reason more for the next one, so that however many triggers fire, one
cycle runs and one waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from pydantic import Field

from margin_actors.parameter_section import ParameterSection

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Cause(StrEnum):
    """Why a cycle runs."""

    SCHEDULE = "schedule"
    INDEX = "index"
    VOLATILITY = "volatility"
    TRADE = "trade"
    REQUEST = "request"
    RETRY = "retry"
    """The last cycle failed."""


_MOVES = (Cause.INDEX, Cause.VOLATILITY)


class ScheduleParameters(ParameterSection):
    """When cycles run."""

    interval_seconds: int = Field(default=60, ge=1, le=86_400)
    """A cycle is due at every multiple of this since 1970-01-01 UTC."""
    distance_seconds: float = Field(default=5.0, ge=0.0)
    """Smallest time between the starts of two cycles."""
    index_move: float = Field(default=0.01, gt=0.0)
    """Relative move of an index since the start of the last cycle that triggers one."""
    volatility_move_points: float = Field(default=5.0, gt=0.0)
    """The same for a volatility index, volatility points."""
    trade_usd: float = Field(default=10_000_000.0, gt=0.0)
    """Value of the underlying of a trade, or of trades since the last cycle, that triggers one."""
    fresh_seconds: float = Field(default=10.0, ge=0.0)
    """A cycle that only a move of the market has triggered waits up to this long for a snapshot
    that contains the move."""
    retry_seconds: float = Field(default=5.0, gt=0.0)
    """Wait after a failed cycle; it doubles with each further failure."""
    retry_seconds_max: float = Field(default=60.0, gt=0.0)
    """Longest wait after a failed cycle."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a cycle."""

    cause: Cause
    detail: str = ""
    """What was observed, or who asked."""
    since: datetime = _EPOCH
    """When it arose, UTC."""

    def __str__(self) -> str:
        return f"{self.cause.value}: {self.detail}" if self.detail else self.cause.value


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing but time has passed."""


@dataclass(frozen=True, slots=True)
class IndexObserved:
    """The index of an underlying."""

    underlying: str
    price_usd: float
    """US dollars per coin, positive."""


@dataclass(frozen=True, slots=True)
class VolatilityObserved:
    """The volatility index of an underlying."""

    underlying: str
    points: float


@dataclass(frozen=True, slots=True)
class SnapshotUsed:
    """A snapshot is in use, from the next cycle on."""

    time: datetime
    """Time of its data, UTC."""


@dataclass(frozen=True, slots=True)
class TradeBooked:
    """A trade was booked in the clearing house."""

    usd: float
    """Value of its underlying, US dollars, at least 0."""


@dataclass(frozen=True, slots=True)
class CycleRequested:
    """A person or service asks for a cycle."""

    by: str


@dataclass(frozen=True, slots=True)
class MarketReady:
    """A snapshot and a scenario set are in use, so that cycles are possible."""


@dataclass(frozen=True, slots=True)
class MarketLost:
    """The snapshot in use is too old for a cycle; reasons wait until `MarketReady`."""


@dataclass(frozen=True, slots=True)
class CycleFinished:
    """The running cycle has ended."""

    has_succeeded: bool


@dataclass(frozen=True, slots=True)
class CycleElsewhere:
    """Another process has recorded a cycle; it counts as if it had run here."""


ScheduleEvent: TypeAlias = (
    TimePassed
    | IndexObserved
    | VolatilityObserved
    | SnapshotUsed
    | TradeBooked
    | CycleRequested
    | MarketReady
    | MarketLost
    | CycleFinished
    | CycleElsewhere
)


@dataclass(frozen=True)
class ScheduleState:
    """What the schedule remembers; it can be rebuilt from nothing, at the cost of one cycle."""

    now: datetime = _EPOCH
    """Latest time seen, UTC; an earlier one counts as this."""
    is_ready: bool = False
    running_since: datetime | None = None
    """Start of the running cycle; None if none runs."""
    last_start: datetime | None = None
    last_tick: datetime | None = None
    """The last multiple of the interval for which a cycle has started."""
    waiting: tuple[Reason, ...] = ()
    """Reasons for the next cycle, at most one per cause, in the order in which they arose."""
    failures: int = 0
    """Number of failures since the last success."""
    not_before: datetime = _EPOCH
    """Earliest time of the next start after a failure."""
    snapshot_time: datetime = _EPOCH
    """Time of the snapshot in use, UTC."""
    latest: Mapping[str, float] = field(default_factory=dict[str, float])
    """Last observation by ``index:BTC`` or ``volatility:BTC``."""
    anchors: Mapping[str, float] = field(default_factory=dict[str, float])
    """Observation at the start of the last cycle; the first one before any cycle."""
    traded_usd: float = 0.0
    """Value of trades since the start of the last cycle."""


@dataclass(frozen=True)
class Step:
    """What follows from an event."""

    state: ScheduleState
    start: tuple[Reason, ...] = ()
    """Reasons of the cycle to start now; empty for none."""
    wake_at: datetime = _EPOCH
    """Time at which `TimePassed` must be reported if nothing else happens before, UTC."""


def step(
    state: ScheduleState, event: ScheduleEvent, now: datetime, parameters: ScheduleParameters
) -> Step:
    """Return the state after an event, and whether a cycle starts now.

    Parameters
    ----------
    state : ScheduleState
    event : ScheduleEvent
        `CycleFinished` without a running cycle changes nothing.
    now : datetime
        UTC; an earlier time than before counts as the last one.
    parameters : ScheduleParameters
    """
    state = replace(state, now=max(now, state.now))
    state = _due(_observed(state, event, parameters), parameters)
    earliest = _earliest_start(state, parameters)
    if state.waiting and state.running_since is None and state.is_ready and earliest <= state.now:
        started = _started(state, parameters)
        return Step(started, state.waiting, _wake_at(started, parameters))
    return Step(state, (), _wake_at(state, parameters))


def tick_of(now: datetime, parameters: ScheduleParameters) -> datetime:
    """Return the last multiple of the interval that is not after `now`, UTC."""
    interval = timedelta(seconds=parameters.interval_seconds)
    return now - (now - _EPOCH) % interval


def _observed(
    state: ScheduleState, event: ScheduleEvent, parameters: ScheduleParameters
) -> ScheduleState:
    match event:
        case IndexObserved():
            return _moved(state, Cause.INDEX, event.underlying, event.price_usd, parameters)
        case VolatilityObserved():
            return _moved(state, Cause.VOLATILITY, event.underlying, event.points, parameters)
        case SnapshotUsed():
            return replace(state, snapshot_time=max(event.time, state.snapshot_time))
        case TradeBooked():
            traded = state.traded_usd + event.usd
            state = replace(state, traded_usd=traded)
            if traded < parameters.trade_usd:
                return state
            return _with_reason(state, Reason(Cause.TRADE, f"{traded:,.0f} US dollars"))
        case CycleRequested():
            return _with_reason(state, Reason(Cause.REQUEST, event.by))
        case MarketReady():
            return replace(state, is_ready=True)
        case MarketLost():
            return replace(state, is_ready=False)
        case CycleFinished():
            return _finished(state, event, parameters)
        case CycleElsewhere():
            return state if state.running_since is not None else _elsewhere(state, parameters)
        case TimePassed():
            return state


def _moved(
    state: ScheduleState, cause: Cause, underlying: str, value: float, given: ScheduleParameters
) -> ScheduleState:
    key = f"{cause.value}:{underlying}"
    anchor = state.anchors.get(key)
    state = replace(state, latest={**state.latest, key: value})
    if anchor is None:
        return replace(state, anchors={**state.anchors, key: value})
    if cause is Cause.INDEX:
        if abs(value / anchor - 1.0) < given.index_move:
            return state
        detail = f"{underlying} from {anchor:,.2f} to {value:,.2f}"
    else:
        if abs(value - anchor) < given.volatility_move_points:
            return state
        detail = f"{underlying} from {anchor:.1f} to {value:.1f}"
    return _with_reason(state, Reason(cause, detail))


def _with_reason(state: ScheduleState, reason: Reason) -> ScheduleState:
    if any(known.cause is reason.cause for known in state.waiting):
        return state
    return replace(state, waiting=(*state.waiting, replace(reason, since=state.now)))


def _finished(
    state: ScheduleState, event: CycleFinished, parameters: ScheduleParameters
) -> ScheduleState:
    if state.running_since is None:
        return state
    state = replace(state, running_since=None)
    if event.has_succeeded:
        return replace(state, failures=0)
    wait = min(parameters.retry_seconds * 2.0 ** min(state.failures, 30),
               parameters.retry_seconds_max)  # fmt: skip
    state = replace(
        state, failures=state.failures + 1, not_before=state.now + timedelta(seconds=wait)
    )
    return _with_reason(state, Reason(Cause.RETRY, f"failure {state.failures}"))


def _elsewhere(state: ScheduleState, parameters: ScheduleParameters) -> ScheduleState:
    """Return the state as if a cycle for all reasons except a person's request had run."""
    kept = tuple(reason for reason in state.waiting if reason.cause is Cause.REQUEST)
    return replace(_started(state, parameters), running_since=None, waiting=kept)


def _due(state: ScheduleState, parameters: ScheduleParameters) -> ScheduleState:
    tick = tick_of(state.now, parameters)
    if state.last_tick is not None and tick <= state.last_tick:
        return state
    return _with_reason(state, Reason(Cause.SCHEDULE))


def _started(state: ScheduleState, parameters: ScheduleParameters) -> ScheduleState:
    return replace(
        state,
        running_since=state.now,
        last_start=state.now,
        last_tick=tick_of(state.now, parameters),
        waiting=(),
        anchors=state.latest,
        traded_usd=0.0,
    )


def _earliest_start(state: ScheduleState, parameters: ScheduleParameters) -> datetime:
    earliest = state.not_before
    if state.last_start is not None:
        distance = timedelta(seconds=parameters.distance_seconds)
        earliest = max(earliest, state.last_start + distance)
    if state.waiting and all(reason.cause in _MOVES for reason in state.waiting):
        since = state.waiting[0].since
        if state.snapshot_time < since:
            fresh = timedelta(seconds=parameters.fresh_seconds)
            earliest = max(earliest, since + fresh)
    return earliest


def _wake_at(state: ScheduleState, parameters: ScheduleParameters) -> datetime:
    """Return when time alone changes something: the next tick, or the end of a wait."""
    tick = tick_of(state.now, parameters) + timedelta(seconds=parameters.interval_seconds)
    if state.waiting and state.running_since is None and state.is_ready:
        return min(tick, max(state.now, _earliest_start(state, parameters)))
    return tick


__all__ = [
    "Cause",
    "CycleElsewhere",
    "CycleFinished",
    "CycleRequested",
    "IndexObserved",
    "MarketLost",
    "MarketReady",
    "Reason",
    "ScheduleEvent",
    "ScheduleParameters",
    "ScheduleState",
    "SnapshotUsed",
    "Step",
    "TimePassed",
    "TradeBooked",
    "VolatilityObserved",
    "step",
    "tick_of",
]
