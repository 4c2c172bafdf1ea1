"""The intraday loop: it asks the schedule, runs cycles, fires timers, settles and raises alarms.

The loop keeps no state of its own that matters. What it has decided is in the log; what it has not
committed is computed again by the next loop. Two loops on one ledger are safe: the number of a
cycle can be recorded once, a loop that sees a cycle of another one counts it as its own, and
procedures have ids that follow from what they settle.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from margin_actors.clearing.house import HouseRule
from margin_actors.clearing.house.events import HouseAlarm
from margin_actors.clearing.house.schedule import next_timer
from margin_actors.clearing.settlement.exact import utc_text
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import MarginError
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.feeds.events import FeedEvent, IndexTick, VolatilityTick
from margin_cluster.feeds.interface import Clock
from margin_cluster.feeds.rules import SilenceRule
from margin_cluster.operations.activity import booked_trades_usd
from margin_cluster.operations.cycle import CycleInputs, CycleOutcome, CycleRunner
from margin_cluster.operations.machine import HouseLog
from margin_cluster.operations.margining import Margining
from margin_cluster.operations.market import CYCLE_SILENCE, LoopMarket
from margin_cluster.operations.metrics import LoopMetrics
from margin_cluster.operations.procedures import ProcedureParameters, Procedures
from margin_cluster.operations.rebuilding import (
    RebuildParameters,
    RebuildState,
    close_due,
    finished,
    started,
)
from margin_cluster.operations.schedule import (
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
)
from margin_cluster.operations.ticks import TickFiles
from margin_cluster.operations.upkeep import Upkeep

BuildScenarios = Callable[[datetime], ScenarioSet]
"""Builds and stores the scenario set up to a close (UTC); blocks."""
_WHAT_MAX = 400
_OBSERVED_MAX = 10_000


@dataclass(frozen=True)
class LoopOptions:
    """Rules of the loop that have a number."""

    schedule: ScheduleParameters = field(default_factory=ScheduleParameters)
    procedures: ProcedureParameters = field(default_factory=ProcedureParameters)
    rebuild: RebuildParameters = field(default_factory=RebuildParameters)
    silence: SilenceRule = CYCLE_SILENCE
    poll_seconds: float = 1.0
    """Longest time between two looks at the log, in which other processes book trades."""
    retry_seconds: float = 10.0
    """Wait before procedures that are due and could not be completed are tried again."""


class ClearingLoop:
    """Runs the clearing day on one log; belongs to one event loop.

    A service calls `run`. A simulation calls `receive`, `use_snapshot`, `advance` and `drain`, at
    times of its own clock.

    Parameters
    ----------
    log : HouseLog
        Its wall clock should be `clock`.
    margining : Margining
    clock : Clock
        The only source of time of all decisions, and the only way in which the loop waits.
    ticks : TickFiles
        Where the index is recorded, and from where delivery prices are computed.
    options : LoopOptions, optional
    build : BuildScenarios, optional
        Rebuilds the scenario set; without it, the set in use stays in use.
    scenarios_close : datetime, optional
        Close up to which the scenario set in use was built, UTC.
    refresh : callable, optional
        Asks a feed for a new snapshot at once, when the market has moved.
    metrics : LoopMetrics, optional
    """

    def __init__(
        self,
        log: HouseLog,
        margining: Margining,
        *,
        clock: Clock,
        ticks: TickFiles,
        options: LoopOptions | None = None,
        build: BuildScenarios | None = None,
        scenarios_close: datetime | None = None,
        refresh: Callable[[], None] | None = None,
        metrics: LoopMetrics | None = None,
    ) -> None:
        self._log, self._margining, self._clock = log, margining, clock
        self.options = options or LoopOptions()
        self.market = LoopMarket(self.now, self.options.silence)
        self.runner = CycleRunner(log, margining, metrics=metrics)
        self.metrics = self.runner.metrics
        self._ticks, self._build, self._refresh = ticks, build, refresh
        self._procedures = Procedures(log, ticks, self.options.procedures)
        self._upkeep = Upkeep(log)
        self._schedule = ScheduleState()
        self._rebuild = RebuildState(active=scenarios_close)
        self._has_succeeded = False
        self._observed: deque[ScheduleEvent] = deque(maxlen=_OBSERVED_MAX)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._events = structlog.get_logger("loop")
        self._seen_cycle = 0
        self._token: int | str = log.state.number
        self._not_before = self.now
        self.last: CycleOutcome | None = None
        """The last cycle that this loop ran."""

    @property
    def now(self) -> datetime:
        """The time of the injected clock, UTC."""
        return datetime.fromtimestamp(self._clock.time(), UTC)

    # -- what arrives --------------------------------------------------------------------------

    def receive(self, event: FeedEvent) -> None:
        """Take an event of a feed. Snapshots are taken by `use_snapshot`, when accepted."""
        self.market.receive(event, self.now)
        if isinstance(event, IndexTick):
            self._ticks.receive(event)
            self._observed.append(IndexObserved(event.underlying, event.price_usd))
        elif isinstance(event, VolatilityTick):
            self._observed.append(VolatilityObserved(event.underlying, event.points))

    def use_snapshot(
        self, snapshot: MarketSnapshot, source: str, *, allow_older: bool = False
    ) -> bool:
        """Put a snapshot that passed its checks in use, from the next cycle on.

        Returns False if a later one is in use, which stays unless `allow_older` is true.
        """
        if not self.market.use(snapshot, source, self.now, allow_older=allow_older):
            return False
        for underlying, price in snapshot.index_usd.items():
            self._observed.append(IndexObserved(underlying, price))
        self._observed.append(SnapshotUsed(snapshot.time))
        self._wake.set()
        return True

    def request(self, by: str) -> None:
        """Ask for a cycle now; `by` is the identity of the person or service."""
        self._observed.append(CycleRequested(by))
        self._wake.set()

    # -- running -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until cancelled; a running cycle is completed first."""
        try:
            while True:
                wake_at = await self._advanced()
                seconds = max(0.0, (wake_at - self.now).total_seconds())
                await self._pause(min(seconds, self.options.poll_seconds))
        finally:
            await asyncio.shield(self.drain())
            self._ticks.close()

    async def _advanced(self) -> datetime:
        try:
            return await self.advance()
        except (MarginError, OSError) as error:
            self._events.error("the loop could not advance", error=str(error))
            return self.now + timedelta(seconds=self.options.poll_seconds)

    async def _pause(self, seconds: float) -> None:
        """Wait for a time of the injected clock, or until something is reported."""
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeping, waking):
                task.cancel()
            await asyncio.gather(sleeping, waking, return_exceptions=True)
            self._wake.clear()

    async def advance(self) -> datetime:
        """Start everything that is due now, and return the next time at which something is, UTC.

        Timers are fired before this returns; cycles, settlements and builds continue in tasks, see
        `drain`.

        Raises
        ------
        LedgerUnavailable
            If the ledger does not answer; what was due is done the next time.
        """
        await asyncio.to_thread(self._log.refresh)
        await self._upkeep.clock_and_timers(self.market, self.now)
        await self._others()
        await self._silence()
        await asyncio.to_thread(self._ticks.flush)
        self._start_procedures()
        self._start_build()
        wake_at = self._report_observed()
        return min(wake_at, *self._next_times())

    async def drain(self) -> None:
        """Wait until no cycle, settlement or build runs that this loop has started."""
        while tasks := list(self._tasks.values()):
            await asyncio.gather(*tasks, return_exceptions=True)

    def _next_times(self) -> list[datetime]:
        timer = next_timer(self._log.state)
        times = [self._procedures.next_time(self.now)]
        return times if timer is None else [*times, timer.at]

    # -- the schedule --------------------------------------------------------------------------

    def _report_observed(self) -> datetime:
        """Report to the schedule what arrived, then the time; return when to advance again."""
        was_waiting = bool(self._schedule.waiting)
        while self._observed:
            self._step(self._observed.popleft())
        wake_at = self._step(TimePassed())
        if self._schedule.waiting and not was_waiting and self._refresh is not None:
            self._refresh()
        return wake_at

    def _step(self, event: ScheduleEvent) -> datetime:
        """Report an event to the schedule, start a cycle if it says so, return when to wake."""
        found = step(self._schedule, event, self.now, self.options.schedule)
        self._schedule = found.state
        if found.start:
            self._start("cycle", self._cycle(found.start))
        return found.wake_at

    async def _cycle(self, reasons: tuple[Reason, ...]) -> None:
        """Run a cycle; its end is reported to the schedule when the task has ended."""
        self._has_succeeded = False
        try:
            self.last = await self.runner.run(self._inputs(reasons))
        except (MarginError, OSError) as error:
            self._events.error("cycle failed", error=str(error), causes=list(map(str, reasons)))
            return
        refusal = self.last.decision.refusal
        self._has_succeeded = refusal is None or refusal.rule == HouseRule.OLD_CYCLE
        if self._has_succeeded:
            self._seen_cycle = max(self._seen_cycle, self.last.command.number)

    def _inputs(self, reasons: tuple[Reason, ...]) -> CycleInputs:
        market, now, state = self.market, self.now, self._log.state
        assert market.snapshot is not None, "the schedule starts no cycle without a market"
        decision = market.silence(now)
        self.metrics.set_factor(decision.factor)
        prices = market.collateral_prices(now, state.parameters.settlement.index)
        for asset, why in prices.doubtful.items():
            self._events.warning("collateral price", asset=asset, why=why)
        causes = tuple(str(reason) for reason in reasons)
        # The clock of the source may be ahead of this one.
        valued_at = min(market.snapshot.time, now)
        return CycleInputs(market.snapshot, prices.prices, decision.factor, causes, valued_at)

    async def _others(self) -> None:
        """Note trades and cycles that were recorded since the last look, by any process."""
        state = self._log.state
        number = 0 if state.cycle is None else state.cycle.number
        if number > self._seen_cycle and "cycle" not in self._tasks:
            if self._seen_cycle:
                self._step(CycleElsewhere())
            self._seen_cycle = number
        if state.number > _number_of(self._token):
            page = await asyncio.to_thread(
                self._log.events_after, self._token, kinds=("group",), limit=1_000
            )
            self._token = page.token
            traded = booked_trades_usd(self._log.state, [one.event for one in page.events])
            if traded > 0.0:
                self._step(TradeBooked(traded))

    async def _silence(self) -> None:
        """Allow cycles only on usable data, and raise alarms about old data."""
        now = self.now
        decision = self.market.silence(now)
        has_market = self.market.snapshot is not None and bool(self._margining.scenarios_id)
        is_usable = has_market and decision.action != "stop_calls"
        if is_usable != self._schedule.is_ready:
            self._step(MarketReady() if is_usable else MarketLost())
        await self._upkeep.silence_alarms(self.market, decision, now)

    # -- procedures and scenario sets ----------------------------------------------------------

    def _start_procedures(self) -> None:
        now = self.now
        if now >= self._not_before and self._procedures.is_due(now):
            self._start("procedures", self._carry_out(now))

    async def _carry_out(self, now: datetime) -> None:
        outcome = "failed"
        try:
            done = await asyncio.to_thread(self._procedures.carry_out, now)
            outcome = "done" if done else "waiting"
        except (MarginError, OSError) as error:
            self._events.error("procedures failed", error=str(error))
        if self._procedures.is_due(self.now):
            self._not_before = self.now + timedelta(seconds=self.options.retry_seconds)
        self.metrics.job_finished("procedures", outcome)

    def _start_build(self) -> None:
        if self._build is None:
            return
        close = close_due(self._rebuild, self.now, self.options.rebuild)
        if close is not None:
            self._rebuild = started(self._rebuild, close)
            self._start("scenarios", self._rebuilt(self._build, close))

    async def _rebuilt(self, build: BuildScenarios, close: datetime) -> None:
        has_succeeded = False
        try:
            scenarios = await asyncio.to_thread(build, close)
            await self._margining.activate(scenarios)
            has_succeeded = True
            self._events.info("scenario set in use", id=scenarios.id, close=utc_text(close))
        except (MarginError, OSError) as error:
            self._events.error("scenario set not built", close=utc_text(close), error=str(error))
            what = f"not built, the set in use stays in use: {error}"[:_WHAT_MAX]
            name = f"scenarios:{utc_text(close)}:failed"
            with contextlib.suppress(MarginError):
                await self._upkeep.alarm(name, HouseAlarm.OTHER, "scenario set", what)
        finally:
            self._rebuild = finished(
                self._rebuild, self.now, self.options.rebuild, has_succeeded=has_succeeded
            )
        self.metrics.job_finished("scenarios", "done" if has_succeeded else "failed")

    # -- tasks and commits ---------------------------------------------------------------------

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a task, at most one of a name at a time."""
        if name in self._tasks:
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._events.error("task failed", task=name, error=f"{type(error).__name__}: {error}")
        if name == "cycle":
            self._step(CycleFinished(self._has_succeeded))
        self._wake.set()


def _number_of(token: int | str) -> int:
    return int(str(token).partition(":")[0])


__all__ = ["BuildScenarios", "ClearingLoop", "LoopOptions"]
