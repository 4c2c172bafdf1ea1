"""CollateralService."""

from margin_protos.v1 import collateral_service_pb2 as pb
from margin_protos.v1 import collateral_service_pb2_grpc as stubs

from margin_actors.clearing.house.queries import resources_of
from margin_actors.errors import InvalidRequest, MissingMarketData, Problem, raise_if_any
from margin_cluster.gateway.call import current
from margin_cluster.gateway.clearing import Done, actor_of
from margin_cluster.gateway.collateral import Collateral
from margin_cluster.gateway.convert import collateral as convert
from margin_cluster.gateway.convert.clearing_types import (
    as_of_from_proto,
    position_to_proto,
    resources_to_proto,
)
from margin_cluster.gateway.convert.margin_calls import known_call_to_proto
from margin_cluster.gateway.convert.margin_types import check_id
from margin_cluster.gateway.paging import size_from_proto
from margin_cluster.gateway.resources import standing
from margin_cluster.ledger.clearing_rows import Committed


class CollateralService(stubs.CollateralServiceServicer):
    """See collateral_service.proto."""

    def __init__(self, collateral: Collateral) -> None:
        self._collateral = collateral

    async def OpenAccount(
        self, request: pb.OpenAccountRequest, context: object
    ) -> pb.OpenAccountResponse:
        """Open a clearing account."""
        command = convert.opening_from_proto(request, current.get().caller)
        done = await self._collateral.open_account(command)
        position = position_to_proto(done.committed.at)
        return pb.OpenAccountResponse(position=position, was_repeated=done.was_repeated)

    async def AttestDeposit(
        self, request: pb.AttestDepositRequest, context: object
    ) -> pb.AttestDepositResponse:
        """Record a payment under way."""
        command = convert.attestation_from_proto(request, current.get().caller)
        paid = await self._collateral.pay(command)
        return pb.AttestDepositResponse(
            position=position_to_proto(paid.done.committed.at),
            was_repeated=paid.done.was_repeated,
            call=known_call_to_proto(paid.call),
        )

    async def Deposit(self, request: pb.DepositRequest, context: object) -> pb.DepositResponse:
        """Credit a received payment."""
        command = convert.deposit_from_proto(request, current.get().caller)
        paid = await self._collateral.pay(command)
        return pb.DepositResponse(
            position=position_to_proto(paid.done.committed.at),
            was_repeated=paid.done.was_repeated,
            call=known_call_to_proto(paid.call),
            resources=resources_to_proto(standing(paid.done.committed, command.account)),
        )

    async def Withdraw(self, request: pb.WithdrawRequest, context: object) -> pb.WithdrawResponse:
        """Request a withdrawal."""
        actor = actor_of(current.get(), request.person)
        command = convert.withdrawal_from_proto(request, actor)
        done = await self._collateral.withdraw(command)
        return pb.WithdrawResponse(
            position=position_to_proto(done.committed.at),
            was_repeated=done.was_repeated,
            resources=resources_to_proto(standing(done.committed, command.account)),
        )

    async def ApproveWithdrawal(
        self, request: pb.ApproveWithdrawalRequest, context: object
    ) -> pb.ApproveWithdrawalResponse:
        """Approve a withdrawal as another person than the requester."""
        actor = actor_of(current.get(), request.person, is_required=True)
        done = await self._collateral.withdraw(convert.approval_from_proto(request, actor))
        position = position_to_proto(done.committed.at)
        return pb.ApproveWithdrawalResponse(position=position, was_repeated=done.was_repeated)

    async def ConfirmWithdrawal(
        self, request: pb.ConfirmWithdrawalRequest, context: object
    ) -> pb.ConfirmWithdrawalResponse:
        """Record that the custodian paid an approved withdrawal."""
        command = convert.confirmation_from_proto(request, current.get().caller)
        done: Done = await self._collateral.withdraw(command)
        position = position_to_proto(done.committed.at)
        return pb.ConfirmWithdrawalResponse(position=position, was_repeated=done.was_repeated)

    async def ReturnWithdrawal(
        self, request: pb.ReturnWithdrawalRequest, context: object
    ) -> pb.ReturnWithdrawalResponse:
        """Credit a withdrawal that the custodian could not pay."""
        command = convert.return_from_proto(request, current.get().caller)
        done = await self._collateral.withdraw(command)
        position = position_to_proto(done.committed.at)
        return pb.ReturnWithdrawalResponse(position=position, was_repeated=done.was_repeated)

    async def ListMovements(
        self, request: pb.ListMovementsRequest, context: object
    ) -> pb.ListMovementsResponse:
        """Return the movements of an account in pages, the oldest first."""
        problems: list[Problem] = []
        check_id(request.account_id, "account_id", problems)
        size = size_from_proto(request.page_size, problems)
        raise_if_any(problems, InvalidRequest, "the request is not valid")
        found, token = await self._collateral.movements(
            request.account_id, size, request.page_token
        )
        movements = [convert.movement_to_proto(movement) for movement in found]
        return pb.ListMovementsResponse(movements=movements, next_page_token=token)

    async def GetResources(
        self, request: pb.GetResourcesRequest, context: object
    ) -> pb.GetResourcesResponse:
        """Return resources, balances and positions of an account in one state."""
        as_of = as_of_from_proto(request.as_of, is_set=request.HasField("as_of"))
        account, problem = request.account_id, ""
        state, at = await self._collateral.state(account, as_of)
        try:
            resources_of(state, account)
        except MissingMarketData as error:
            problem = str(error)
        found = standing(Committed(state, at), account)
        return convert.holdings_to_proto(state, account, found, at, problem)
