"""ScenarioService."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Any, TypeAlias

from margin_protos.v1 import scenario_service_pb2 as pb
from margin_protos.v1 import scenario_service_pb2_grpc as stubs

from margin_actors.actors.jobs import run_beside
from margin_actors.actors.work import ProgressCallback
from margin_actors.errors import InvalidRequest, NotReady, Problem, raise_if_any
from margin_cluster.gateway.call import current
from margin_cluster.gateway.changes import Changes
from margin_cluster.gateway.convert import scenario as convert
from margin_cluster.gateway.convert.margin_types import check_key, time_from_timestamp
from margin_cluster.gateway.desk import Desk
from margin_cluster.gateway.paging import page_of
from margin_cluster.ledger import ScenarioSetRecord

ScenarioBuilder: TypeAlias = Callable[[datetime], Callable[[ProgressCallback], ScenarioSetRecord]]
"""Takes the latest time from which data may be used, and returns the job that builds and stores the
scenario set. The job is pickled and run in another process."""


class ScenarioService(stubs.ScenarioServiceServicer):
    """See scenario_service.proto."""

    def __init__(self, desk: Desk, builder: ScenarioBuilder) -> None:
        self._desk, self._builder = desk, builder
        self._changes = Changes(desk)

    async def BuildScenarioSet(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Build a scenario set in a separate process; cancelling the call stops the build."""
        as_of = await self._as_of(request)
        active = (await self._desk.store(self._desk.archive.active_inputs)).scenarios_id
        async with aclosing(run_beside(self._builder(as_of), until=current.get().until)) as told:
            async for event in told:
                if isinstance(event, ScenarioSetRecord):
                    kept = convert.scenario_set_to_proto(event, active)
                    yield pb.BuildScenarioSetResponse(scenario_set=kept)
                else:
                    stage, done, total = event
                    yield pb.BuildScenarioSetResponse(
                        progress=pb.BuildProgress(stage=stage, done=done, total=total)
                    )

    async def _as_of(self, request: Any) -> datetime:
        if request.HasField("as_of"):
            problems: list[Problem] = []
            time = time_from_timestamp(request.as_of, "as_of", problems)
            raise_if_any(problems, InvalidRequest, "the request is not valid")
            return time
        heads = await self._desk.store(self._desk.archive.active_inputs)
        if not heads.snapshot_id:
            raise NotReady(
                "no market snapshot is in use",
                [Problem("as_of", "is not set", "give a time, or publish a snapshot first")],
            )
        snapshot = await self._desk.store(self._desk.archive.load_snapshot, heads.snapshot_id)
        return snapshot.time

    async def ListScenarioSets(self, request: Any, context: Any) -> Any:
        """Return stored scenario sets in pages."""
        size, token = page_of(request)
        ledger = self._desk.archive.ledger
        records, following = await self._desk.store(ledger.list_scenario_sets, size, token)
        active = (await self._desk.store(ledger.active_inputs)).scenarios_id
        return pb.ListScenarioSetsResponse(
            scenario_sets=[convert.scenario_set_to_proto(r, active) for r in records],
            next_page_token=following,
        )

    async def ActivateScenarioSet(self, request: Any, context: Any) -> Any:
        """Put a stored scenario set in use."""
        problems: list[Problem] = []
        key = check_key(request.idempotency_key, problems, is_required=False)
        raise_if_any(problems, InvalidRequest, "the request is not valid")
        activated = await self._changes.activate(request.scenarios_id, key=key, call=current.get())
        return pb.ActivateScenarioSetResponse(
            generation=activated.number, was_repeated=activated.was_repeated
        )
