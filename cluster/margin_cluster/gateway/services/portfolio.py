"""PortfolioService."""

from collections.abc import AsyncIterator
from typing import Any

from margin_protos.v1 import portfolio_service_pb2 as pb
from margin_protos.v1 import portfolio_service_pb2_grpc as stubs

from margin_cluster.gateway.convert import portfolio as convert
from margin_cluster.gateway.convert.margin_types import positions_to_proto
from margin_cluster.gateway.desk import Desk


class PortfolioService(stubs.PortfolioServiceServicer):
    """See portfolio_service.proto."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def UploadPositions(self, request_iterator: AsyncIterator[Any], context: Any) -> Any:
        """Replace all positions."""
        builder = convert.UploadBuilder()
        async for request in request_iterator:
            await self._desk.store(builder.add, request)
        version, book = await self._desk.upload(builder.table(), builder.key)
        return pb.UploadPositionsResponse(
            version=version,
            book_id=book.id,
            accounts=len(book.accounts),
            positions=book.n_positions,
        )

    async def ApplyTrades(self, request: Any, context: Any) -> Any:
        """Add trades once."""
        key, trades = convert.trades_from_proto(request)
        version, was_repeated = await self._desk.apply_trades(key, trades)
        return pb.ApplyTradesResponse(version=version, was_repeated=was_repeated)

    async def GetPortfolio(self, request: Any, context: Any) -> Any:
        """Return the positions of one account."""
        holding, version = await self._desk.held(request.account_id)
        return pb.GetPortfolioResponse(
            account_id=holding.account_id,
            member_id=holding.member_id,
            positions=positions_to_proto(holding.positions),
            version=version,
        )
