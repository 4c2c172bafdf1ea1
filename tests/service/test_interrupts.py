"""A cancelled task does not damage the worker that runs it."""

import time
from pathlib import Path

import pytest
import ray
from ray_session import CPUS
from waiting import wait_until

from margin_actors.actors.interrupts import is_ray_worker


@ray.remote(num_cpus=CPUS)
def occupy(folder: str) -> bool:
    """Run for a second in a worker that has imported this project's actors, and say so."""
    import margin_actors.actors

    assert margin_actors.actors
    Path(folder, "begun").touch()
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        pass
    Path(folder, "finished").touch()
    return is_ray_worker()


def test_a_running_task_is_finished_and_a_queued_one_cancelled(
    embedded: None, tmp_path: Path
) -> None:
    """No task is interrupted midway, which could leave a half-imported module in its worker."""
    assert not is_ray_worker()
    running = occupy.remote(str(tmp_path))
    other = tmp_path / "queued"
    other.mkdir()
    queued = occupy.remote(str(other))
    wait_until((tmp_path / "begun").exists, 60)
    ray.cancel(queued)
    ray.cancel(running)
    wait_until((tmp_path / "finished").exists, 60)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(queued, timeout=60)
    assert not (other / "begun").exists()
