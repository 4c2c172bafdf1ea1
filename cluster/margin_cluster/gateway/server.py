"""The gateway's life: two ports and a page of metrics, ready once it can answer, a clean end."""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health as health_service
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from margin_protos.v1 import (
    margin_service_pb2,
    margin_service_pb2_grpc,
    market_data_service_pb2,
    market_data_service_pb2_grpc,
    operations_service_pb2,
    operations_service_pb2_grpc,
    portfolio_service_pb2,
    portfolio_service_pb2_grpc,
    scenario_service_pb2,
    scenario_service_pb2_grpc,
)
from prometheus_client import start_http_server

from margin_actors.actors.cluster import Cluster
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway.admission import Lane, Lanes
from margin_cluster.gateway.backlog import CHANNELZ, Backlog, server_ids
from margin_cluster.gateway.desk import Desk
from margin_cluster.gateway.interceptor import Conduct
from margin_cluster.gateway.metrics import Metrics
from margin_cluster.gateway.services.margin import MarginService
from margin_cluster.gateway.services.market_data import MarketDataService
from margin_cluster.gateway.services.operations import OperationsService
from margin_cluster.gateway.services.portfolio import PortfolioService
from margin_cluster.gateway.services.scenario import ScenarioBuilder, ScenarioService

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_WATCH_SECONDS = 0.2


@dataclass(frozen=True)
class GatewayOptions:
    """Where a gateway listens and what it lets in."""

    host: str = "127.0.0.1"
    port: int = 50051
    """0 for any that is free."""
    health_port: int = 50052
    """Health alone, so that a full gateway still answers its probes; 0 for any that is free."""
    metrics_port: int | None = None
    """Prometheus over HTTP; None for none."""
    threads: int = 2
    """Computing threads."""
    quick_active_max: int = 4
    quick_waiting_max: int = 8
    long_active_max: int = 16
    long_waiting_max: int = 16
    message_bytes_max: int = 16 * 2**20
    streams_max: int = 1_000
    """Calls in progress on one connection."""
    quick_seconds_max: float = 60.0
    """Longest that a unary call may take, whatever the caller allows."""
    long_seconds_max: float = 3_600.0
    stall_seconds_max: float = 30.0
    """Longest wait for the next message of a stream, or for one to be read."""
    drain_seconds_max: float = 30.0
    """Longest that calls in progress may take once the gateway is told to stop."""
    tls_certificate: Path | None = None
    """PEM chain; with the key, the port speaks TLS."""
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    """PEM of the authority whose certificates clients must show."""


class Gateway:
    """One gateway; stateless: another may take its place at any time."""

    def __init__(
        self,
        cluster: Cluster,
        archive: StoreArchive,
        builder: ScenarioBuilder,
        options: GatewayOptions,
    ) -> None:
        self.options = options
        self._cluster = cluster
        self._metrics = Metrics()
        self._log = structlog.get_logger("gateway")
        self._lanes = Lanes(
            Lane("quick calls", options.quick_active_max, options.quick_waiting_max),
            Lane("long calls", options.long_active_max, options.long_waiting_max),
        )
        self.desk = Desk(cluster, archive, threads=options.threads)
        self._builder = builder
        # `aio` is added to the module as it is imported.
        self._health = health_service.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
        self._names: list[str] = []
        self._is_draining = False
        self.port = self.health_port = 0
        self._watcher: asyncio.Task[None] | None = None
        self._metrics_server: Any = None

    async def start(self) -> None:
        """Listen. Health says NOT_SERVING until the first generation is there."""
        o = self.options
        backlog = Backlog()
        conduct = Conduct(
            self._lanes,
            self._metrics,
            backlog,
            quick_seconds_max=o.quick_seconds_max,
            long_seconds_max=o.long_seconds_max,
            stall_seconds_max=o.stall_seconds_max,
        )
        others = server_ids()
        self._server = grpc.aio.server(
            interceptors=[conduct],
            options=_channel_options(o),
            compression=grpc.Compression.NoCompression,  # answers in the caller's own compression
        )
        (own,) = server_ids() - others
        backlog.watch(own)
        self._add_services(self._server)
        self.port = _listen(self._server, o)
        self._health_server = grpc.aio.server(options=[("grpc.enable_channelz", 0)])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._health_server)
        self.health_port = self._health_server.add_insecure_port(f"{o.host}:{o.health_port}")
        await self._tell_health(_NOT_SERVING)
        await self._health_server.start()
        await self._server.start()
        if o.metrics_port is not None:
            self._metrics_server = start_http_server(
                o.metrics_port, addr=o.host, registry=self._metrics.registry
            )
        self._watcher = asyncio.create_task(self._watch())

    async def warm(self, *, until: float) -> None:
        """Do a little work in every process, so that the first caller need not wait."""
        await self.desk.warm(until=until)

    async def drain(self) -> None:
        """Take no new calls, let those in progress finish, and stop."""
        self._is_draining = True
        await self._tell_health(_NOT_SERVING)
        self._log.info("draining", seconds_max=self.options.drain_seconds_max)
        await self._server.stop(self.options.drain_seconds_max)
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await self._health_server.stop(None)
        if self._metrics_server is not None:
            server, thread = self._metrics_server
            server.shutdown()
            server.server_close()
            thread.join()
        await asyncio.to_thread(self.desk.close)
        self._log.info("stopped")

    def _add_services(self, server: Any) -> None:
        desk = self.desk
        margin_service_pb2_grpc.add_MarginServiceServicer_to_server(MarginService(desk), server)
        market_data_service_pb2_grpc.add_MarketDataServiceServicer_to_server(
            MarketDataService(desk), server
        )
        portfolio_service_pb2_grpc.add_PortfolioServiceServicer_to_server(
            PortfolioService(desk), server
        )
        scenario_service_pb2_grpc.add_ScenarioServiceServicer_to_server(
            ScenarioService(desk, self._builder), server
        )
        operations_service_pb2_grpc.add_OperationsServiceServicer_to_server(
            OperationsService(desk, self._lanes), server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        files = (
            margin_service_pb2,
            market_data_service_pb2,
            portfolio_service_pb2,
            scenario_service_pb2,
            operations_service_pb2,
        )
        self._names = [
            service.full_name
            for file in files
            for service in file.DESCRIPTOR.services_by_name.values()
        ]
        reflection.enable_server_reflection(
            (*self._names, health_service.SERVICE_NAME, reflection.SERVICE_NAME), server
        )

    async def _tell_health(self, status: Any) -> None:
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def _watch(self) -> None:
        """Follow whether there is a generation to answer from."""
        told = 0
        while True:
            now = self._cluster.current
            number = now.handle.number if now else 0
            if number and not told:
                await self._tell_health(_SERVING)
            if number != told:
                self._metrics.generation(number)
                self._log.info("generation", number=number)
                told = number
            del now  # an old generation lives no longer than its requests
            await asyncio.sleep(_WATCH_SECONDS)


def _channel_options(options: GatewayOptions) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", options.message_bytes_max),
        ("grpc.max_send_message_length", 4 * options.message_bytes_max),
        ("grpc.max_concurrent_streams", options.streams_max),
        # A client that vanished is noticed within a minute; one that pings too often is sent away.
        ("grpc.keepalive_time_ms", 40_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.so_reuseport", 0),
        CHANNELZ,
    ]


def _listen(server: Any, options: GatewayOptions) -> int:
    address = f"{options.host}:{options.port}"
    if options.tls_certificate is None or options.tls_key is None:
        return server.add_insecure_port(address)
    authority = options.tls_client_ca.read_bytes() if options.tls_client_ca else None
    credentials = grpc.ssl_server_credentials(
        [(options.tls_key.read_bytes(), options.tls_certificate.read_bytes())],
        root_certificates=authority,
        require_client_auth=authority is not None,
    )
    return server.add_secure_port(address, credentials)
