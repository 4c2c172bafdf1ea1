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
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import sqlite_url
from service_world import fill, make_world, ray_here

from margin_actors.actors.cluster import Cluster
from margin_actors.actors.coordinator import Coordinator
from margin_actors.actors.generation import Layout
from margin_actors.engine.parameters import parameters_from_mapping
from margin_actors.market.synthetic import synthetic_market


class Counted(Coordinator):
    """The coordinator with a line in a file for every execution."""

    async def publish(self, snapshot, key):
        with open(os.environ["EXECUTIONS"], "a") as lines:
            lines.write(f"{key}\n")
        return await super().publish(snapshot, key)


async def main(folder: Path) -> None:
    market = synthetic_market(seed=5, n_days=900, history_days=40, n_accounts=4)
    model = parameters_from_mapping({"extends": "hs-surface"}, where="test")
    world = make_world(market, model)
    fill(folder, world)
    archive = StoreArchive(folder, sqlite_url(folder / "ledger.sqlite"))
    remote = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Counted)
    cluster = Cluster(remote.remote(archive, model, Layout(shards=2)))
    until = time.monotonic() + 120
    before = archive.heads().number
    numbers = []
    for call in range(10):
        snapshot = dataclasses.replace(world.snapshot, discount_annual=1e-4 * (call + 1))
        archive.store_snapshot(snapshot)
        numbers.append(await cluster.publish(snapshot, key=f"call-{call}", until=until))
    executions = Path(os.environ["EXECUTIONS"]).read_text().split()
    after = archive.heads()
    print(
        json.dumps(
            {
                "executions": len(executions),
                "calls": len(set(executions)),
                "numbers": numbers,
                "before": before,
                "after": after.number,
                "is_last": after.snapshot_id == snapshot.id,
            }
        )
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        os.environ["EXECUTIONS"] = f"{name}/executions"
        with ray_here():
            asyncio.run(main(Path(name) / "state"))
