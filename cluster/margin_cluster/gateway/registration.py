"""Registration of all services of the contract on a gRPC server."""

import grpc.aio
from grpc_health.v1 import health as health_service
from margin_protos.v1 import (
    collateral_service_pb2,
    collateral_service_pb2_grpc,
    margin_call_service_pb2,
    margin_call_service_pb2_grpc,
    margin_service_pb2,
    margin_service_pb2_grpc,
    market_data_service_pb2,
    market_data_service_pb2_grpc,
    operations_service_pb2,
    operations_service_pb2_grpc,
    portfolio_service_pb2,
    portfolio_service_pb2_grpc,
    reservation_service_pb2,
    reservation_service_pb2_grpc,
    scenario_service_pb2,
    scenario_service_pb2_grpc,
)

from margin_cluster.gateway.gate import Admission
from margin_cluster.gateway.reflection import enable_reflection
from margin_cluster.gateway.services.collateral import CollateralService
from margin_cluster.gateway.services.margin import MarginService
from margin_cluster.gateway.services.margin_calls import MarginCallService
from margin_cluster.gateway.services.market_data import MarketDataService
from margin_cluster.gateway.services.operations import OperationsService
from margin_cluster.gateway.services.portfolio import PortfolioService
from margin_cluster.gateway.services.reservation import ReservationService
from margin_cluster.gateway.services.scenario import ScenarioService
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.gateway.use_cases import UseCases

_FILES = (
    margin_service_pb2,
    market_data_service_pb2,
    portfolio_service_pb2,
    scenario_service_pb2,
    operations_service_pb2,
    margin_call_service_pb2,
    collateral_service_pb2,
    reservation_service_pb2,
)
SERVICE_NAMES = tuple(
    service.full_name for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()
)
"""Full names of the services of the contract."""


def add_services(
    server: grpc.aio.Server, use_cases: UseCases, threads: GatewayThreads, admission: Admission
) -> None:
    """Register the services of the contract on a server, and enable reflection of them."""
    margin_service_pb2_grpc.add_MarginServiceServicer_to_server(
        MarginService(
            use_cases.accounts,
            use_cases.books,
            use_cases.calculations,
            use_cases.clearing,
            threads,
        ),
        server,
    )
    market_data_service_pb2_grpc.add_MarketDataServiceServicer_to_server(
        MarketDataService(use_cases.market, threads), server
    )
    portfolio_service_pb2_grpc.add_PortfolioServiceServicer_to_server(
        PortfolioService(use_cases.portfolios, use_cases.bookings, threads), server
    )
    scenario_service_pb2_grpc.add_ScenarioServiceServicer_to_server(
        ScenarioService(use_cases.scenario_sets), server
    )
    operations_service_pb2_grpc.add_OperationsServiceServicer_to_server(
        OperationsService(use_cases.operations, admission), server
    )
    margin_call_service_pb2_grpc.add_MarginCallServiceServicer_to_server(
        MarginCallService(use_cases.margin_calls), server
    )
    collateral_service_pb2_grpc.add_CollateralServiceServicer_to_server(
        CollateralService(use_cases.collateral), server
    )
    reservation_service_pb2_grpc.add_ReservationServiceServicer_to_server(
        ReservationService(use_cases.reservations, use_cases.collateral), server
    )
    enable_reflection(server, (*SERVICE_NAMES, health_service.SERVICE_NAME))
