"""Life cycle of a gateway: opening its ports, reporting its health, and draining."""

import asyncio
import contextlib
from threading import Thread
from wsgiref.simple_server import WSGIServer

import grpc
import structlog
from grpc_health.v1 import health as health_service
from grpc_health.v1 import health_pb2, health_pb2_grpc

from margin_actors.actors.cluster import Cluster
from margin_cluster.archive import StoreArchive
from margin_cluster.feeds import FeedBoard
from margin_cluster.gateway.call_feed import CallFeed
from margin_cluster.gateway.clearing import Clearing
from margin_cluster.gateway.gate import Admission
from margin_cluster.gateway.health import HealthMonitor
from margin_cluster.gateway.interceptor import CallInterceptor
from margin_cluster.gateway.market_data import MarketData
from margin_cluster.gateway.messages import CallerWaits
from margin_cluster.gateway.metrics import Metrics
from margin_cluster.gateway.monitor import Monitor
from margin_cluster.gateway.options import GatewayOptions
from margin_cluster.gateway.recorder import Recorder
from margin_cluster.gateway.registration import SERVICE_NAMES, add_services
from margin_cluster.gateway.scenario_sets import ScenarioBuilder
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.gateway.tls import HttpTls, load_server_tls
from margin_cluster.gateway.use_cases import assemble_use_cases
from margin_cluster.gateway.warm_up import warm_up
from margin_cluster.positions import Positions

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
        self.cluster, self.archive = cluster, archive
        self.positions = Positions(archive)
        self._recorder = Recorder(archive.ledger)
        self._threads = GatewayThreads(computing=o.threads)
        self.metrics = Metrics()
        self.health = HealthMonitor()
        self.admission = _admission(o)
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
        self.feeds = FeedBoard()
        self.metrics.watch_feeds(self.feeds)
        self.metrics.watch_ready(lambda: self.health.is_ready)
        self._log = structlog.get_logger("gateway")
        self.clearing = Clearing(archive.ledger.database)
        self._call_feed = CallFeed(self.clearing)
        self._use_cases = assemble_use_cases(
            cluster=cluster,
            archive=archive,
            positions=self.positions,
            recorder=self._recorder,
            threads=self._threads,
            health=self.health,
            builder=builder,
            feeds=self.feeds,
            clearing=self.clearing,
            call_feed=self._call_feed,
        )
        # `aio` is added to the module at import time.
        self._health = health_service.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
        self.port = self.health_port = 0
        self.metrics_port: int | None = None
        self._refresh = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._monitor: Monitor | None = None
        self._metrics_server: tuple[WSGIServer, Thread] | None = None

    @property
    def market(self) -> MarketData:
        """The use cases of market data."""
        return self._use_cases.market

    @property
    def threads(self) -> GatewayThreads:
        """The threads of this gateway."""
        return self._threads

    @property
    def is_ready(self) -> bool:
        """Return whether changes are accepted: start-up is complete and the ledger works."""
        return self.health.is_ready

    def accept_writes(self) -> None:
        """Accept calls that change state from now on; called when start-up is complete."""
        self.health.accept_writes()
        self._refresh.set()

    async def start(self) -> None:
        """Read the log of the clearing house and open all ports.

        Until `accept_writes`, changes are refused and health is NOT_SERVING.
        """
        o = self.options
        await self._threads.run_io(self._use_cases.approvals.refresh)
        await self.clearing.open()
        self._call_feed.start()
        self._server = grpc.aio.server(
            interceptors=[self._interceptor],
            options=_channel_options(o),
            compression=grpc.Compression.NoCompression,  # responses use the caller's compression
        )
        add_services(self._server, self._use_cases, self._threads, self.admission)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._health_server = grpc.aio.server(options=[("grpc.enable_channelz", 0)])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._health_server)
        await self._set_health(_NOT_SERVING)
        self.port = self._listen(self._server, o.port)
        self.health_port = self._listen(self._health_server, o.health_port)
        if o.metrics_port is not None:
            tls = HttpTls() if self._tls is None else self._tls.http_options()
            self._metrics_server = self.metrics.listen(o.host, o.metrics_port, **tls)
            self.metrics_port = self._metrics_server[0].server_port
        await self._health_server.start()
        await self._server.start()
        self._watcher = asyncio.create_task(self._watch())
        self._monitor = Monitor(
            self.cluster,
            self.archive.ledger,
            self.positions,
            self._threads,
            self.health,
            self.metrics,
            self._use_cases.approvals,
        )

    async def warm(self, *, until: float) -> None:
        """Run a small calculation in every process, so that the first call is not slower.

        `until` is the deadline, a monotonic time in seconds.
        """
        await warm_up(self.cluster, self._threads, until=until)

    async def drain(self) -> None:
        """Reject new calls, wait until calls in progress have finished, and stop.

        Calls that wait for the caller to send or read a message are ended within a second.
        """
        self.health.set_stopping()
        await self._set_health(_NOT_SERVING)
        self._log.info("draining", seconds_max=self.options.drain_seconds_max)
        self._waits.drain()
        self._call_feed.end_watches()
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
        await self._call_feed.close()
        await self._health_server.stop(None)
        if self._metrics_server is not None:
            server, thread = self._metrics_server
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            await asyncio.to_thread(thread.join)
        await asyncio.to_thread(self._close)
        self._log.info("stopped")

    def _close(self) -> None:
        """Finish pending work and writes, and release the ledger."""
        self._threads.close()
        self._recorder.close()
        self.clearing.close()
        self.archive.ledger.close()

    def _listen(self, server: grpc.aio.Server, port: int) -> int:
        address = f"{self.options.host}:{port}"
        if self._tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, self._tls.credentials())

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", *SERVICE_NAMES):
            await self._health.set(name, status)

    async def _watch(self) -> None:
        """Poll the generation in use and publish changes of health."""
        number, was_serving = 0, False
        while True:
            now = self.cluster.current
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
                await asyncio.wait_for(self._refresh.wait(), _WATCH_SECONDS)
            self._refresh.clear()


def _admission(o: GatewayOptions) -> Admission:
    return Admission(
        o.unary_limits,
        o.streaming_limits,
        uploads_max=o.uploads_max,
        caller_uploads_max=o.caller_uploads_max,
        waiting_bytes_max=o.waiting_bytes_max,
        watches_max=o.watches_max,
        caller_watches_max=o.caller_watches_max,
    )


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
