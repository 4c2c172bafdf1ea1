"""Use cases of ScenarioService: build, list and activate scenario sets."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import TypeAlias

from margin_actors.actors.cluster import Cluster
from margin_actors.actors.inputs import Published
from margin_actors.actors.jobs import run_beside
from margin_actors.errors import NotReady, Problem
from margin_actors.progress import ProgressCallback
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.paging import Listing
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.ledger import ScenarioSetRecord

ScenarioBuilder: TypeAlias = Callable[[datetime], Callable[[ProgressCallback], ScenarioSetRecord]]
"""Takes the latest time from which data may be used, and returns the job that builds and stores the
scenario set. The job is pickled and run in another process."""
BuildEvent: TypeAlias = tuple[str, int, int] | ScenarioSetRecord
"""A progress report (activity, steps done, steps in total), or the stored scenario set."""


class ScenarioSets:
    """Use cases of scenario sets; belongs to one event loop."""

    def __init__(
        self,
        cluster: Cluster,
        archive: StoreArchive,
        threads: GatewayThreads,
        builder: ScenarioBuilder,
    ) -> None:
        self._cluster, self._archive, self._threads = cluster, archive, threads
        self._builder = builder

    async def build(self, as_of: datetime | None, *, until: float) -> AsyncGenerator[BuildEvent]:
        """Build a scenario set in a separate process; yield its progress and then its record.

        Closing the generator stops the build.

        Parameters
        ----------
        as_of : aware datetime, optional
            Latest time from which data may be used; None for the time of the snapshot in use.
        until : float
            Deadline, monotonic seconds.

        Raises
        ------
        NotReady
            If `as_of` is None and no snapshot is in use.
        MarginError
            If the set cannot be built.
        """
        job = self._builder(await self._snapshot_time() if as_of is None else as_of)
        async with aclosing(run_beside(job, until=until)) as events:
            async for event in events:
                yield event

    async def _snapshot_time(self) -> datetime:
        active = await self._threads.run_io(self._archive.active_inputs)
        if not active.snapshot_id:
            raise NotReady(
                "no market snapshot is in use",
                [Problem("as_of", "is not set", "give a time, or publish a snapshot first")],
            )
        snapshot = await self._threads.run_io(self._archive.load_snapshot, active.snapshot_id)
        return snapshot.time

    async def active_id(self) -> str:
        """Return the id of the scenario set in use; empty if there is none."""
        return (await self._threads.run_io(self._archive.active_inputs)).scenarios_id

    async def list_sets(self, size: int, token: str) -> Listing[ScenarioSetRecord]:
        """Return a page of stored scenario sets, latest first.

        Raises
        ------
        InvalidRequest
            If the token is not valid.
        """
        read = self._archive.ledger.list_scenario_sets
        records, following = await self._threads.run_io(read, size, token)
        return Listing(records, following, await self.active_id())

    async def activate(self, scenarios_id: str, *, key: str, call: Call) -> Published:
        """Put a stored scenario set in use.

        Raises
        ------
        UnknownScenarioSet
            If no such set is recorded.
        KeyReused
            If the key was used with another set.
        """
        return await self._cluster.activate(
            scenarios_id,
            key=key,
            request_id=call.request_id,
            caller=call.caller,
            until=call.until,
        )
