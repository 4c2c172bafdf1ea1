"""MarketDataService."""

from collections.abc import AsyncIterator
from typing import Any

from margin_protos.v1 import market_data_service_pb2 as pb
from margin_protos.v1 import market_data_service_pb2_grpc as stubs

from margin_actors.errors import InvalidRequest, NotReady, Problem
from margin_cluster.gateway.call import current
from margin_cluster.gateway.changes import Changes
from margin_cluster.gateway.convert import market_data as convert
from margin_cluster.gateway.desk import Desk
from margin_cluster.gateway.paging import page_of


class MarketDataService(stubs.MarketDataServiceServicer):
    """See market_data_service.proto."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._changes = desk, Changes(desk)

    async def PublishSnapshot(self, request_iterator: AsyncIterator[Any], context: Any) -> Any:
        """Store a snapshot and put it in use."""
        call, builder = current.get(), convert.SnapshotBuilder()
        async for request in request_iterator:
            builder.add(request)
        origin = f"request {call.request_id}"
        snapshot = await self._desk.compute(lambda: builder.snapshot(origin=origin))
        published = await self._changes.publish(
            snapshot, key=builder.key, allow_older=builder.allow_older, call=call
        )
        return pb.PublishSnapshotResponse(
            snapshot_id=snapshot.id,
            generation=published.number,
            options=len(snapshot.options),
            was_repeated=published.was_repeated,
        )

    async def ListSnapshots(self, request: Any, context: Any) -> Any:
        """Return published snapshots in pages."""
        size, token = page_of(request)
        ledger = self._desk.archive.ledger
        records, following = await self._desk.store(ledger.list_snapshots, size, token)
        current_id = (await self._desk.store(ledger.active_inputs)).snapshot_id
        return pb.ListSnapshotsResponse(
            snapshots=[convert.snapshot_summary_to_proto(r, current_id) for r in records],
            next_page_token=following,
        )

    async def GetSurface(self, request: Any, context: Any) -> Any:
        """Return the fitted surface of an underlying."""
        underlying, snapshot_id, strikes = convert.surface_request_from_proto(request)
        generation = await self._desk.cluster.generation(
            until=current.get().until, snapshot_id=snapshot_id
        )
        surfaces = generation.priced.market.surfaces
        if not surfaces:
            raise NotReady(
                "the model in use prices from marks and has no surface",
                [
                    Problem(
                        "model", generation.parameters.name, "use a model with a volatility surface"
                    )
                ],
            )
        if underlying not in surfaces:
            raise InvalidRequest(
                "there is no surface of this underlying",
                [Problem("underlying", underlying[:40], f"available: {', '.join(surfaces)}")],
            )
        return await self._desk.compute(
            convert.surface_to_proto, surfaces[underlying], generation.handle.snapshot_id, strikes
        )
