"""Long jobs beside the service: in a process of their own, telling how far they are, stoppable."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from margin_actors.actors.cluster import seconds_left
from margin_actors.actors.faults import cause_of, is_loss, is_ours
from margin_actors.actors.work import Tell, run_job
from margin_actors.errors import ClusterUnavailable, DeadlinePassed


async def run_beside(job: Callable[[Tell], Any], *, until: float) -> AsyncGenerator[Any]:
    """Yield what a job tells, as (what, done, total), and its result last.

    The job runs on this node, where its files are. Closing the generator ends its process.

    Raises
    ------
    MarginError
        What the job raised.
    ClusterUnavailable
        If its process was lost.
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
