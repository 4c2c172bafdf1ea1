"""The feed of Deribit's public data over HTTP and WebSocket."""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine

import aiohttp

from margin_actors.errors import MarginError
from margin_cluster.feeds.channels import ChannelWatch
from margin_cluster.feeds.deribit.chains import ChainReader
from margin_cluster.feeds.deribit.connection import (
    MESSAGE_BYTES_MAX,
    Connection,
    ConnectionLost,
)
from margin_cluster.feeds.deribit.messages import (
    MALFORMED,
    events_of,
    funding_page,
    volatility_page,
)
from margin_cluster.feeds.deribit.options import DeribitOptions, Series
from margin_cluster.feeds.deribit.requests import DeribitRequests
from margin_cluster.feeds.deribit.trades import InstrumentTrades
from margin_cluster.feeds.events import (
    FeedEvent,
    IndexTick,
    Quote,
    StatusChange,
    StatusKind,
    Trade,
    VolatilityTick,
)
from margin_cluster.feeds.interface import Clock, SystemClock
from margin_cluster.feeds.sequences import BookReplica

_MINUTE_MS = 60_000
_CHECK_SECONDS = 1.0
_AHEAD_MS_MAX = 3_600_000
"""How far a message's time may be ahead of the clock: a wrong time would close minutes early."""


class DeribitFeed:
    """Public data of Deribit, or of any server with the same interface.

    Indices, volatility indices, perpetuals and their trades arrive over a WebSocket; chains,
    funding rates, past trades and the exchange's clock are requested over HTTP. The feed never ends
    by itself: faults become events, and the connection is opened again after a delay.
    """

    is_historical = False

    def __init__(
        self,
        options: DeribitOptions | None = None,
        *,
        clock: Clock | None = None,
        source: str = "deribit",
    ) -> None:
        self.source = source
        self._options = options or DeribitOptions()
        self._clock = clock or SystemClock()
        self._queue: asyncio.Queue[FeedEvent | BaseException] = asyncio.Queue(
            self._options.queue_max
        )
        self._watch = ChannelWatch(self._options.silent_seconds)
        self._trades: dict[str, InstrumentTrades] = {}
        self._books: dict[str, BookReplica] = {}
        self._fills: set[asyncio.Task[None]] = set()
        self._connection: Connection | None = None
        self._last_message = 0.0

    async def events(self) -> AsyncGenerator[FeedEvent]:
        """Return the events; see `MarketFeed`."""
        async with aiohttp.ClientSession() as session:
            requests = DeribitRequests(session, self._options, self._clock)
            self._requests = requests
            self._chains = ChainReader(self.source, self._options, requests.call)
            self._trades = {
                name: InstrumentTrades(self.source, name, requests.call)
                for name in self._options.perpetuals
            }
            o = self._options
            work = (
                self._run_socket(session),
                self._every(o.snapshot_seconds, self._read_snapshot, "snapshot"),
                self._every(o.skew_seconds, self._compare_clocks, "clock"),
                self._every(o.funding_seconds, self._read_funding, "funding"),
            )
            tasks = [asyncio.create_task(self._guarded(item)) for item in work]
            try:
                while True:
                    item = await self._queue.get()
                    if isinstance(item, BaseException):
                        raise item
                    yield item
            finally:
                for task in (*tasks, *self._fills):
                    task.cancel()
                await asyncio.gather(*tasks, *self._fills, return_exceptions=True)

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        """Run one of the tasks; an unexpected error is raised by the generator of events."""
        try:
            await work
        except Exception as error:
            await self._queue.put(error)

    async def _every(
        self, seconds: float, work: Callable[[], Awaitable[None]], channel: str
    ) -> None:
        while True:
            try:
                await work()
            except MarginError as error:
                text = "; ".join([error.summary, *map(str, error.problems)])
                await self._status("refused", channel, text)
            except MALFORMED as fault:
                await self._status("malformed", channel, f"{type(fault).__name__}: {fault}")
            await self._clock.sleep(seconds)

    async def _read_snapshot(self) -> None:
        await self._queue.put(
            await self._chains.read(monotonic=self._clock.monotonic(), now_ms=self._now_ms())
        )

    async def _compare_clocks(self) -> None:
        """Report a difference of the clocks that the duration of the request does not explain."""
        before = self._clock.time()
        result = await self._requests.call("get_time", {})
        after = self._clock.time()
        if isinstance(result, bool) or not isinstance(result, int):
            raise TypeError(f"the time of the exchange is {result!r}")
        skew = result / 1000.0 - 0.5 * (before + after)
        if abs(skew) - 0.5 * (after - before) > self._options.skew_max_seconds:
            side = "ahead of" if skew > 0 else "behind"
            limit = self._options.skew_max_seconds
            what = f"the clock of the exchange is {abs(skew):,.1f} s {side} this machine's"
            await self._status("skew", "", f"{what} (limit {limit:g} s)")

    async def _read_funding(self) -> None:
        now = self._now_ms()
        for currency in self._options.currencies:
            since = self._since("funding", currency, now)
            result = await self._requests.call(
                "get_funding_rate_history",
                {
                    "instrument_name": f"{currency}-PERPETUAL",
                    "start_timestamp": since,
                    "end_timestamp": now,
                },
            )
            for event in funding_page(self.source, currency, result):
                await self._queue.put(event)

    async def _run_socket(self, session: aiohttp.ClientSession) -> None:
        await self._resume_trades()
        await self._resume_volatility()
        attempt = 0
        while True:
            why, opened = "", self._clock.monotonic()
            try:
                async with asyncio.timeout(self._options.timeout_seconds):
                    socket = await session.ws_connect(
                        self._options.socket_url, max_msg_size=MESSAGE_BYTES_MAX
                    )
                async with socket:
                    await self._read_socket(socket)
            except ConnectionLost as lost:
                why = str(lost)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                why = f"{type(error).__name__}: {error}".rstrip(": ")
            worked = self._last_message > opened
            attempt = 0 if worked else attempt + 1
            self._watch.stop()
            delay = self._options.backoff.delay_seconds(attempt)
            await self._status("disconnected", "", f"{why}; the next attempt is in {delay:g} s")
            await self._clock.sleep(delay)
            if worked:
                await self._resume_volatility()

    async def _read_socket(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        options = self._options
        self._connection = Connection(socket, options, self._arrived, self._fault)
        self._books = {}
        await self._status("connected", "", options.socket_url)
        continuous = [c for c in options.channels if not c.startswith("trades.")]
        self._watch.start(continuous, self._clock.monotonic())
        opened = self._clock.monotonic()
        guard = asyncio.create_task(self._close_when_idle(socket, opened))
        try:
            await self._connection.run(options.channels)
        finally:
            guard.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await guard

    async def _close_when_idle(
        self, socket: aiohttp.ClientWebSocketResponse, opened: float
    ) -> None:
        """Report silent channels, and close a connection on which nothing arrives at all."""
        while True:
            await self._clock.sleep(_CHECK_SECONDS)
            now = self._clock.monotonic()
            for channel, seconds in self._watch.newly_silent(now):
                await self._status("silent", channel, f"no message for {seconds:,.0f} s")
            if now - max(self._last_message, opened) > self._options.idle_seconds:
                what = f"no message for {self._options.idle_seconds:g} s"
                await self._status("silent", "", f"{what}; the connection is closed")
                await socket.close()
                return

    async def _arrived(self, channel: str, data: object) -> None:
        """Put the events of one message in the queue; MALFORMED if it cannot be read."""
        if channel.startswith("book."):
            await self._book_arrived(channel, data)
        else:
            events = events_of(self.source, channel, data)
            if any(_time_of(event) > self._now_ms() + _AHEAD_MS_MAX for event in events):
                raise ValueError("a time is more than an hour after the clock")
            if channel.startswith("trades."):
                await self._trades_arrived([e for e in events if isinstance(e, Trade)])
            else:
                for event in events:
                    await self._queue.put(event)
        self._last_message = self._clock.monotonic()
        if self._watch.arrived(channel, self._last_message):
            await self._status("resumed", channel, "messages arrive again")

    async def _trades_arrived(self, trades: list[Trade]) -> None:
        by_name: dict[str, list[Trade]] = {}
        for trade in trades:
            by_name.setdefault(trade.instrument, []).append(trade)
        for name, own in by_name.items():
            known = self._trades.get(name)
            if known is None:
                raise ValueError(f"trades of {name[:40]}, which was not subscribed to")
            events, is_incomplete = known.arrived(own, self._now_ms())
            for event in events:
                await self._queue.put(event)
            if is_incomplete:
                known.is_filling = True
                task = asyncio.create_task(self._guarded(self._fill(known)))
                self._fills.add(task)
                task.add_done_callback(self._fills.discard)

    async def _fill(self, trades: InstrumentTrades) -> None:
        # Reordered messages close most gaps by themselves within a moment.
        await self._clock.sleep(_CHECK_SECONDS)
        trades.is_filling = True
        for event in await trades.fill(self._now_ms()):
            await self._queue.put(event)

    async def _book_arrived(self, channel: str, data: object) -> None:
        if not isinstance(data, dict):
            raise TypeError("the data of an order book are not an object")
        name = channel.split(".")[1]
        book = self._books.setdefault(channel, BookReplica())
        was_valid = book.change_id is not None
        arrival = book.apply(data)
        if arrival == "gap":
            if was_valid and self._connection is not None:
                await self._status("gap", channel, "a change of the order book is missing")
                await self._connection.renew(channel)
        elif arrival == "new":
            bid, ask = book.best
            stamp = data["timestamp"]
            if not isinstance(stamp, int):
                raise TypeError(f"{stamp!r} is not a time")
            await self._queue.put(Quote(self.source, name, stamp, bid, ask, math.nan))

    async def _fault(self, kind: str, what: str) -> None:
        await self._status("malformed" if kind == "malformed" else "refused", "", what)

    async def _resume_trades(self) -> None:
        """Request the trades since the last recorded minute."""
        now = self._now_ms()
        for name, trades in self._trades.items():
            for event in await trades.resume(self._since("trades", name, now), now):
                await self._queue.put(event)

    async def _resume_volatility(self) -> None:
        """Request the volatility index since the last recorded minute, without the current one."""
        now = self._now_ms()
        for currency in self._options.currencies:
            try:
                result = await self._requests.call(
                    "get_volatility_index_data",
                    {
                        "currency": currency,
                        "start_timestamp": self._since("volatility", currency, now),
                        "end_timestamp": now,
                        "resolution": "60",
                    },
                )
                for event in volatility_page(self.source, currency, result):
                    if event.time_ms < now // _MINUTE_MS * _MINUTE_MS:
                        await self._queue.put(event)
            except (MarginError, *MALFORMED) as error:
                await self._status("refused", "volatility", f"past values: {error}")

    def _since(self, series: Series, name: str, now_ms: int) -> int:
        """Return from when on data are requested, milliseconds since 1970-01-01 UTC."""
        recorded = self._options.resume(series, name)
        earliest = now_ms - round(self._options.resume_hours_max * 3_600_000)
        earliest = -(-earliest // _MINUTE_MS) * _MINUTE_MS
        start = now_ms // _MINUTE_MS * _MINUTE_MS if series == "trades" else earliest
        return max(earliest, start if recorded is None else recorded)

    def _now_ms(self) -> int:
        return round(self._clock.time() * 1000)

    async def _status(self, kind: StatusKind, channel: str, what: str) -> None:
        await self._queue.put(StatusChange(self.source, kind, channel, what, self._now_ms()))


def _time_of(event: FeedEvent) -> int:
    timed = isinstance(event, IndexTick | Quote | Trade | VolatilityTick)
    return event.time_ms if timed else 0
