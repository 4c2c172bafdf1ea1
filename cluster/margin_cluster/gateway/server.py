"""Life cycle of a gateway: opening its ports, reporting its health, and draining."""

import asyncio
import contextlib
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health as health_service
from grpc_health.v1 import health_pb2, health_pb2_grpc
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

from margin_actors.actors.cluster import Cluster
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway.desk import Desk
from margin_cluster.gateway.gate import Admission
from margin_cluster.gateway.health import HealthMonitor
from margin_cluster.gateway.interceptor import CallInterceptor
from margin_cluster.gateway.messages import CallerWaits
from margin_cluster.gateway.metrics import Metrics
from margin_cluster.gateway.monitor import Monitor
from margin_cluster.gateway.options import GatewayOptions
from margin_cluster.gateway.reflection import enable_reflection
from margin_cluster.gateway.services.margin import MarginService
from margin_cluster.gateway.services.market_data import MarketDataService
from margin_cluster.gateway.services.operations import OperationsService
from margin_cluster.gateway.services.portfolio import PortfolioService
from margin_cluster.gateway.services.scenario import ScenarioBuilder, ScenarioService
from margin_cluster.gateway.tls import load_server_tls

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_WATCH_SECONDS = 0.2
_CANCELLED_SECONDS_MAX = 2.0


class Gateway:
    """One gateway. It holds no durable state, so another gateway can replace it at any time.

    Raises
    ------
    InvalidParameters
        If a TLS file cannot be read or is not valid; no port is opened then.
    """

    def __init__(
        self,
        cluster: Cluster,
        archive: StoreArchive,
        builder: ScenarioBuilder,
        options: GatewayOptions,
    ) -> None:
        self.options = o = options
        self._tls = load_server_tls(o.tls_certificate, o.tls_key, o.tls_client_ca)
        self._cluster = cluster
        self.metrics = Metrics()
        self.health = HealthMonitor()
        self.admission = Admission(
            o.unary_limits,
            o.streaming_limits,
            uploads_max=o.uploads_max,
            caller_uploads_max=o.caller_uploads_max,
            waiting_bytes_max=o.waiting_bytes_max,
        )
        self._waits = CallerWaits(
            first_seconds_max=o.first_message_seconds_max,
            stall_seconds_max=o.stall_seconds_max,
            unread_seconds_max=o.unread_seconds_max,
        )
        self._interceptor = CallInterceptor(
            self.admission,
            self._waits,
            self.health,
            self.metrics,
            unary_seconds_max=o.unary_seconds_max,
            streaming_seconds_max=o.streaming_seconds_max,
            has_certificates=o.tls_client_ca is not None,
        )
        for gate in self.admission.gates:
            self.metrics.watch_queue(gate.priority, gate.queue)
        self.metrics.watch_ready(lambda: self.health.is_ready)
        self._log = structlog.get_logger("gateway")
        self.desk = Desk(cluster, archive, threads=options.threads)
        self._builder = builder
        # `aio` is added to the module at import time.
        self._health = health_service.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
        self._names: list[str] = []
        self.port = self.health_port = 0
        self.metrics_port: int | None = None
        self._look_again = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._monitor: Monitor | None = None
        self._metrics_server: Any = None

    @property
    def is_ready(self) -> bool:
        """Return whether changes are accepted: start-up is complete and the ledger works."""
        return self.health.is_ready

    def accept_writes(self) -> None:
        """Accept calls that change state from now on; called when start-up is complete."""
        self.health.accept_writes()
        self._look_again.set()

    async def start(self) -> None:
        """Open all ports. Until `accept_writes`, changes are refused and health is NOT_SERVING."""
        o = self.options
        self._server = grpc.aio.server(
            interceptors=[self._interceptor],
            options=_channel_options(o),
            compression=grpc.Compression.NoCompression,  # responses use the caller's compression
        )
        self._add_services(self._server)
        self._health_server = grpc.aio.server(options=[("grpc.enable_channelz", 0)])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._health_server)
        await self._set_health(_NOT_SERVING)
        self.port = self._listen(self._server, o.port)
        self.health_port = self._listen(self._health_server, o.health_port)
        if o.metrics_port is not None:
            tls = self._tls.http_options() if self._tls is not None else {}
            self._metrics_server = self.metrics.listen(o.host, o.metrics_port, **tls)
            self.metrics_port = self._metrics_server[0].server_port
        await self._health_server.start()
        await self._server.start()
        self._watcher = asyncio.create_task(self._watch())
        self._monitor = Monitor(self.desk, self.health, self.metrics)

    async def warm(self, *, until: float) -> None:
        """Run a small calculation in every process, so that the first call is not slower.

        `until` is the deadline, a monotonic time in seconds.
        """
        await self.desk.warm(until=until)

    async def drain(self) -> None:
        """Reject new calls, wait until calls in progress have finished, and stop.

        Calls that wait for the caller to send or read a message are ended within a second.
        """
        self.health.set_stopping()
        await self._set_health(_NOT_SERVING)
        self._log.info("draining", seconds_max=self.options.drain_seconds_max)
        self._waits.drain()
        await self._server.stop(self.options.drain_seconds_max)
        with contextlib.suppress(TimeoutError):
            # gRPC has cancelled the remaining calls, whose tasks still run their clean-up.
            await asyncio.wait_for(self._interceptor.idle(), _CANCELLED_SECONDS_MAX)
        if self._monitor is not None:
            await self._monitor.close()
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await self._health_server.stop(None)
        if self._metrics_server is not None:
            server, thread = self._metrics_server
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            await asyncio.to_thread(thread.join)
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
            OperationsService(desk, self.admission, self.health), server
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
        enable_reflection(server, (*self._names, health_service.SERVICE_NAME))

    def _listen(self, server: Any, port: int) -> int:
        address = f"{self.options.host}:{port}"
        if self._tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, self._tls.credentials())

    async def _set_health(self, status: Any) -> None:
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def _watch(self) -> None:
        """Poll the generation in use and publish changes of health."""
        number, was_serving = 0, False
        while True:
            now = self._cluster.current
            self.health.set_generation(is_resident=now is not None)
            if now is not None and now.handle.number != number:
                number = now.handle.number
                self.metrics.set_generation(number)
                self.metrics.set_snapshot_time(now.priced.market.snapshot.time.timestamp())
                self._log.info("generation", number=number)
            del now  # an old generation must not outlive its requests
            if self.health.is_serving != was_serving:
                was_serving = not was_serving
                await self._set_health(_SERVING if was_serving else _NOT_SERVING)
                self._log.info("health", serving=was_serving, problems=self.health.problems())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_again.wait(), _WATCH_SECONDS)
            self._look_again.clear()


def _channel_options(options: GatewayOptions) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", options.message_bytes_max),
        ("grpc.max_send_message_length", 4 * options.message_bytes_max),
        ("grpc.max_concurrent_streams", options.connection_streams_max),
        # A vanished client is noticed within a minute; one that pings too often is disconnected.
        ("grpc.keepalive_time_ms", 40_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.so_reuseport", 0),
        ("grpc.enable_channelz", 0),
    ]
