"""The state of all sources, for status, metrics and alarms."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from margin_cluster.feeds.events import (
    FeedEvent,
    SnapshotArrived,
    StatusChange,
    UnreadableSnapshot,
)
from margin_cluster.feeds.interface import Clock, SystemClock
from margin_cluster.feeds.rules import SilenceDecision, SilenceRule, decide_on_silence


@dataclass(frozen=True, slots=True)
class FeedReport:
    """The state of one source at one time; ages are in seconds."""

    source: str
    is_connected: bool
    is_stopped: bool
    age_seconds: float | None
    """Since the last message; None before the first."""
    snapshot_age_seconds: float | None
    """Since the last snapshot that came into use; None before the first."""
    messages: int
    accepted: int
    rejected: int
    faults: Mapping[str, int]
    """Number of status changes by kind."""
    last_problem: str


@dataclass
class SourceState:
    """What is known of one source."""

    source: str
    is_connected: bool = False
    is_stopped: bool = False
    """True after the end of the source: it is not expected to deliver more."""
    messages: int = 0
    accepted: int = 0
    """Number of snapshots that became current."""
    rejected: int = 0
    """Number of snapshots that were kept in quarantine."""
    faults: Counter[str] = field(default_factory=Counter[str])
    """Number of status changes by kind."""
    last_at: float | None = None
    """Time of the last message, monotonic seconds; None before the first."""
    snapshot_at: float | None = None
    """Time of the last accepted snapshot, monotonic seconds."""
    snapshot_time: float | None = None
    """Valuation time of the last accepted snapshot, seconds since 1970-01-01 UTC."""
    last_problem: str = ""
    """The last fault or the reason of the last rejection; empty if there was none."""
    silent_channels: set[str] = field(default_factory=set[str])


class FeedBoard:
    """The states of the sources of one process; read and written in one event loop or thread."""

    def __init__(self, rule: SilenceRule | None = None, *, clock: Clock | None = None) -> None:
        self.rule = rule or SilenceRule()
        self._clock = clock or SystemClock()
        self._states: dict[str, SourceState] = {}
        self._monitored: set[str] = set()

    def expect(self, source: str, *, monitored: bool) -> None:
        """Add a source; alarms are raised for monitored ones only."""
        self._states.setdefault(source, SourceState(source))
        if monitored:
            self._monitored.add(source)

    def received(self, event: FeedEvent) -> None:
        """Note an event of a source."""
        state = self._state(event.source)
        if isinstance(event, StatusChange):
            self._changed(state, event)
            return
        state.messages += 1
        if not isinstance(event, UnreadableSnapshot):
            state.last_at = self._clock.monotonic()
        if isinstance(event, SnapshotArrived):
            state.is_connected = True

    def accepted(self, source: str, snapshot_time: float) -> None:
        """Note a snapshot that is current; its valuation time is in seconds since 1970."""
        state = self._state(source)
        state.accepted += 1
        state.snapshot_at = self._clock.monotonic()
        state.snapshot_time = snapshot_time

    def rejected(self, source: str, why: str) -> None:
        """Note a snapshot that was kept in quarantine."""
        state = self._state(source)
        state.rejected += 1
        state.last_problem = why

    def failed(self, source: str, why: str) -> None:
        """Note a failure of this service, for example to publish or to record."""
        state = self._state(source)
        state.faults["failed"] += 1
        state.last_problem = why

    def stopped(self, source: str) -> None:
        """Note the end of a source."""
        state = self._state(source)
        state.is_stopped, state.is_connected = True, False

    @property
    def states(self) -> tuple[SourceState, ...]:
        """The sources, by name."""
        return tuple(self._states[name] for name in sorted(self._states))

    def reports(self) -> tuple[FeedReport, ...]:
        """Return the state of each source, by name."""
        return tuple(
            FeedReport(
                s.source,
                s.is_connected,
                s.is_stopped,
                self.age_seconds(s.last_at),
                self.age_seconds(s.snapshot_at),
                s.messages,
                s.accepted,
                s.rejected,
                dict(s.faults),
                s.last_problem,
            )
            for s in self.states
        )

    def age_seconds(self, at: float | None) -> float | None:
        """Return the time since a monotonic time, seconds; None for None."""
        return None if at is None else max(0.0, self._clock.monotonic() - at)

    def decision(self) -> SilenceDecision | None:
        """Return what follows from the ages of the sources; None without a monitored source."""
        watched = [s for s in self.states if s.source in self._monitored and not s.is_stopped]
        if not watched:
            return None
        good = [s.snapshot_at for s in self.states if s.snapshot_at is not None]
        ages = {s.source: self.age_seconds(s.last_at) for s in watched}
        return decide_on_silence(self.age_seconds(max(good, default=None)), ages, self.rule)

    def _changed(self, state: SourceState, event: StatusChange) -> None:
        state.faults[event.kind] += 1
        if event.kind == "connected":
            state.is_connected = True
        elif event.kind == "disconnected":
            state.is_connected = False
            state.silent_channels.clear()
        elif event.kind == "silent" and event.channel:
            state.silent_channels.add(event.channel)
        elif event.kind == "resumed":
            state.silent_channels.discard(event.channel)
        if event.kind not in ("connected", "resumed", "gap_filled"):
            where = f"{event.channel}: " if event.channel else ""
            state.last_problem = f"{event.kind}, {where}{event.what}"[:500]

    def _state(self, source: str) -> SourceState:
        return self._states.setdefault(source, SourceState(source))
