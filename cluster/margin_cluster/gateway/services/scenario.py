"""ScenarioService."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime

from margin_protos.v1 import scenario_service_pb2 as pb
from margin_protos.v1 import scenario_service_pb2_grpc as stubs

from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_cluster.gateway.call import current
from margin_cluster.gateway.convert import scenario as convert
from margin_cluster.gateway.convert.margin_types import check_key, time_from_timestamp
from margin_cluster.gateway.paging import page_of
from margin_cluster.gateway.scenario_sets import ScenarioSets
from margin_cluster.ledger import ScenarioSetRecord


class ScenarioService(stubs.ScenarioServiceServicer):
    """See scenario_service.proto."""

    def __init__(self, sets: ScenarioSets) -> None:
        self._sets = sets

    async def BuildScenarioSet(
        self, request: pb.BuildScenarioSetRequest, context: object
    ) -> AsyncIterator[pb.BuildScenarioSetResponse]:
        """Build a scenario set in a separate process; cancelling the call stops the build."""
        as_of = _as_of(request)
        active = await self._sets.active_id()
        async with aclosing(self._sets.build(as_of, until=current.get().until)) as events:
            async for event in events:
                if isinstance(event, ScenarioSetRecord):
                    summary = convert.scenario_set_to_proto(event, active)
                    yield pb.BuildScenarioSetResponse(scenario_set=summary)
                else:
                    stage, done, total = event
                    yield pb.BuildScenarioSetResponse(
                        progress=pb.BuildProgress(stage=stage, done=done, total=total)
                    )

    async def ListScenarioSets(
        self, request: pb.ListScenarioSetsRequest, context: object
    ) -> pb.ListScenarioSetsResponse:
        """Return stored scenario sets in pages."""
        page = await self._sets.list_sets(*page_of(request))
        return pb.ListScenarioSetsResponse(
            scenario_sets=[convert.scenario_set_to_proto(r, page.in_use_id) for r in page.records],
            next_page_token=page.next_token,
        )

    async def ActivateScenarioSet(
        self, request: pb.ActivateScenarioSetRequest, context: object
    ) -> pb.ActivateScenarioSetResponse:
        """Put a stored scenario set in use."""
        problems: list[Problem] = []
        key = check_key(request.idempotency_key, problems, is_required=False)
        raise_if_any(problems, InvalidRequest, "the request is not valid")
        activated = await self._sets.activate(request.scenarios_id, key=key, call=current.get())
        return pb.ActivateScenarioSetResponse(
            generation=activated.number, was_repeated=activated.was_repeated
        )


def _as_of(request: pb.BuildScenarioSetRequest) -> datetime | None:
    """Return the time that a request gives, or None if it gives none."""
    if not request.HasField("as_of"):
        return None
    problems: list[Problem] = []
    time = time_from_timestamp(request.as_of, "as_of", problems)
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    return time
