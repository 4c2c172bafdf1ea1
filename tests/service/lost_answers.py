"""Ten snapshots published while Ray loses the answers of three calls; prints what happened.

A program of its own: which answers are lost is a setting that Ray reads when it starts; the test
that starts this program sets it.
"""

import asyncio
import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path

import ray
from actor_world import make_small_world
from folder_archive import FolderArchive
from ray_session import shared_cluster, stop_shared_cluster

from margin_actors.actors.cluster import Cluster
from margin_actors.actors.coordinator import Coordinator
from margin_actors.actors.layout import Layout


class Counted(Coordinator):
    """The coordinator with a line in a file for every execution."""

    async def publish(self, snapshot, key, request_id, caller, allow_older):
        with open(os.environ["EXECUTIONS"], "a") as lines:
            lines.write(f"{snapshot.id}\n")
        return await super().publish(snapshot, key, request_id, caller, allow_older)


async def main(folder: Path, keys: list[str]) -> None:
    world = make_small_world()
    archive = FolderArchive(folder)
    archive.save_scenarios(world.scenarios)
    archive.publish_snapshot(world.snapshot, key="", request_id="", caller="", allow_older=False)
    archive.activate_scenarios(world.scenarios.id, key="", request_id="", caller="")
    remote = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Counted)
    cluster = Cluster(remote.remote(archive, world.model, Layout(shards=2)), world.model)
    until = time.monotonic() + 120
    before = archive.active_inputs().number
    published = []
    for call, key in enumerate(keys):
        snapshot = dataclasses.replace(world.snapshot, discount_annual=1e-4 * (call + 1))
        published.append(await cluster.publish(snapshot, key=key, until=until))
    executions = Path(os.environ["EXECUTIONS"]).read_text().split()
    after = archive.active_inputs()
    print(
        json.dumps(
            {
                "executions": len(executions),
                "calls": len(set(executions)),
                "numbers": [p.number for p in published],
                "repeated": sum(p.was_repeated for p in published),
                "before": before,
                "after": after.number,
                "is_last": after.snapshot_id == snapshot.id,
            }
        )
    )


if __name__ == "__main__":
    given = [f"call-{call}" if call % 2 else "" for call in range(10)]
    with tempfile.TemporaryDirectory() as name:
        os.environ["EXECUTIONS"] = f"{name}/executions"
        shared_cluster()
        try:
            asyncio.run(main(Path(name) / "state", given))
        finally:
            stop_shared_cluster()
