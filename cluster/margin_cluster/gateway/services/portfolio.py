"""PortfolioService."""

from collections.abc import AsyncIterator

from margin_protos.v1 import portfolio_service_pb2 as pb
from margin_protos.v1 import portfolio_service_pb2_grpc as stubs

from margin_cluster.gateway.bookings import Bookings
from margin_cluster.gateway.call import current
from margin_cluster.gateway.convert import portfolio as convert
from margin_cluster.gateway.convert.clearing_types import position_to_proto
from margin_cluster.gateway.convert.margin_types import positions_to_proto
from margin_cluster.gateway.convert.reservation import cleared_trades_from_proto
from margin_cluster.gateway.portfolios import Portfolios
from margin_cluster.gateway.threads import GatewayThreads


class PortfolioService(stubs.PortfolioServiceServicer):
    """See portfolio_service.proto."""

    def __init__(self, portfolios: Portfolios, bookings: Bookings, threads: GatewayThreads) -> None:
        self._portfolios, self._bookings, self._threads = portfolios, bookings, threads

    async def UploadPositions(
        self, request_iterator: AsyncIterator[pb.UploadPositionsRequest], context: object
    ) -> pb.UploadPositionsResponse:
        """Replace the positions of all accounts."""
        builder = convert.UploadBuilder()
        async for request in request_iterator:
            await self._threads.run_io(builder.add, request)
        done = await self._portfolios.upload(builder.table(), builder.key, current.get())
        return pb.UploadPositionsResponse(
            version=done.change.version,
            book_id=done.book.id,
            accounts=len(done.book.accounts),
            positions=done.book.n_positions,
            was_repeated=done.change.was_repeated,
            expired_positions=done.expired_positions,
        )

    async def ApplyTrades(
        self, request: pb.ApplyTradesRequest, context: object
    ) -> pb.ApplyTradesResponse:
        """Add trades to the positions; a repeated idempotency key does not add them again."""
        key, trades = convert.trades_from_proto(request)
        done = await self._portfolios.apply_trades(key, trades, current.get())
        return pb.ApplyTradesResponse(version=done.version, was_repeated=done.was_repeated)

    async def BookTrades(
        self, request: pb.BookTradesRequest, context: object
    ) -> pb.BookTradesResponse:
        """Book trades between clearing accounts in the clearing house and the margin book."""
        key, trades = cleared_trades_from_proto(request)
        done = await self._bookings.book(key, trades, current.get())
        position = position_to_proto(done.committed.at)
        return pb.BookTradesResponse(position=position, was_repeated=done.was_repeated)

    async def GetPortfolio(
        self, request: pb.GetPortfolioRequest, context: object
    ) -> pb.GetPortfolioResponse:
        """Return the positions of one account."""
        holding, version = await self._portfolios.held(request.account_id)
        return pb.GetPortfolioResponse(
            account_id=holding.account_id,
            member_id=holding.member_id,
            positions=positions_to_proto(holding.positions),
            version=version,
            book_id=holding.book.id,
        )
