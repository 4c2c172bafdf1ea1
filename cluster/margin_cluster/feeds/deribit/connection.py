"""One WebSocket connection to Deribit: greeting, heartbeats, subscriptions, messages."""

from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version

import aiohttp

from margin_cluster.feeds.deribit.messages import MALFORMED, Frame, parse_frame, request_text
from margin_cluster.feeds.deribit.options import DeribitOptions
from margin_cluster.sources.deribit import TOO_MANY_REQUESTS

MESSAGE_BYTES_MAX = 16 * 1024 * 1024


class ConnectionLost(Exception):  # noqa: N818
    """A connection that cannot be used further; the text says why."""


class Connection:
    """Subscribes to channels and passes on their messages until the connection is lost."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        options: DeribitOptions,
        on_data: Callable[[str, object], Awaitable[None]],
        on_fault: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._socket, self._options = socket, options
        self._on_data, self._on_fault = on_data, on_fault
        self._number = 0
        self._asked: dict[int, str] = {}

    async def run(self, channels: Sequence[str]) -> None:
        """Subscribe and read messages.

        Raises
        ------
        ConnectionLost
            Always, in the end: the exchange closed the connection, reported its rate limit, refused
            the subscription or sent too many unreadable messages in a row.
        """
        await self._ask("hello", client_name="margin-cluster",
                        client_version=version("margin-cluster"))  # fmt: skip
        await self._ask("set_heartbeat", interval=self._options.heartbeat_seconds)
        await self._ask("subscribe", channels=list(channels))
        malformed = 0
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise ConnectionLost(self._closed(message))
            try:
                await self._handle(parse_frame(message.data), channels)
                malformed = 0
            except MALFORMED as fault:
                malformed += 1
                await self._on_fault("malformed", f"{type(fault).__name__}: {fault}"[:300])
                if malformed >= self._options.malformed_max:
                    raise ConnectionLost(f"{malformed} unreadable messages in a row") from fault

    async def renew(self, channel: str) -> None:
        """Subscribe again to a channel, so that it begins with a snapshot."""
        await self._ask("unsubscribe", channels=[channel])
        await self._ask("subscribe", channels=[channel])

    async def _handle(self, frame: Frame, channels: Sequence[str]) -> None:
        if frame.kind == "subscription":
            await self._on_data(frame.channel, frame.data)
        elif frame.kind == "test_request":
            await self._ask("test")
        elif frame.kind == "response":
            await self._answered(frame, channels)

    async def _answered(self, frame: Frame, channels: Sequence[str]) -> None:
        method = self._asked.pop(frame.id, "")
        if frame.error:
            if frame.error_code == TOO_MANY_REQUESTS or method == "subscribe":
                raise ConnectionLost(f"{method or 'request'}: {frame.error}")
            await self._on_fault("refused", f"{method or 'request'}: {frame.error}")
        elif method == "subscribe" and isinstance(frame.data, list):
            accepted: list[object] = frame.data
            missing = [c for c in channels if c not in accepted]
            if missing and len(accepted) > 1:
                await self._on_fault("refused", f"no subscription to {', '.join(missing)}")

    async def _ask(self, method: str, **params: object) -> None:
        self._number += 1
        self._asked[self._number] = method
        await self._socket.send_str(request_text(self._number, method, params))

    def _closed(self, message: aiohttp.WSMessage) -> str:
        if message.type is aiohttp.WSMsgType.BINARY:
            return "a binary message"
        if message.type is aiohttp.WSMsgType.ERROR:
            return f"damaged: {message.data}"
        code = self._socket.close_code
        return "closed" if code is None else f"closed with code {code}"
