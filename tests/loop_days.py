"""A day of the loop on the log of a world, driven step by step."""

from datetime import datetime, timedelta
from pathlib import Path

from loop_world import INVERSE, LINEAR, World, WorldClock, option_names, snapshot_at
from margin_cluster.operations.loop import BuildScenarios, ClearingLoop, LoopOptions
from margin_cluster.operations.procedures import ProcedureParameters
from margin_cluster.operations.schedule import ScheduleParameters
from margin_cluster.operations.ticks import TickFiles

SOURCE = "exchange"


class Day:
    """A loop on the log of a world, driven step by step."""

    def __init__(
        self,
        world: World,
        folder: Path,
        *,
        build: BuildScenarios | None = None,
        close: datetime | None = None,
    ) -> None:
        self.world, self.ticks = world, TickFiles(folder / "ticks", SOURCE)
        self.loop = ClearingLoop(
            world.log,
            world.margining,
            clock=WorldClock(world),
            ticks=self.ticks,
            options=LoopOptions(
                schedule=ScheduleParameters(interval_seconds=60),
                procedures=ProcedureParameters(archive_hours=1.0),
            ),
            build=build,
            scenarios_close=close,
        )

    async def step(self, seconds: float = 0.0, *, index: float | None = 1.0) -> None:
        """Let time pass, deliver a snapshot unless `index` is None, and complete what starts."""
        self.world.now += timedelta(seconds=seconds)
        if index is not None:
            self.loop.use_snapshot(snapshot_at(self.world.now, index=index), SOURCE)
        await self.loop.advance()
        await self.loop.drain()

    @property
    def number(self) -> int:
        cycle = self.world.state.cycle
        return 0 if cycle is None else cycle.number


def fill(world: World, deposit: int = 5_000_000) -> None:
    world.open("a", "b", deposit=deposit)
    world.trade(LINEAR, "a", "b", "12.5", "60000")
    world.trade(INVERSE, "b", "a", "250000", "60000")
    for name in option_names(2):
        world.trade(name, "a", "b", 3, "0.05")
