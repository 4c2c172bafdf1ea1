"""MarginCallService."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from margin_protos.v1 import margin_call_service_pb2 as pb
from margin_protos.v1 import margin_call_service_pb2_grpc as stubs

from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_cluster.gateway.call import current
from margin_cluster.gateway.clearing import actor_of
from margin_cluster.gateway.convert import margin_calls as convert
from margin_cluster.gateway.convert.clearing_types import as_of_from_proto, position_to_proto
from margin_cluster.gateway.convert.margin_types import check_id
from margin_cluster.gateway.margin_calls import MarginCalls


class MarginCallService(stubs.MarginCallServiceServicer):
    """See margin_call_service.proto."""

    def __init__(self, calls: MarginCalls) -> None:
        self._calls = calls

    async def ListMarginCalls(
        self, request: pb.ListMarginCallsRequest, context: object
    ) -> pb.ListMarginCallsResponse:
        """Return the current or last call of each account and class, in pages."""
        query, size = convert.query_from_proto(request)
        as_of = as_of_from_proto(request.as_of, is_set=request.HasField("as_of"))
        calls, token, at = await self._calls.list_calls(query, as_of, size, request.page_token)
        return pb.ListMarginCallsResponse(
            calls=[convert.call_to_proto(call) for call in calls],
            next_page_token=token,
            position=position_to_proto(at),
        )

    async def WatchMarginCalls(
        self, request: pb.WatchMarginCallsRequest, context: object
    ) -> AsyncIterator[pb.WatchMarginCallsResponse]:
        """Yield committed changes of calls after a token."""
        problems: list[Problem] = []
        if request.account_id:
            check_id(request.account_id, "account_id", problems)
        raise_if_any(problems, InvalidRequest, "the request is not valid")
        watch = self._calls.watch(request.account_id, request.resume_token, current.get())
        async with aclosing(watch) as messages:
            async for message in messages:
                yield convert.watched_to_proto(message)

    async def AcknowledgeMarginCall(
        self, request: pb.AcknowledgeMarginCallRequest, context: object
    ) -> pb.AcknowledgeMarginCallResponse:
        """Record that the member has read a call."""
        key, at = convert.address_from_proto(request)
        actor = actor_of(current.get(), request.person)
        return convert.acknowledged_to_proto(await self._calls.acknowledge(key, actor, at))

    async def ProposeAction(
        self, request: pb.ProposeActionRequest, context: object
    ) -> pb.ProposeActionResponse:
        """Record the proposal of an action that requires two people."""
        key, at, action = convert.action_from_proto(request)
        actor = actor_of(current.get(), request.person, is_required=True)
        done = await self._calls.propose(key, actor, at.account, at.call_class, action)
        return convert.proposed_to_proto(done)

    async def ApproveAction(
        self, request: pb.ApproveActionRequest, context: object
    ) -> pb.ApproveActionResponse:
        """Approve a proposed action as the second person and execute it."""
        key, at, action = convert.action_from_proto(request)
        actor = actor_of(current.get(), request.person, is_required=True)
        done = await self._calls.approve(key, actor, at.account, at.call_class, action)
        return convert.approved_to_proto(done)

    async def ReleaseHold(
        self, request: pb.ReleaseHoldRequest, context: object
    ) -> pb.ReleaseHoldResponse:
        """End the hold of a call."""
        key, at = convert.address_from_proto(request)
        actor = actor_of(current.get(), request.person)
        return convert.released_to_proto(await self._calls.release(key, actor, at))
