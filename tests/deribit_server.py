"""A server in Deribit's format on this machine, which can misbehave on demand."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from margin_actors.market.snapshots import MarketSnapshot

TOO_MANY = {"code": 10028, "message": "too_many_requests"}


def book_summaries(snapshot: MarketSnapshot, u: str, stamp_ms: int) -> list[dict[str, Any]]:
    """The answer of get_book_summary_by_currency for the options of an underlying."""
    options = snapshot.options

    def number(x: float) -> float | None:
        return None if math.isnan(x) else float(x)

    return [
        {
            "instrument_name": name,
            "bid_price": number(options.bid[i]),
            "ask_price": number(options.ask[i]),
            "mark_price": number(options.mark[i]),
            "mark_iv": 100 * float(options.mark_vol[i]),
            "open_interest": float(options.open_interest[i]),
            "volume": float(options.volume[i]),
            "underlying_price": snapshot.expiries[options.expiry_index[i]].forward_usd,
            "underlying_index": "index_price",
            "creation_timestamp": stamp_ms + i % 700,
        }
        for i, name in enumerate(options.names)
        if name.startswith(f"{u}-")
    ]


@dataclass
class Venue:
    """What the server reports; tests change it while it runs."""

    snapshot: MarketSnapshot
    now_ms: Callable[[], int]
    skew_ms: int = 0
    http_faults: list[tuple[int, bytes]] = field(default_factory=list)
    """Answers that are given first, whatever is requested."""
    share_of_chain: float = 1.0
    index_factor: float = 1.0
    hanging: bool = False
    """Requests are not answered."""
    deaf: bool = False
    """Connections are accepted and then nothing is sent, not even a heartbeat."""
    refuse_subscribe: int = 0
    """Number of subscriptions that are answered by 10028."""
    trades: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Every trade by instrument, as the archive of the exchange knows them."""
    forgotten: set[int] = field(default_factory=set)
    """Numbers of trades that the archive does not have."""
    asked: list[str] = field(default_factory=list)
    subscribed: list[list[str]] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    url: str = ""

    def trade(self, name: str, price: float, *, time_ms: int | None = None) -> dict[str, Any]:
        """Add the next trade to the archive and return it."""
        known = self.trades.setdefault(name, [])
        number = 1000 + len(known)
        known.append(
            {
                "timestamp": self.now_ms() if time_ms is None else time_ms,
                "price": price,
                "amount": 10.0 * (1 + number % 3),
                "direction": "buy",
                "index_price": price,
                "instrument_name": name,
                "trade_seq": number,
                "trade_id": f"T{number}",
                "tick_direction": 0,
                "mark_price": price,
            }
        )
        return known[-1]

    async def send(self, channel: str, data: object) -> None:
        """Send a notification to every open connection."""
        await self.send_text(
            json.dumps(
                {
                    "jsonrpc": "2.0",
                    "method": "subscription",
                    "params": {"channel": channel, "data": data},
                }
            )
        )

    async def send_text(self, text: str) -> None:
        for socket in [s for s in self.sockets if not s.closed]:
            await socket.send_str(text)

    async def send_trades(self, *trades: dict[str, Any]) -> None:
        await self.send(f"trades.{trades[0]['instrument_name']}.100ms", list(trades))

    async def send_index(self, price: float, *, time_ms: int | None = None, u: str = "btc") -> None:
        stamp = self.now_ms() if time_ms is None else time_ms
        data = {"index_name": f"{u}_usd", "price": price, "timestamp": stamp}
        await self.send(f"deribit_price_index.{u}_usd", data)

    def drop(self, *, mid_message: bool = False) -> None:
        """Cut every connection without a farewell, if wanted in the middle of a message."""
        for socket in [s for s in self.sockets if not s.closed]:
            transport = socket._req.transport  # type: ignore[union-attr]
            assert transport is not None
            if mid_message:
                # A text frame that announces 100 bytes and delivers 12.
                transport.write(b"\x81\x64" + b'{"jsonrpc": ')
            transport.abort()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        method, fields = request.match_info["method"], request.query
        self.asked.append(f"{method}?{request.query_string}")
        if self.http_faults:
            status, body = self.http_faults.pop(0)
            return web.Response(status=status, body=body)
        if self.hanging:
            await asyncio.sleep(3600)
        result = self._result(method, fields)
        if result is None:
            error = {"code": -32602, "message": "Invalid params"}
            return web.json_response({"jsonrpc": "2.0", "error": error}, status=400)
        return web.json_response({"jsonrpc": "2.0", "result": result, "testnet": False})

    def _result(self, method: str, fields: Any) -> object:
        now, currency = self.now_ms(), fields.get("currency", "")
        name = fields.get("instrument_name", "")
        if method == "get_time":
            return now + self.skew_ms
        if method == "get_book_summary_by_currency":
            rows = book_summaries(self.snapshot, currency, now // 1000 * 1000)
            return rows[: round(len(rows) * self.share_of_chain)]
        if method == "get_instruments":
            names = [n for n in self.snapshot.options.names if n.startswith(f"{currency}-")]
            return [{"instrument_name": n, "kind": "option"} for n in names]
        if method == "ticker":
            u = name.partition("-")[0]
            price = self.snapshot.index_usd[u] * self.index_factor
            return {"index_price": price, "mark_price": price * 1.0001, "instrument_name": name}
        if method == "get_funding_rate_history":
            hour = 3_600_000
            first = -(-int(fields["start_timestamp"]) // hour)
            last = int(fields["end_timestamp"]) // hour
            return [
                {"timestamp": h * hour, "interest_1h": 1e-6 * (h % 7), "interest_8h": 8e-6}
                for h in range(first, last + 1)
            ]
        if method == "get_volatility_index_data":
            first = -(-int(fields["start_timestamp"]) // 60_000)
            last = int(fields["end_timestamp"]) // 60_000
            return {
                "data": [[m * 60_000, 50.0, 52.0, 49.0, 51.0] for m in range(first, last + 1)],
                "continuation": None,
            }
        if method.startswith("get_last_trades_by_instrument"):
            return self._past_trades(method, name, fields)
        return None

    def _past_trades(self, method: str, name: str, fields: Any) -> object:
        known = [t for t in self.trades.get(name, []) if t["trade_seq"] not in self.forgotten]
        if method.endswith("_and_time"):
            low, high = int(fields["start_timestamp"]), int(fields["end_timestamp"])
            known = [t for t in known if low <= t["timestamp"] <= high]
        elif "start_seq" in fields:
            low, high = int(fields["start_seq"]), int(fields["end_seq"])
            known = [t for t in known if low <= t["trade_seq"] <= high]
        if fields.get("sorting") == "desc":
            known = known[::-1]
        count = int(fields.get("count", 10))
        return {"trades": known[:count], "has_more": len(known) > count}

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT and not self.deaf:
                await self._requested(socket, json.loads(message.data))
        return socket

    async def _requested(self, socket: web.WebSocketResponse, body: dict[str, Any]) -> None:
        method = body["method"].removeprefix("public/")
        self.asked.append(f"ws {method}")
        answer: dict[str, object] = {"jsonrpc": "2.0", "id": body["id"]}
        if method == "subscribe" and self.refuse_subscribe > 0:
            self.refuse_subscribe -= 1
            answer["error"] = TOO_MANY
        elif method == "subscribe":
            self.subscribed.append(body["params"]["channels"])
            answer["result"] = body["params"]["channels"]
        else:
            answer["result"] = {"version": "1.2.26"} if method == "test" else "ok"
        await socket.send_json(answer)


@asynccontextmanager
async def deribit_server(venue: Venue) -> AsyncIterator[Venue]:
    """Serve until the end of the block."""
    application = web.Application()
    application.router.add_get("/api/v2/public/{method}", venue.answer)
    application.router.add_get("/ws/api/v2", venue.connect)
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    venue.url = f"http://127.0.0.1:{port}/api/v2"
    try:
        yield venue
    finally:
        for socket in venue.sockets:
            await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)
        await runner.cleanup()
