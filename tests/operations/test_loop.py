"""The loop: what happens when, on one log, whoever runs it and wherever it ends."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loop_days import SOURCE, Day, fill
from loop_world import (
    LINEAR,
    World,
    WorldClock,
    opened_world,
    small_model,
    small_scenarios,
    snapshot_at,
)
from margin_cluster.feeds import FeedBoard, FeedRunner, Intake, Quarantine, RunningFeed
from margin_cluster.feeds.events import FeedEvent, IndexTick, SnapshotArrived, VolatilityTick
from margin_cluster.operations.connection import LoopFeed, LoopPublish
from margin_cluster.operations.embedded import EmbeddedMargining
from margin_cluster.operations.margining import MarginRequest, MarginRun
from margin_cluster.operations.settlement import settlement_id
from margin_cluster.operations.ticks import TickFiles
from small_chain import small_snapshot

from margin_actors.clearing.calls import CallClass
from margin_actors.clearing.house.queries import call_state
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import MissingMarketData, Problem


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened_world(tmp_path) as opened:
        yield opened


def test_cycles_run_every_minute_and_after_a_move(world: World, tmp_path: Path) -> None:
    fill(world)

    async def day() -> list[int]:
        run, numbers = Day(world, tmp_path), []
        await run.step()
        numbers.append(run.number)
        await run.step(61.0)
        numbers.append(run.number)
        await run.step(6.0)
        numbers.append(run.number)
        await run.step(6.0, index=1.011)
        numbers.append(run.number)
        run.loop.request("ann")
        await run.step(6.0, index=1.011)
        numbers.append(run.number)
        return numbers

    assert asyncio.run(day()) == [1, 2, 2, 3, 4]
    assert world.state.cycle is not None
    assert world.state.cycle.accounts == ("a", "b")


def test_a_large_trade_of_another_process_triggers_a_cycle(world: World, tmp_path: Path) -> None:
    fill(world)

    async def day() -> tuple[int, int]:
        run = Day(world, tmp_path)
        await run.step()
        await run.step(6.0)
        before = run.number
        world.trade(LINEAR, "a", "b", "200", "60000")
        await run.step(1.0)
        return before, run.number

    assert asyncio.run(day()) == (1, 2)


def test_a_deficit_is_called_and_a_deposit_meets_it(world: World, tmp_path: Path) -> None:
    fill(world, deposit=1_000)

    async def day() -> None:
        await Day(world, tmp_path).step()

    asyncio.run(day())
    call = call_state(world.state, "b", CallClass.INITIAL)
    assert call.is_open
    assert call.tranches[0].amount_cents > 0
    world.now += timedelta(minutes=1)
    world.deposit("b", 20_000_000)
    assert not call_state(world.state, "b", CallClass.INITIAL).is_open


def test_timers_fire_and_the_clock_is_read_in_quiet_times(world: World, tmp_path: Path) -> None:
    fill(world, deposit=1_000)

    async def day() -> None:
        run = Day(world, tmp_path)
        await run.step()
        for _ in range(16):
            await run.step(240.0)

    asyncio.run(day())
    state = world.state
    assert state.clock is not None
    assert not state.clock.is_suspended
    assert state.blocked.get("b"), "the call of b is overdue after an hour"
    assert state.reminders


def test_an_outage_of_the_loop_extends_deadlines_once_a_source_confirms_the_clock(
    world: World, tmp_path: Path
) -> None:
    fill(world, deposit=1_000)

    async def day() -> tuple[datetime, list[bool], datetime]:
        run, suspended = Day(world, tmp_path), []
        await run.step()
        due = call_state(world.state, "b", CallClass.INITIAL).tranches[0].due
        world.now += timedelta(minutes=20)  # no process runs
        run = Day(world, tmp_path)
        for seconds in (0.0, 2.0):
            await run.step(seconds)
            assert world.state.clock is not None
            suspended.append(world.state.clock.is_suspended)
            number = world.state.number
            await run.step(1.0, index=None)
            assert world.state.number == number, "an unconfirmed clock is recorded once"
            tick = IndexTick(SOURCE, "BTC", round(world.now.timestamp() * 1_000), 60_000.0)
            run.loop.receive(tick)
        run.ticks.close()
        return due, suspended, call_state(world.state, "b", CallClass.INITIAL).tranches[0].due

    due, suspended, extended = asyncio.run(day())
    assert suspended == [True, False]
    assert timedelta(minutes=20) <= extended - due <= timedelta(minutes=21)


def test_the_settlement_happens_at_eight_from_recorded_ticks(tmp_path: Path) -> None:
    eight = small_snapshot().time.replace(hour=8, minute=0, second=0, microsecond=0)
    eight += timedelta(days=1)
    with opened_world(tmp_path, start=eight - timedelta(minutes=6)) as world:
        fill(world)

        async def day() -> None:
            run = Day(world, tmp_path)
            for _ in range(8):
                time_ms = round(world.now.timestamp() * 1_000)
                run.loop.receive(IndexTick(SOURCE, "BTC", time_ms, 60_000.0))
                await run.step(60.0)
            run.ticks.close()

        asyncio.run(day())
        assert settlement_id(eight) in world.state.commands
        ticks = TickFiles(tmp_path / "ticks", SOURCE)
        assert len(ticks.ticks("BTC", eight - timedelta(minutes=30), eight)) == 6
        assert ticks.ticks("ETH", eight - timedelta(minutes=30), eight) == []


def test_a_silent_source_widens_margins_then_stops_cycles_with_alarms(
    world: World, tmp_path: Path
) -> None:
    fill(world)

    async def day() -> tuple[list[int], list[int]]:
        run, numbers, required = Day(world, tmp_path), [], []
        run.loop.market.expect(SOURCE)
        for seconds in (0.0, 61.0, 120.0, 60.0, 60.0, 120.0):
            await run.step(seconds, index=1.0 if seconds < 100.0 and not numbers[2:] else None)
            numbers.append(run.number)
            assert world.state.cycle is not None
            required.append(world.state.cycle.requirement_cents[0])
        await run.step(1.0)
        numbers.append(run.number)
        return numbers, required

    numbers, required = asyncio.run(day())
    # Ages at the steps: 0, 0, 120, 180, 240 and 360 seconds.
    assert numbers == [1, 2, 3, 4, 5, 5, 6]
    factor = 1.0 + 2.0 * 30.0 / 3600.0
    assert abs(required[3] / required[2] - factor) < 1e-6
    assert required[4] > required[3]
    alarms = {k: a.what for k, a in world.state.alarms.items() if k.startswith("silent_source")}
    assert any("more than 240 seconds" in what for what in alarms.values()), alarms
    assert any("no cycle runs" in what for what in alarms.values())


def test_two_loops_on_one_log_record_each_cycle_once(world: World, tmp_path: Path) -> None:
    fill(world)

    async def day() -> list[int]:
        first, second = Day(world, tmp_path / "1"), Day(world, tmp_path / "2")
        numbers: list[int] = []
        for seconds in (0.0, 61.0, 61.0):
            world.now += timedelta(seconds=seconds)
            for one in (first, second):
                one.loop.use_snapshot(snapshot_at(world.now), SOURCE)
            await asyncio.gather(first.loop.advance(), second.loop.advance())
            await asyncio.gather(first.loop.drain(), second.loop.drain())
            numbers.append(first.number)
        world.now += timedelta(seconds=61)
        await first.step()
        await second.step(1.0)
        return [*numbers, second.number]

    numbers = asyncio.run(day())
    # Simultaneous loops may both record once at first; a later one leaves the minute to the other.
    assert numbers[-1] == numbers[-2] + 1
    assert numbers[0] in (1, 2)


class _Failing(EmbeddedMargining):
    """Margining that fails a number of times."""

    failures = 2

    async def calculate(self, request: MarginRequest) -> MarginRun:
        if self.failures:
            self.failures -= 1
            raise MissingMarketData("no smile", [Problem("snapshot", "empty")])
        return await super().calculate(request)


def test_a_cycle_that_fails_is_repeated_and_the_loop_goes_on(world: World, tmp_path: Path) -> None:
    fill(world)
    world.margining = _Failing(small_model(), small_scenarios())

    async def day() -> list[int]:
        run, numbers = Day(world, tmp_path), []
        for seconds in (0.0, 6.0, 11.0):
            await run.step(seconds)
            numbers.append(run.number)
        return numbers

    assert asyncio.run(day()) == [0, 0, 1]


def test_a_scenario_set_is_built_after_the_close_and_used_when_complete(
    world: World, tmp_path: Path
) -> None:
    fill(world)
    built: list[datetime] = []

    def build(close: datetime) -> ScenarioSet:
        built.append(close)
        if len(built) == 1:
            raise MissingMarketData("no prices", [Problem("prices", "absent")])
        return small_scenarios(9)

    async def day() -> list[str]:
        midnight = world.now.replace(hour=0, minute=0, second=0, microsecond=0)
        run, used = Day(world, tmp_path, build=build, close=midnight), []
        await run.step()
        used.append(world.margining.scenarios_id)
        world.now = midnight + timedelta(days=1, seconds=121)
        await run.step()
        used.append(world.margining.scenarios_id)
        await run.step(301.0)
        used.append(world.margining.scenarios_id)
        return used

    first, second = small_scenarios().id, small_scenarios(9).id
    assert asyncio.run(day()) == [first, first, second]
    assert len(set(built)) == 1
    assert any("not built" in alarm.what for alarm in world.state.alarms.values())


def test_a_loop_that_is_killed_continues_where_the_log_ends(world: World, tmp_path: Path) -> None:
    fill(world)

    async def killed() -> None:
        run = Day(world, tmp_path)
        await run.step()
        world.now += timedelta(seconds=61)
        run.loop.use_snapshot(snapshot_at(world.now), SOURCE)
        await run.loop.advance()  # a cycle runs; the process ends

    async def next_day() -> int:
        run = Day(world, tmp_path)
        await run.step(20.0)
        return run.number

    asyncio.run(killed())
    number = 0 if world.state.cycle is None else world.state.cycle.number
    assert number in (1, 2)
    assert asyncio.run(next_day()) == number + 1


def test_run_works_until_it_is_cancelled(world: World, tmp_path: Path) -> None:
    fill(world)

    async def day() -> None:
        run = Day(world, tmp_path)
        run.loop.use_snapshot(snapshot_at(world.now), SOURCE)
        task = asyncio.create_task(run.loop.run())
        while run.number < 2:
            await asyncio.sleep(0.01)
            run.loop.use_snapshot(snapshot_at(world.now), SOURCE)
            run.loop.receive(VolatilityTick(SOURCE, "BTC", 1, 50.0))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(day())


def test_an_account_that_cannot_be_margined_keeps_its_requirement_and_raises_an_alarm(
    world: World,
) -> None:
    fill(world)
    world.open("c", "d", deposit=5_000_000)
    world.trade(LINEAR, "c", "d", 5, "60000")
    runner = world.runner()
    asyncio.run(runner.run(world.inputs()))
    before = world.state.margin("c")
    world.trade("BTC_USDC-25DEC37-60000-C", "c", "d", 5, "900")
    for is_first in (True, False):
        world.now += timedelta(seconds=60)
        number = world.state.number
        outcome = asyncio.run(runner.run(world.inputs()))
        assert {failure.account_id for failure in outcome.failures} == {"c", "d"}
        assert outcome.command.accounts == ("a", "b")
        alarms = world.log.events_after(number, kinds=("alarm",)).events
        assert len(alarms) == (2 if is_first else 0), "an alarm once, not in every cycle"
    after = world.state.margin("c")
    assert before is not None
    assert after is not None
    assert after.requirement_cents == before.requirement_cents > 0
    assert after.cycle == before.cycle


class _Feed:
    """A feed with one tick and three snapshots: a good one, a bad one, and one that is older."""

    source = SOURCE
    is_historical = False

    def __init__(self, world: World) -> None:
        self._world = world

    async def events(self) -> AsyncGenerator[FeedEvent]:
        now = self._world.now
        yield IndexTick(SOURCE, "BTC", round(now.timestamp() * 1_000), 60_000.0)
        yield SnapshotArrived(SOURCE, snapshot_at(now))
        yield SnapshotArrived(SOURCE, snapshot_at(now + timedelta(seconds=1), index=5.0))
        yield SnapshotArrived(SOURCE, snapshot_at(now - timedelta(seconds=1)))


def test_a_feed_reaches_the_loop_through_its_quality_gates(world: World, tmp_path: Path) -> None:
    fill(world)

    async def day() -> tuple[str, int]:
        run = Day(world, tmp_path)

        async def in_thread(work: Any, /, *args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(work, *args, **kwargs)

        intake = Intake(
            LoopPublish(run.loop, SOURCE),
            Quarantine(tmp_path / "quarantine"),
            threads=in_thread,
            clock=WorldClock(world),
        )
        board = FeedBoard(clock=WorldClock(world))
        runner = FeedRunner(
            [RunningFeed(LoopFeed(_Feed(world), run.loop), intake)], board, clock=WorldClock(world)
        )
        runner.start()
        while not board.states or not board.states[0].is_stopped:
            await asyncio.sleep(0.01)
        await runner.close()
        await run.loop.advance()
        await run.loop.drain()
        run.ticks.close()
        (report,) = board.reports()
        assert (report.accepted, report.rejected) == (1, 1)
        assert run.loop.market.snapshot is not None
        return run.loop.market.snapshot.id, run.number

    assert asyncio.run(day()) == (snapshot_at(world.now).id, 1)
    assert (
        len(
            TickFiles(tmp_path / "ticks", SOURCE).ticks(
                "BTC", world.now - timedelta(minutes=1), world.now + timedelta(minutes=1)
            )
        )
        == 1
    )
    assert list((tmp_path / "quarantine").rglob("*")), "the bad snapshot is kept and not used"
