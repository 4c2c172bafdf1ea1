"""What happens because time passes: readings of the clock, timers, and alarms about old data."""

import asyncio
from datetime import datetime, timedelta

import structlog

from margin_actors.clearing.house import Command
from margin_actors.clearing.house.commands import FireTimers, RaiseAlarm, ReadClock
from margin_actors.clearing.house.events import HouseAlarm
from margin_actors.clearing.house.folding import clock_reading
from margin_actors.clearing.house.schedule import next_timer
from margin_actors.clearing.settlement.exact import utc_text
from margin_actors.errors import KeyReused
from margin_cluster.feeds.rules import SilenceDecision
from margin_cluster.operations.cycle import ACTOR
from margin_cluster.operations.machine import HouseLog
from margin_cluster.operations.market import LoopMarket


class Upkeep:
    """Commits what follows from time alone; every command can be repeated by any process."""

    def __init__(self, log: HouseLog) -> None:
        self._log = log
        self._events = structlog.get_logger("loop")

    async def clock_and_timers(self, market: LoopMarket, now: datetime) -> None:
        """Confirm a jump of the clock by that of a source, and fire the timers that are due.

        Without a source that delivers, a jump stays unconfirmed: deadlines stand still.
        """
        state = self._log.state
        if state.clock is None:
            return
        reading = clock_reading(state, now)
        if reading.clock.is_suspended or state.clock.is_suspended:
            second = market.second_clock(now)
            await self.commit(ReadClock(f"clock:{utc_text(now)}", ACTOR, second))
            state = self._log.state
        timer = next_timer(state)
        limit = state.parameters.calls.clock.jump_seconds_max
        is_quiet = state.clock is not None and now - state.clock.now > timedelta(seconds=limit / 2)
        if is_quiet or (timer is not None and timer.at <= now):
            await self.commit(FireTimers(f"timers:{utc_text(now)}", ACTOR))

    async def silence_alarms(
        self, market: LoopMarket, decision: SilenceDecision, now: datetime
    ) -> None:
        """Raise an alarm about each silent source, and about the age of the snapshot."""
        rule = market.rule
        for source in decision.silent:
            since, what = market.silent_since(source), f"the source {source} is silent"
            await self._old(source, since, now, rule.silent_seconds, what)
        if market.snapshot is not None and decision.action != "use":
            is_stopped = decision.action == "stop_calls"
            limit = rule.stop_seconds if is_stopped else rule.keep_seconds
            what = "no cycle runs" if is_stopped else "the last snapshot is kept, margins widen"
            await self._old(f"snapshot:{decision.action}", market.snapshot.time, now, limit, what)

    async def _old(
        self, subject: str, since: datetime, now: datetime, limit: float, what: str
    ) -> None:
        """Raise an alarm when an age passes its limit, and again whenever it has doubled."""
        age = (now - since).total_seconds()
        passed = limit
        while 2.0 * passed < age:
            passed *= 2.0
        if age > limit and self._log.state.number:
            name = f"silence:{subject}:{utc_text(since)}:{passed:g}"
            text = f"{what}: nothing since {utc_text(since)}, for more than {passed:g} seconds"
            await self.alarm(name, HouseAlarm.SILENT_SOURCE, subject, text)

    async def alarm(self, name: str, kind: HouseAlarm, subject: str, what: str) -> None:
        """Raise an alarm, once per id `name`."""
        if name not in self._log.state.commands:
            await self.commit(RaiseAlarm(name, ACTOR, kind, subject, what))

    async def commit(self, command: Command) -> None:
        """Commit a command; one that another process committed differently is left as it is."""
        try:
            decision = (await asyncio.to_thread(self._log.commit, [command]))[0]
        except KeyReused:
            return
        if decision.refusal is not None:
            self._events.error("refused", command=command.id, why=decision.refusal.reason)


__all__ = ["Upkeep"]
