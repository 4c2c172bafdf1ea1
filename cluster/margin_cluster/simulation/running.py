"""The run of a simulated day, minute by minute, in virtual time.

In each minute, members act and timers fire in one transaction; then a cycle runs if the schedule
starts one; then, a second later, what is due is settled. Each of these steps is repeated safely:
what is recorded already is recognised in the state. A day that was interrupted continues at the
minute of its last entry, with the result of an undisturbed one. Nothing depends on the wall clock.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from margin_actors.clearing.house import Command, Decision, HouseState
from margin_actors.clearing.house.commands import FireTimers
from margin_actors.clearing.house.schedule import timers_due
from margin_actors.clearing.settlement import IndexTick
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import InvalidRequest, Problem
from margin_cluster.operations.cycle import ACTOR, CycleInputs, CycleRunner
from margin_cluster.operations.machine import HouseLog
from margin_cluster.operations.margining import Margining
from margin_cluster.operations.procedures import Procedures
from margin_cluster.operations.schedule import (
    CycleFinished,
    IndexObserved,
    MarketReady,
    Reason,
    ScheduleEvent,
    ScheduleParameters,
    ScheduleState,
    step,
)
from margin_cluster.simulation.market import DayMarket
from margin_cluster.simulation.members import due_actions
from margin_cluster.simulation.plan import DayPlan
from margin_cluster.simulation.tally import CallTally, DayView, view_of

MINUTE = timedelta(minutes=1)
_SETTLING = timedelta(seconds=1)
"""Time from the beginning of a minute to settlement, so that the state at the minute is final."""
_QUIET = timedelta(minutes=3)
"""Time without an entry after which the clock is recorded, so that it does not appear to jump."""
_COMMANDS_TOGETHER = 20


class VirtualClock:
    """The clock of a simulated day; it stands still between the steps of the run."""

    def __init__(self, time: datetime) -> None:
        self.time = time

    def __call__(self) -> datetime:
        """Return the virtual time, UTC."""
        return self.time


class MinuteTicks:
    """The index of a simulated day as recorded values: one at each whole minute."""

    def __init__(self, market: DayMarket) -> None:
        self._market = market

    def ticks(self, underlying: str, start: datetime, end: datetime) -> Sequence[IndexTick]:
        """Return the values from `start` to `end` (UTC, `end` excluded)."""
        time = start.replace(second=0, microsecond=0)
        found: list[IndexTick] = []
        while time < end:
            if time >= max(start, self._market.chains[0].time):
                price = self._market.index_at(time)[underlying]
                found.append(IndexTick(time, Decimal(repr(price))))
            time += MINUTE
        return found


@dataclass(frozen=True)
class DayParts:
    """What a day runs on."""

    plan: DayPlan
    log: HouseLog
    clock: VirtualClock
    """The clock of `log`."""
    margining: Margining
    market: DayMarket
    scenarios_at: Callable[[datetime], ScenarioSet]
    """Returns the scenario set in use at a time; it changes at midnight UTC."""


class DayRun:
    """One simulated day.

    Parameters
    ----------
    parts : DayParts
    """

    def __init__(self, parts: DayParts) -> None:
        self._parts = parts
        self._log, self._clock = parts.log, parts.clock
        self._cycles = CycleRunner(parts.log, parts.margining)
        self._procedures = Procedures(parts.log, MinuteTicks(parts.market))
        self._tally = CallTally()
        self._start_usd = parts.market.index_at(parts.plan.start)
        self._schedule = ScheduleState()
        self._rules = ScheduleParameters(interval_seconds=parts.plan.every_seconds)
        self._scenarios_of: datetime | None = None

    @property
    def end(self) -> datetime:
        """End of the day, UTC."""
        return self._parts.plan.end

    async def open(self, commands: Iterator[Command]) -> None:
        """Record the opening of the day; what is recorded already is passed over.

        Raises
        ------
        InvalidRequest
            If a command is refused.
        """
        self._clock.time = self._parts.plan.start
        known = self._log.refresh().state.commands
        some: list[Command] = []
        for command in commands:
            if command.id not in known:
                some.append(command)
            if len(some) == _COMMANDS_TOGETHER:
                self._commit(some)
                some = []
        self._commit(some)

    def resumes_at(self) -> datetime:
        """Return the minute of the last entry of the log, or the start of the day, UTC."""
        clock = self._log.refresh().state.clock
        start = self._parts.plan.start
        if clock is None:
            return start
        return max(start, clock.now.replace(second=0, microsecond=0))

    async def views(self) -> AsyncGenerator[DayView]:
        """Carry out the minutes that remain, and yield what each of them leaves."""
        for time in self.remaining():
            yield await self.minute(time)

    def remaining(self) -> Iterator[datetime]:
        """Yield the minutes that remain; the schedule is replayed up to the first of them."""
        first = self.resumes_at()
        time = self._parts.plan.start
        while time <= self._parts.plan.end:
            if time >= first:
                yield time
            else:
                self._is_cycle_due(time)
            time += MINUTE

    async def minute(self, time: datetime) -> DayView:
        """Carry out one minute and return what the clearing house looks like after it.

        Parameters
        ----------
        time : datetime
            UTC, a whole minute.
        """
        self._clock.time = time
        reasons = self._is_cycle_due(time)
        self._act(self._log.refresh().state, time)
        if reasons:
            await self._cycle(time, reasons)
        self._clock.time = time + _SETTLING
        if self._procedures.is_due(self._clock.time):
            self._procedures.carry_out(self._clock.time)
        self._tally.read(self._log)
        index = self._parts.market.index_at(time)
        return view_of(self._log, self._tally, time, index, self._start_usd)

    def _act(self, state: HouseState, time: datetime) -> None:
        """Let members act and timers fire, in one transaction; none if nothing is due."""
        if state.clock is None or state.clock.now >= time:
            return
        actions = due_actions(state, time, self._parts.plan.members)
        is_quiet = time - state.clock.now >= _QUIET
        if actions or is_quiet or timers_due(state, time):
            timers = FireTimers(f"timers:{time.isoformat()}", ACTOR)
            self._log.commit([*actions, timers])

    def _is_cycle_due(self, time: datetime) -> tuple[Reason, ...]:
        """Return the reasons for a cycle at a minute; empty if none starts.

        The schedule is a pure function of the index, so that it is the same after an interruption.
        """
        reasons: tuple[Reason, ...] = ()
        events: list[ScheduleEvent] = [MarketReady()]
        index = self._parts.market.index_at(time)
        events = [*(IndexObserved(name, price) for name, price in sorted(index.items())), *events]
        for event in events:
            found = step(self._schedule, event, time, self._rules)
            self._schedule, reasons = found.state, reasons + found.start
        if reasons:
            finished = step(self._schedule, CycleFinished(True), time, self._rules)
            self._schedule = finished.state
            assert not finished.start, "cycles are at least a minute apart"
        return reasons

    async def _cycle(self, time: datetime, reasons: tuple[Reason, ...]) -> None:
        cycle = self._log.state.cycle
        if cycle is not None and cycle.valued_at >= time:
            return
        midnight = time.replace(hour=0, minute=0)
        day = max(midnight, self._parts.plan.start)
        if self._scenarios_of != day:
            await self._parts.margining.activate(self._parts.scenarios_at(day))
            self._scenarios_of = day
        if time == self._parts.plan.start:
            # The first session of funding begins with the opening and reads the entries after it.
            self._clock.time = time + _SETTLING
        snapshot = self._parts.market.snapshot_at(time)
        prices = {name: Decimal(repr(price)) for name, price in snapshot.index_usd.items()}
        causes = tuple(str(reason) for reason in reasons)
        outcome = await self._cycles.run(CycleInputs(snapshot, prices, causes=causes))
        _require_accepted([outcome.decision])

    def _commit(self, commands: Sequence[Command]) -> None:
        if commands:
            _require_accepted(self._log.commit(commands))


def _require_accepted(decisions: Sequence[Decision]) -> None:
    refused = [one.refusal for one in decisions if one.refusal is not None]
    if refused:
        problems = [Problem(one.rule, one.reason) for one in refused[:5]]
        raise InvalidRequest("the clearing house refused a command of the day", problems)
