"""ReservationService."""

from margin_protos.v1 import reservation_service_pb2 as pb
from margin_protos.v1 import reservation_service_pb2_grpc as stubs

from margin_actors.clearing.house.queries import quoted_reservations
from margin_cluster.gateway.call import current
from margin_cluster.gateway.collateral import Collateral
from margin_cluster.gateway.convert import reservation as convert
from margin_cluster.gateway.convert.clearing_types import (
    as_of_from_proto,
    position_to_proto,
    resources_to_proto,
)
from margin_cluster.gateway.convert.generations import generation_to_proto, summary_of_generation
from margin_cluster.gateway.reservations import Reservations
from margin_cluster.gateway.resources import standing


class ReservationService(stubs.ReservationServiceServicer):
    """See reservation_service.proto."""

    def __init__(self, reservations: Reservations, collateral: Collateral) -> None:
        self._reservations, self._collateral = reservations, collateral

    async def ReserveMargin(
        self, request: pb.ReserveMarginRequest, context: object
    ) -> pb.ReserveMarginResponse:
        """Price a quoted trade and set its incremental margin aside."""
        quote = convert.quote_from_proto(request)
        made = await self._reservations.reserve(quote, current.get())
        now, kept = made.generation, made.reservation
        return pb.ReserveMarginResponse(
            reservation=None if kept is None else convert.reservation_to_proto(kept, quote.quoted),
            incremental_cents=made.incremental_cents,
            resources=resources_to_proto(standing(made.done.committed, quote.account)),
            generation=None if now is None else generation_to_proto(summary_of_generation(now)),
            was_repeated=made.done.was_repeated,
        )

    async def CancelReservation(
        self, request: pb.CancelReservationRequest, context: object
    ) -> pb.CancelReservationResponse:
        """Release the margin of a quote."""
        command = convert.cancellation_from_proto(request, current.get().caller)
        done = await self._reservations.cancel(command)
        return pb.CancelReservationResponse(
            resources=resources_to_proto(standing(done.committed, command.account)),
            was_repeated=done.was_repeated,
        )

    async def ListReservations(
        self, request: pb.ListReservationsRequest, context: object
    ) -> pb.ListReservationsResponse:
        """Return the open reservations of an account, the oldest first."""
        as_of = as_of_from_proto(request.as_of, is_set=request.HasField("as_of"))
        state, at = await self._collateral.state(request.account_id, as_of)
        found = quoted_reservations(state, request.account_id)
        return pb.ListReservationsResponse(
            reservations=[convert.reservation_to_proto(*one) for one in found],
            position=position_to_proto(at),
        )
