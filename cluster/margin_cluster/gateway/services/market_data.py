"""MarketDataService."""

from collections.abc import AsyncIterator

from margin_protos.v1 import market_data_service_pb2 as pb
from margin_protos.v1 import market_data_service_pb2_grpc as stubs

from margin_cluster.gateway.call import current
from margin_cluster.gateway.convert import market_data as convert
from margin_cluster.gateway.convert.chain_findings import findings_to_proto
from margin_cluster.gateway.market_data import MarketData
from margin_cluster.gateway.paging import page_of
from margin_cluster.gateway.threads import GatewayThreads


class MarketDataService(stubs.MarketDataServiceServicer):
    """See market_data_service.proto."""

    def __init__(self, market: MarketData, threads: GatewayThreads) -> None:
        self._market, self._threads = market, threads

    async def PublishSnapshot(
        self, request_iterator: AsyncIterator[pb.PublishSnapshotRequest], context: object
    ) -> pb.PublishSnapshotResponse:
        """Store a snapshot and put it in use."""
        call, builder = current.get(), convert.SnapshotBuilder()
        async for request in request_iterator:
            builder.add(request)
        origin = f"request {call.request_id}"
        snapshot = await self._threads.compute(builder.snapshot, origin=origin)
        published, findings = await self._market.publish(
            snapshot, key=builder.key, allow_older=builder.allow_older, call=call
        )
        if not published.was_repeated:
            self._market.announce(snapshot)
        return pb.PublishSnapshotResponse(
            snapshot_id=snapshot.id,
            generation=published.number,
            options=len(snapshot.options),
            was_repeated=published.was_repeated,
            findings=findings_to_proto(findings),
        )

    async def ListSnapshots(
        self, request: pb.ListSnapshotsRequest, context: object
    ) -> pb.ListSnapshotsResponse:
        """Return published snapshots in pages."""
        page = await self._market.list_snapshots(*page_of(request))
        return pb.ListSnapshotsResponse(
            snapshots=[convert.snapshot_summary_to_proto(r, page.in_use_id) for r in page.records],
            next_page_token=page.next_token,
        )

    async def GetSurface(
        self, request: pb.GetSurfaceRequest, context: object
    ) -> pb.GetSurfaceResponse:
        """Return the fitted surface of an underlying."""
        underlying, wanted, strikes = convert.surface_request_from_proto(request)
        surface, snapshot_id = await self._market.surface(
            underlying, wanted, until=current.get().until
        )
        return await self._threads.compute(convert.surface_to_proto, surface, snapshot_id, strikes)
