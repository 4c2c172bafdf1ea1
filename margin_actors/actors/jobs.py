"""Long-running jobs in a separate process, with progress reports and cancellation."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from margin_actors.actors.cluster import seconds_left
from margin_actors.actors.faults import cause_of, is_loss, is_ours
from margin_actors.actors.work import Tell, run_job
from margin_actors.errors import ClusterUnavailable, DeadlinePassed


async def run_beside(job: Callable[[Tell], Any], *, until: float) -> AsyncGenerator[Any]:
    """Run a job in a separate process; yield its progress reports, then its result.

    A progress report is a tuple (activity, done, total). The job runs on this node, because its
    files are local. Closing the generator terminates the process.

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
    running = run_job.options(scheduling_strategy=here).remote(job)
    is_done = False
    try:
        async for ref in running:
            kind, value = await ref
            is_done = kind == "done"
            yield value
            if seconds_left(until) <= 0.0:
                raise DeadlinePassed("the deadline passed before the job was done")
    except Exception as error:
        if is_ours(error):
            raise cause_of(error) from None
        if is_loss(error):
            raise ClusterUnavailable("the job's process was lost") from None
        raise
    finally:
        if not is_done:
            ray.cancel(running, force=True)
