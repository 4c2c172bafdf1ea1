"""The schedule of cycles: one runs, one waits, nothing starves, nothing is lost."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from margin_cluster.operations.rebuilding import (
    RebuildParameters,
    RebuildState,
    close_due,
    finished,
    started,
)
from margin_cluster.operations.schedule import (
    Cause,
    CycleElsewhere,
    CycleFinished,
    CycleRequested,
    IndexObserved,
    MarketLost,
    MarketReady,
    Reason,
    ScheduleEvent,
    ScheduleParameters,
    ScheduleState,
    SnapshotUsed,
    TimePassed,
    TradeBooked,
    VolatilityObserved,
    step,
    tick_of,
)

NOON = datetime(2026, 5, 15, 12, tzinfo=UTC)
RULES = ScheduleParameters()


@dataclass
class Runner:
    """Reports events and notes the cycles that start."""

    state: ScheduleState = field(default_factory=ScheduleState)
    now: datetime = NOON
    starts: list[tuple[datetime, tuple[Reason, ...]]] = field(
        default_factory=list[tuple[datetime, tuple[Reason, ...]]]
    )
    wake_at: datetime = NOON

    def tell(self, event: ScheduleEvent, after: float = 0.0) -> tuple[Cause, ...]:
        """Report an event some seconds later; return the causes of the cycle that starts."""
        self.now += timedelta(seconds=after)
        found = step(self.state, event, self.now, RULES)
        self.state, self.wake_at = found.state, found.wake_at
        if found.start:
            self.starts.append((self.now, found.start))
        return tuple(reason.cause for reason in found.start)

    def ready(self) -> "Runner":
        """Run and finish the first cycle, with an index of 100 and a volatility of 50."""
        self.tell(IndexObserved("BTC", 100.0))
        self.tell(VolatilityObserved("BTC", 50.0))
        assert self.tell(MarketReady()) == (Cause.SCHEDULE,)
        self.tell(CycleFinished(True), 2.0)
        return self


def test_a_cycle_is_due_at_every_multiple_of_the_interval() -> None:
    runner = Runner().ready()
    assert runner.wake_at == NOON + timedelta(minutes=1)
    assert runner.tell(TimePassed(), 57.9) == ()
    assert runner.tell(TimePassed(), 0.1) == (Cause.SCHEDULE,)


def test_moves_of_the_index_and_of_volatility_trigger_once_a_snapshot_contains_them() -> None:
    runner = Runner().ready()
    assert runner.tell(IndexObserved("BTC", 100.99), 5.0) == ()
    assert runner.tell(IndexObserved("BTC", 101.0)) == ()
    assert runner.tell(SnapshotUsed(runner.now - timedelta(seconds=1))) == ()
    assert runner.tell(SnapshotUsed(runner.now + timedelta(seconds=1)), 2.0) == (Cause.INDEX,)
    runner.tell(CycleFinished(True), 2.0)
    assert runner.tell(IndexObserved("BTC", 101.5), 5.0) == ()
    assert runner.tell(VolatilityObserved("BTC", 54.9)) == ()
    runner.tell(VolatilityObserved("BTC", 45.0))
    assert runner.wake_at == runner.now + timedelta(seconds=RULES.fresh_seconds)
    assert runner.tell(TimePassed(), RULES.fresh_seconds) == (Cause.VOLATILITY,)


def test_trades_are_added_until_they_are_large() -> None:
    runner = Runner().ready()
    assert runner.tell(TradeBooked(6e6), 5.0) == ()
    assert runner.tell(TradeBooked(4e6)) == (Cause.TRADE,)
    runner.tell(CycleFinished(True), 2.0)
    assert runner.tell(TradeBooked(6e6), 5.0) == ()


def test_a_burst_during_a_cycle_becomes_one_further_cycle() -> None:
    runner = Runner().ready()
    assert runner.tell(CycleRequested("ann"), 5.0) == (Cause.REQUEST,)
    for number in range(1_000):
        assert runner.tell(IndexObserved("BTC", 100.0 + 5 * (number % 2)), 0.001) == ()
        assert runner.tell(CycleRequested(f"p{number}")) == ()
        assert runner.tell(TradeBooked(1e9)) == ()
    assert runner.state.running_since is not None
    causes = runner.tell(CycleFinished(True), 9.0)
    assert causes == (Cause.REQUEST, Cause.TRADE, Cause.INDEX)
    assert runner.tell(CycleFinished(True), 9.0) == ()


def test_a_failed_cycle_is_repeated_later_and_later() -> None:
    runner = Runner().ready()
    runner.tell(TimePassed(), 58.0)
    waits: list[float] = []
    for _ in range(6):
        assert runner.tell(CycleFinished(False)) == ()
        waits.append((runner.wake_at - runner.now).total_seconds())
        runner.now = runner.wake_at
        while Cause.RETRY not in runner.tell(TimePassed()):
            runner.now = runner.wake_at
    assert waits[:3] == [5.0, 10.0, 20.0]
    assert max(waits) <= 60.0


def test_without_a_market_reasons_wait() -> None:
    runner = Runner().ready()
    runner.tell(MarketLost(), 5.0)
    assert runner.tell(CycleRequested("ann")) == ()
    assert runner.tell(TimePassed(), 600.0) == ()
    assert set(runner.tell(MarketReady())) == {Cause.REQUEST, Cause.SCHEDULE}


def test_a_cycle_of_another_process_counts_except_for_a_request() -> None:
    runner = Runner().ready()
    runner.tell(CycleRequested("ann"), 1.0)
    runner.tell(IndexObserved("BTC", 110.0))
    runner.tell(CycleElsewhere())
    assert [reason.cause for reason in runner.state.waiting] == [Cause.REQUEST]
    assert runner.state.anchors["index:BTC"] == 110.0


EVENTS = st.one_of(
    st.builds(IndexObserved, st.sampled_from(["BTC", "ETH"]), st.floats(50.0, 200.0)),
    st.builds(VolatilityObserved, st.just("BTC"), st.floats(20.0, 90.0)),
    st.builds(TradeBooked, st.floats(0.0, 2e7)),
    st.builds(CycleRequested, st.sampled_from(["ann", "ben"])),
    st.sampled_from(
        [TimePassed(), MarketReady(), MarketLost(), CycleElsewhere(), CycleFinished(True),
         CycleFinished(False)]
    ),
)  # fmt: skip


@given(st.lists(st.tuples(EVENTS, st.floats(-5.0, 90.0)), max_size=60))
def test_laws_of_the_schedule(events: list[tuple[ScheduleEvent, float]]) -> None:
    runner = Runner()
    for event, after in events:
        before = runner.state
        begun = runner.tell(event, after)
        state = runner.state
        causes = [reason.cause for reason in state.waiting]
        assert len(set(causes)) == len(causes)
        # A cycle starts only if none runs, unless the event ended it, and only with a market.
        if begun:
            assert before.running_since is None or isinstance(event, CycleFinished)
            assert state.is_ready
            assert state.running_since == state.now
            assert state.now >= before.not_before or isinstance(event, CycleFinished)
        elif before.running_since is not None and not isinstance(event, CycleFinished):
            assert state.running_since == before.running_since, "a run is never cancelled"
        assert state.now >= before.now
        # A reason disappears only when a cycle starts, here or elsewhere.
        kept = {reason.cause for reason in before.waiting} <= set(causes)
        assert kept or begun or isinstance(event, CycleElsewhere)
        if state.waiting and state.is_ready and state.running_since is None:
            assert runner.wake_at <= tick_of(state.now, RULES) + timedelta(seconds=60)
        assert runner.wake_at >= state.now
    for (first, _), (second, _) in zip(runner.starts, runner.starts[1:], strict=False):
        assert second >= first


@given(st.lists(st.floats(0.0, 20.0), min_size=1, max_size=40), st.floats(0.1, 30.0))
def test_no_reason_waits_longer_than_a_cycle_and_the_distance(
    gaps: list[float], duration: float
) -> None:
    """Requests arrive all the time; cycles take `duration`; each request starts one in time."""
    runner = Runner().ready()
    asked: datetime | None = None
    end = datetime.max.replace(tzinfo=UTC)
    for gap in gaps:
        until = runner.now + timedelta(seconds=gap)
        while min(end, runner.wake_at) <= until:
            runner.now = max(runner.now, min(end, runner.wake_at))
            event: ScheduleEvent = TimePassed()
            if runner.now >= end:
                event, end = CycleFinished(True), datetime.max.replace(tzinfo=UTC)
            causes = runner.tell(event)
            if causes:
                end = runner.now + timedelta(seconds=duration)
                if Cause.REQUEST in causes:
                    asked = None
        runner.now = until
        asked = asked or runner.now
        if runner.tell(CycleRequested("ann")):
            end, asked = runner.now + timedelta(seconds=duration), None
        waited = 0.0 if asked is None else (runner.now - asked).total_seconds()
        assert waited <= duration + RULES.distance_seconds + 1e-6


def test_scenario_sets_are_due_after_a_close_once_and_again_after_a_failure() -> None:
    rules = RebuildParameters()
    midnight = NOON.replace(hour=0)
    state = RebuildState(active=midnight)
    assert close_due(state, midnight + timedelta(hours=24, seconds=119), rules) is None
    now = midnight + timedelta(hours=24, seconds=120)
    close = close_due(state, now, rules)
    assert close is not None
    assert close == midnight + timedelta(days=1)
    state = started(state, close)
    assert close_due(state, now + timedelta(days=3), rules) is None, "one build at a time"
    failed = finished(state, now, rules, has_succeeded=False)
    assert failed.active == midnight
    assert close_due(failed, now + timedelta(seconds=299), rules) is None
    assert close_due(failed, now + timedelta(seconds=300), rules) == close
    done = finished(state, now, rules, has_succeeded=True)
    assert done.active == close
    assert close_due(done, now + timedelta(hours=20), rules) is None
    hourly = RebuildParameters(closes="hour", delay_seconds=0.0)
    assert close_due(done, now + timedelta(hours=2), hourly) == close + timedelta(hours=2)
