"""The service put together: Ray, the archive, the first market and book, and a gateway."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog

from margin_actors.actors.generation import Layout
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidPortfolio
from margin_actors.market.portfolios import book_from_table
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway import Gateway, GatewayOptions
from margin_cluster.ledger import ScenarioSetRecord, sqlite_url
from margin_cluster.settings import Settings
from margin_cluster.sources import ModelRegistry, read_table
from margin_cluster.wiring import (
    Stage,
    Workplace,
    build_scenarios,
    load_market,
    load_scenarios,
    no_stage,
    open_workplace,
)

_START_SECONDS = 600.0
_RAY_TOKENS = "ray._private.authentication.authentication_token_setup"
_SWITCH_SECONDS = 0.0005


@dataclass(frozen=True)
class ServiceRequest:
    """What `margin serve` was asked for."""

    model: ModelParameters
    data: Path | None = None
    snapshot: str | None = None
    book: Path | None = None
    scenarios_id: str | None = None
    ray_address: str | None = None
    """None: start Ray inside this process and end it with it."""
    cpus: int | None = None
    """Processors of an embedded Ray; None for those this process may use."""
    namespace: str = "margin"
    ledger_url: str | None = None
    """None: a SQLite file in the state folder."""
    state: Path | None = None
    """Folder of the ledger and of stored objects; None for one below the store."""
    layout: Layout = field(default_factory=Layout)


def start_logging(stream: Any = None) -> None:
    """Write one JSON object a line to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


@contextlib.contextmanager
def ray_session(request: ServiceRequest) -> Any:
    """Attach to a Ray cluster, or run one inside this process until the end.

    A local cluster protects itself with a token; the file that keeps it follows the umask.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger(_RAY_TOKENS).setLevel(logging.ERROR)  # tells at each start what is normal
    before = os.umask(0o077)
    try:
        import ray
    finally:
        os.umask(before)
    options: dict[str, Any] = {
        "namespace": request.namespace,
        "log_to_driver": False,
        "configure_logging": True,
        "logging_level": logging.WARNING,
    }
    if request.ray_address is not None:
        options["address"] = request.ray_address
    else:
        cpus = request.cpus or len(os.sched_getaffinity(0))
        options |= {"num_cpus": cpus, "include_dashboard": False, "address": "local"}
    before = os.umask(0o077)
    try:
        ray.init(**options)
    finally:
        os.umask(before)
    try:
        yield
    finally:
        ray.shutdown()


def open_archive(settings: Settings, request: ServiceRequest) -> StoreArchive:
    """Return the archive of the service."""
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
    tell: Stage,
) -> ScenarioSetRecord:
    """Build the model's scenario set as of a time, store it and return the ledger's note."""
    place = open_workplace(settings, data, tell=tell)
    scenarios, _ = build_scenarios(place, model, as_of, tell=tell)
    return archive.save_scenarios(scenarios)


def scenario_builder(
    settings: Settings, request: ServiceRequest, archive: StoreArchive
) -> Callable[[datetime], Callable[[Stage], ScenarioSetRecord]]:
    """Return what makes the job of BuildScenarioSet; all of it can be sent to a process."""

    def job(as_of: datetime) -> Callable[[Stage], ScenarioSetRecord]:
        return partial(build_scenario_set, settings, request.data, request.model, archive, as_of)

    return job


async def load_first(
    gateway: Gateway,
    place: Workplace,
    request: ServiceRequest,
    archive: StoreArchive,
    *,
    tell: Stage,
) -> None:
    """Put the snapshot, scenarios and book asked for into use; what is in use already stays."""
    heads = await asyncio.to_thread(archive.heads)
    cluster, key = gateway.desk.cluster, uuid4().hex
    until = time.monotonic() + _START_SECONDS
    asked = request.snapshot is not None or request.scenarios_id is not None
    if asked or not heads.is_complete:
        tell("Reading the snapshot", 0, 0)
        snapshot, _ = await asyncio.to_thread(load_market, place, request.snapshot)
        if request.scenarios_id is None:
            build = partial(build_scenarios, place, request.model, snapshot.time, tell=tell)
            scenarios, _ = await asyncio.to_thread(build)
        else:
            scenarios = await asyncio.to_thread(load_scenarios, place, request.scenarios_id)
        await asyncio.to_thread(archive.save_scenarios, scenarios)
        tell("Pricing every contract in every scenario", 0, 0)
        await asyncio.to_thread(archive.store_snapshot, snapshot)
        await cluster.activate(scenarios.id, key=f"{key}-scenarios", until=until)
        await cluster.publish(snapshot, key=f"{key}-snapshot", until=until)
        await asyncio.to_thread(archive.note_snapshot, snapshot)
    path = request.book
    if path is None and await asyncio.to_thread(archive.ledger.portfolio_version) == 0:
        path, _ = place.data.default_book()
    if path is not None:
        tell("Reading the book", 0, 0)
        table = await asyncio.to_thread(read_table, path, what="book", error=InvalidPortfolio)
        book = await asyncio.to_thread(book_from_table, table, where=str(path))
        await asyncio.to_thread(archive.save_book, book)
        await asyncio.to_thread(
            partial(
                archive.ledger.add_upload,
                key="",
                content=book.id,
                accounts=len(book.accounts),
                positions=book.n_positions,
                now=datetime.now(UTC),
            )
        )
    tell("Warming up", 0, 0)
    await gateway.warm(until=until)


@asynccontextmanager
async def running_gateway(
    settings: Settings,
    request: ServiceRequest,
    options: GatewayOptions,
    *,
    tell: Stage = no_stage,
) -> AsyncGenerator[Gateway]:
    """Yield a gateway that answers; Ray must be attached. Drains it at the end."""
    from margin_actors.actors.cluster import Cluster

    archive = await asyncio.to_thread(open_archive, settings, request)
    tell("Starting the actors", 0, 0)
    cluster = await Cluster.connect(
        archive, request.model, request.layout, namespace=request.namespace
    )
    try:
        gateway = Gateway(cluster, archive, scenario_builder(settings, request, archive), options)
        await gateway.start()
        try:
            place = await asyncio.to_thread(partial(open_workplace, settings, request.data))
            await load_first(gateway, place, request, archive, tell=tell)
            gateway.accept_writes()
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
    tell: Stage = no_stage,
    ready: Callable[[Gateway], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    # How long a thread that computes may keep the event loop from the interpreter.
    sys.setswitchinterval(_SWITCH_SECONDS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
    async with running_gateway(settings, request, options, tell=tell) as gateway:
        # What is here now stays: looking through all of it for garbage stops every call for
        # a tenth of a second.
        gc.collect()
        gc.freeze()
        ready(gateway)
        await stop.wait()
