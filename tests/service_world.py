"""A small market behind a complete service: Ray, actors, a ledger on disk and a gateway."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import structlog
from made import made_scenarios
from margin_client import Forward, MarginClient, OptionQuote, RateCurve, Snapshot
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway import Gateway, GatewayOptions
from margin_cluster.ledger import sqlite_url
from margin_cluster.service import ServiceRequest, running_gateway
from margin_cluster.settings import Settings

from margin_actors.actors.layout import Layout
from margin_actors.engine.margin import MarginResult, calculate_margin
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.snapshots import MarketSnapshot, OptionQuotes, tenor_years
from margin_actors.market.synthetic import SyntheticMarket

N_SCENARIOS = 500


def log_to_standard_error() -> None:
    """Send the log of services in this process to standard error.

    By default structlog prints to the standard output of the moment, which may be the one that
    another test captures and reads.
    """
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))


log_to_standard_error()


@dataclass(frozen=True)
class World:
    """The data that are served, and the result that the engine calculates from them directly."""

    snapshot: MarketSnapshot
    scenarios: ScenarioSet
    table: pa.Table
    book: Book
    model: ModelParameters
    expected: MarginResult


def make_world(market: SyntheticMarket, model: ModelParameters) -> World:
    scenarios = made_scenarios(N_SCENARIOS)
    book = book_from_table(market.book, where="book")
    expected = calculate_margin(market.snapshot, scenarios, book, model)
    return World(market.snapshot, scenarios, market.book, book, model, expected)


def fill(folder: Path, world: World, ledger_url: str | None = None) -> Path:
    """Store the world in the form that a service uses; return the path of its book."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = StoreArchive(folder, ledger_url or sqlite_url(folder / "ledger.sqlite"))
    archive.save_scenarios(world.scenarios)
    origin = {"key": "", "request_id": "", "caller": "tests"}
    archive.activate_scenarios(world.scenarios.id, **origin)
    archive.publish_snapshot(world.snapshot, allow_older=True, **origin)
    archive.ledger.close()
    path = folder / "book.parquet"
    pq.write_table(world.table, path)
    return path


@dataclass
class Running:
    """A gateway in a thread of this process; `do` runs a coroutine on its event loop."""

    gateway: Gateway
    loop: asyncio.AbstractEventLoop
    namespace: str
    folder: Path
    _ends: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.gateway.port}"

    @property
    def coordinator(self) -> Any:
        return ray.get_actor("coordinator", namespace=self.namespace)

    def do(self, coroutine: Any, seconds: float = 60.0) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)


@contextmanager
def served(
    world: World,
    folder: Path,
    *,
    shards: int = 2,
    namespace: str | None = None,
    layout: Layout | None = None,
    keep_actors: bool = False,
    ledger_url: str | None = None,
    before_ready: Callable[[Running], None] | None = None,
    **options: Any,
) -> Iterator[Running]:
    """Serve a world on the attached Ray until the end of the block."""
    path = folder / "book.parquet"
    path = path if path.exists() else fill(folder, world, ledger_url)
    request = ServiceRequest(
        model=world.model,
        book=path,
        namespace=namespace or f"n{uuid4().hex}",
        state=folder,
        ledger_url=ledger_url,
        layout=layout or Layout(shards=shards, refresh_seconds=0.5),
    )
    settings = Settings(store=folder / "store", data=None, threads=2, deribit_url="")
    chosen = GatewayOptions(**{"port": 0, "health_port": 0} | options)
    up: Future[Running] = Future()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        ends = asyncio.Event()

        async def starting(gateway: Gateway) -> None:
            if before_ready is not None:
                early = Running(gateway, loop, request.namespace, folder, ends)
                await asyncio.to_thread(before_ready, early)

        async with running_gateway(settings, request, chosen, before_ready=starting) as gateway:
            up.set_result(Running(gateway, loop, request.namespace, folder, ends))
            await ends.wait()

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            if not up.done():
                up.set_exception(error)
            else:
                raise

    thread = threading.Thread(target=work, name="gateway")
    thread.start()
    running = up.result(280)
    try:
        yield running
    finally:
        running.loop.call_soon_threadsafe(running._ends.set)
        thread.join(60)
        if not keep_actors:
            ray.kill(ray.get_actor("coordinator", namespace=request.namespace))


@contextmanager
def beside(service: Running, world: World, **options: Any) -> Iterator[Running]:
    """Run another gateway on the actors and the ledger of a service, with other options."""
    shared = {"namespace": service.namespace, "keep_actors": True}
    with served(world, service.folder, **shared, **options) as running:
        yield running


def wire(snapshot: MarketSnapshot) -> tuple[Snapshot, list[OptionQuote]]:
    """Return the header and the quotes with which a client publishes a snapshot."""
    o = snapshot.options
    forwards = tuple(Forward(e.underlying, e.expiry, e.forward_usd) for e in snapshot.expiries)
    quotes = [
        OptionQuote(name, *map(float, numbers))
        for name, *numbers in zip(
            o.names, o.mark_vol, o.bid, o.ask, o.mark, o.open_interest, o.volume, strict=True
        )
    ]
    header = Snapshot(
        snapshot.time,
        snapshot.index_usd,
        forwards,
        snapshot.discount_annual,
        snapshot.is_synthetic,
        snapshot.perpetual_usd,
        None
        if snapshot.rates is None
        else RateCurve(
            snapshot.rates.day,
            tuple(snapshot.rates.tenor_years.tolist()),
            tuple(snapshot.rates.zero_rate.tolist()),
        ),
    )
    return header, quotes


def digest_of_book(target: str, **asked: Any) -> str:
    with MarginClient(target) as client:
        return client.calculate_book(**asked).digest


def moved_by(snapshot: MarketSnapshot, shift: timedelta) -> MarketSnapshot:
    """Return the same market at another time, without expiries before it and their options."""
    time = snapshot.time + shift
    kept = [i for i, e in enumerate(snapshot.expiries) if e.expiry > time]
    place = {old: new for new, old in enumerate(kept)}
    o = snapshot.options
    rows = np.array([int(i) in place for i in o.expiry_index], np.bool_)
    columns = {
        name: getattr(o, name)[rows]
        for name in (
            "strike_usd",
            "is_call",
            "is_inverse",
            "bid",
            "ask",
            "mark",
            "mark_vol",
            "open_interest",
            "volume",
        )
    }
    expiries = tuple(
        replace(e, tenor_years=tenor_years(time, e.expiry))
        for e in (snapshot.expiries[i] for i in kept)
    )
    options = OptionQuotes(
        names=tuple(n for n, use in zip(o.names, rows, strict=True) if use),
        expiry_index=np.array([place[int(i)] for i in o.expiry_index[rows]], np.int32),
        **columns,
    )
    return replace(snapshot, time=time, expiries=expiries, options=options)
