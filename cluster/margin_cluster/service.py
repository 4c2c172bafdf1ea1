"""Assembly of the service: Ray, the archive, a gateway, and the seeding of the ledger."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TextIO, cast

import structlog

from margin_actors.actors.layout import Layout
from margin_actors.engine.parameters import ModelParameters
from margin_actors.progress import ProgressCallback, no_progress
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway import Gateway, GatewayOptions
from margin_cluster.ledger import ScenarioSetRecord, sqlite_url
from margin_cluster.live_feeds import FeedRequest, running_feeds
from margin_cluster.raylet import child_pid, raylet_pid, watching
from margin_cluster.seeding import seed_and_warm
from margin_cluster.settings import Settings
from margin_cluster.sources import ModelRegistry
from margin_cluster.streams import SafeStream
from margin_cluster.wiring import build_scenarios, open_workspace

EXIT_RAY_LOST = 4
"""Exit code of a gateway after the exit of a Ray process on which it depends."""
IDLE_WORKERS_PER_CPU = 4
"""Idle workers that a Ray node keeps per processor, for all gateways together."""
_RAY_TOKENS = "ray._private.authentication.authentication_token_setup"
_SWITCH_SECONDS = 0.0005


@dataclass(frozen=True)
class ServiceRequest:
    """Arguments of `margin serve`."""

    model: ModelParameters
    data: Path | None = None
    snapshot: str | None = None
    book: Path | None = None
    scenarios_id: str | None = None
    replace_snapshot: bool = False
    """Use `snapshot` and `scenarios_id` even if the ledger has a market in use."""
    replace_book: bool = False
    """Use `book` even if the ledger holds positions."""
    ray_address: str | None = None
    """Address of a Ray cluster; None to start a local one that ends with this process."""
    cpus: int | None = None
    """Processors of a local Ray cluster; None for the processors that this process may use."""
    namespace: str = "margin"
    ledger_url: str | None = None
    """Database URL of the ledger; None for a SQLite file in the state folder."""
    state: Path | None = None
    """Folder of the ledger and of stored objects; None for the folder `service` of the store."""
    layout: Layout = field(default_factory=Layout)
    feed: FeedRequest | None = None
    """The feed of market data; None without one."""


def no_notice(_notice: str) -> None:
    """Notice callback that does nothing."""


def start_logging(stream: TextIO | None = None) -> None:
    """Configure logging as one JSON object per line, to `stream` or to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(
            cast("TextIO", SafeStream(stream or sys.stderr))
        ),
        cache_logger_on_first_use=False,
    )


def ray_environment(cpus: int) -> None:
    """Set the environment variables of Ray that are not set; a local Ray cluster inherits them.

    By default a node keeps as many idle workers as it has free processors, for all drivers
    together, and ends further idle workers after a second. Gateways that share a node would then
    have to start new workers for almost every book; the limit is therefore raised to
    `IDLE_WORKERS_PER_CPU` workers per processor.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_num_workers_soft_limit", str(IDLE_WORKERS_PER_CPU * cpus))


@contextlib.contextmanager
def ray_session(request: ServiceRequest) -> Generator[None]:
    """Attach to a Ray cluster, or run a local one until the end of the block.

    A local cluster authenticates its callers with a token in a file that only its owner can read.
    If the raylet or the GCS can be watched and exits during the block, this process exits with
    `EXIT_RAY_LOST`.
    """
    cpus = request.cpus or len(os.sched_getaffinity(0))
    ray_environment(cpus)
    logging.getLogger(_RAY_TOKENS).setLevel(logging.ERROR)  # logs normal events at every start
    umask = os.umask(0o077)
    try:
        import ray
    finally:
        os.umask(umask)
    is_local = request.ray_address is None
    umask = os.umask(0o077)
    try:
        ray.init(
            address="local" if is_local else request.ray_address,
            num_cpus=cpus if is_local else None,
            include_dashboard=False if is_local else None,
            namespace=request.namespace,
            log_to_driver=False,
            configure_logging=True,
            logging_level=logging.WARNING,
        )
    finally:
        os.umask(umask)
    _protect_token_file()
    try:
        with contextlib.ExitStack() as watches:
            # None: the process belongs to another user, machine or PID namespace.
            raylet = raylet_pid(ray.get_runtime_context().get_node_id())
            if raylet is not None:
                watches.enter_context(watching(raylet, partial(_ray_exited, "raylet", raylet)))
            gcs = child_pid("gcs_server")
            if gcs is not None:
                watches.enter_context(watching(gcs, partial(_ray_exited, "GCS", gcs)))
            yield
    finally:
        ray.shutdown()


def _protect_token_file() -> None:
    """Make an existing token file of Ray readable only by its owner."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    with contextlib.suppress(OSError):
        path.chmod(0o600)


def _ray_exited(name: str, pid: int) -> None:
    """Report the exit of a Ray process and exit with `EXIT_RAY_LOST`.

    Otherwise Ray would end this process without a message: immediately after the exit of the
    raylet, or a minute after the exit of the GCS.
    """
    structlog.get_logger("gateway").error("ray exited", process=name, pid=pid)
    sys.stderr.write(
        f"margin: a process of Ray ({name}, pid {pid}) has exited, and this gateway stops with it. "
        "Nothing that was acknowledged is lost; start the service again.\n"
    )
    sys.stderr.flush()
    os._exit(EXIT_RAY_LOST)


def open_archive(settings: Settings, request: ServiceRequest) -> StoreArchive:
    """Return the archive of the service; create its folder and register the model.

    Raises
    ------
    InvalidParameters
        If the model's version was registered with other parameters.
    """
    state = request.state or settings.store / "service"
    state.mkdir(parents=True, exist_ok=True)
    ModelRegistry(settings.store).use(request.model)
    url = request.ledger_url or sqlite_url(state.resolve() / "ledger.sqlite")
    return StoreArchive(state.resolve(), url)


def build_scenario_set(
    settings: Settings,
    data: Path | None,
    model: ModelParameters,
    archive: StoreArchive,
    as_of: datetime,
    progress: ProgressCallback,
) -> ScenarioSetRecord:
    """Build the model's scenario set as of a time, store it, and return its ledger record."""
    workspace = open_workspace(settings, data, progress=progress)
    scenarios, _ = build_scenarios(workspace, model, as_of, progress=progress)
    return archive.save_scenarios(scenarios)


def scenario_builder(
    settings: Settings, request: ServiceRequest, archive: StoreArchive
) -> Callable[[datetime], Callable[[ProgressCallback], ScenarioSetRecord]]:
    """Return a function of `as_of` that returns the job of a BuildScenarioSet call.

    The job can be pickled; it takes a progress callback and returns the ledger record of the set.
    """

    def job(as_of: datetime) -> Callable[[ProgressCallback], ScenarioSetRecord]:
        return partial(build_scenario_set, settings, request.data, request.model, archive, as_of)

    return job


@asynccontextmanager
async def running_gateway(
    settings: Settings,
    request: ServiceRequest,
    options: GatewayOptions,
    *,
    progress: ProgressCallback = no_progress,
    notify: Callable[[str], None] = no_notice,
    before_ready: Callable[[Gateway], Awaitable[None]] | None = None,
) -> AsyncGenerator[Gateway]:
    """Start and yield a gateway; drain it at the end. The process must be attached to Ray.

    `notify` is called with each notice for the operator, for example on options that were not used.
    `before_ready` is awaited after the gateway listens and is seeded, before it accepts changes.
    """
    from margin_actors.actors.cluster import Cluster

    archive = await asyncio.to_thread(open_archive, settings, request)
    progress("Starting the actors", 0, 0)
    cluster = await Cluster.connect(
        archive, request.model, request.layout, namespace=request.namespace
    )
    try:
        gateway = Gateway(cluster, archive, scenario_builder(settings, request, archive), options)
        await gateway.start()
        try:
            workspace = await asyncio.to_thread(partial(open_workspace, settings, request.data))
            for notice in await seed_and_warm(
                gateway, workspace, archive, request, progress=progress
            ):
                notify(notice)
            if before_ready is not None:
                await before_ready(gateway)
            gateway.accept_writes()
            async with contextlib.AsyncExitStack() as feeds:
                if request.feed is not None:
                    await feeds.enter_async_context(
                        running_feeds(gateway, request.feed, request.model)
                    )
                yield gateway
        finally:
            await gateway.drain()
    finally:
        await cluster.close()


async def serve(
    settings: Settings,
    request: ServiceRequest,
    options: GatewayOptions,
    *,
    progress: ProgressCallback = no_progress,
    notify: Callable[[str], None] = no_notice,
    ready: Callable[[Gateway], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    `ready` is called once the gateway accepts changes. A signal during the start-up cancels it.
    """
    # Limits how long a computing thread holds the interpreter lock while the event loop waits.
    sys.setswitchinterval(_SWITCH_SECONDS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

    is_up = asyncio.Event()

    async def run() -> None:
        async with running_gateway(
            settings, request, options, progress=progress, notify=notify
        ) as gateway:
            # Objects that exist now are permanent. Excluding them from garbage collection avoids
            # pauses of a tenth of a second.
            gc.collect()
            gc.freeze()
            is_up.set()
            ready(gateway)
            await stop.wait()

    serving, stopping = asyncio.create_task(run()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not is_up.is_set() and not serving.done():
            serving.cancel()  # stopped while it was starting
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    finally:
        stopping.cancel()
