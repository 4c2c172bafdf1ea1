"""Long-running jobs in another process, with progress reports and cancellation.

A job stops when a certain file exists: if Ray cancelled its task by force, the worker would exit
too, and the next book would wait for a second until a new one has started.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from margin_actors.actors.cluster import seconds_left
from margin_actors.actors.faults import cause_of, is_loss, is_ours
from margin_actors.actors.handles import ResultStream
from margin_actors.actors.work import JobProgress, JobReport, ProgressCallback, run_job
from margin_actors.errors import ClusterUnavailable, DeadlinePassed

T = TypeVar("T")
_STOP_SECONDS_MAX = 60.0


async def run_beside(
    job: Callable[[ProgressCallback], T], *, until: float
) -> AsyncGenerator[JobProgress | T]:
    """Run a job in a separate process; yield its progress reports, then its result.

    A progress report is a tuple (activity, done, total). The job runs on this node, because its
    files are local. Closing the generator stops it.

    Parameters
    ----------
    job : callable
        Receives a progress callback and returns the result; must be picklable.
    until : float
        Deadline on the monotonic clock, seconds; checked after each report.

    Raises
    ------
    MarginError
        If the job raises one.
    DeadlinePassed
        If a report arrives after the deadline.
    ClusterUnavailable
        If the process is lost.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    stop = Path(tempfile.gettempdir()) / f"margin-stop-{os.getpid()}-{uuid4().hex}"
    running = run_job.options(scheduling_strategy=here).remote(job, str(stop))
    is_done = False
    try:
        async for ref in running:
            kind, value = await ref
            is_done = kind == "done"
            yield value
            if seconds_left(until) <= 0.0:
                raise DeadlinePassed("the deadline passed before the job was complete")
    except Exception as error:
        if is_ours(error):
            raise cause_of(error) from None
        if is_loss(error):
            raise ClusterUnavailable("the job's process was lost") from None
        raise
    finally:
        if not is_done:
            stop.touch()
            ray.cancel(running)  # takes it out of the queue if it has not begun
            removal = asyncio.create_task(_remove_after(running, stop))
            _removals.add(removal)
            removal.add_done_callback(_removals.discard)


_removals: set[asyncio.Task[None]] = set()


async def _remove_after(running: ResultStream[JobReport[T]], stop: Path) -> None:
    """Remove the file that stops a job once the job has ended."""
    with contextlib.suppress(Exception):  # how it ended does not matter any more
        await asyncio.wait_for(running.completed(), _STOP_SECONDS_MAX)
    stop.unlink(missing_ok=True)
