"""Requests to Deribit's HTTP API from an event loop: rate limit, retries, time-outs.

Responses are judged as by `margin_cluster.sources.deribit`, the blocking client.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import cast

import aiohttp

from margin_actors.errors import InvalidMarketData, Problem, SourceUnavailable
from margin_cluster.feeds.deribit.options import DeribitOptions
from margin_cluster.feeds.interface import Clock
from margin_cluster.feeds.rate_limit import TokenBucket
from margin_cluster.sources.deribit import TOO_MANY_REQUESTS

_ANSWER_BYTES_MAX = 64 * 1024 * 1024
_CHUNK_BYTES = 65_536


class DeribitRequests:
    """Requests of public methods over one session."""

    def __init__(
        self, session: aiohttp.ClientSession, options: DeribitOptions, clock: Clock
    ) -> None:
        self._session, self._options, self._clock = session, options, clock
        self._bucket = TokenBucket(options.requests_per_second, options.requests_at_once)

    async def call(self, method: str, params: Mapping[str, str | int]) -> object:
        """Return the result of a public method.

        Raises
        ------
        SourceUnavailable
            If there is no usable answer within the attempts: the connection fails, the answer is
            late, damaged or not JSON-RPC, or the exchange is overloaded or reports its rate limit.
        InvalidMarketData
            If the exchange rejects the request for another reason.
        """
        url = f"{self._options.http_url}/public/{method}"
        fault = ""
        for attempt in range(self._options.attempts):
            if attempt:
                await self._clock.sleep(self._options.backoff.delay_seconds(attempt - 1))
            delay = self._bucket.take(self._clock.monotonic())
            if delay > 0.0:
                await self._clock.sleep(delay)
            try:
                status, raw = await self._get(url, params)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                fault = f"{type(error).__name__}: {error}".rstrip(": ")
                continue
            fault, result = self._judge(url, status, raw)
            if not fault:
                return result
        raise SourceUnavailable(
            "the exchange is not available",
            [Problem(url, f"{fault} after {self._options.attempts} attempts")],
        )

    async def _get(self, url: str, params: Mapping[str, str | int]) -> tuple[int, bytes]:
        async with asyncio.timeout(self._options.timeout_seconds):
            async with self._session.get(url, params=params) as response:
                parts: list[bytes] = []
                size = 0
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > _ANSWER_BYTES_MAX:
                        problem = Problem(url, f"more than {_ANSWER_BYTES_MAX:,} bytes")
                        raise InvalidMarketData("the response cannot be read", [problem])
                    parts.append(chunk)
                return response.status, b"".join(parts)

    def _judge(self, url: str, status: int, raw: bytes) -> tuple[str, object]:
        """Return (fault, result); the fault is empty for a result.

        Raises InvalidMarketData if a repetition cannot help.
        """
        try:
            body: object = json.loads(raw)
        except ValueError:
            body = None
        fields = cast("dict[str, object]", body) if isinstance(body, dict) else {}
        error = fields.get("error")
        if isinstance(error, dict):
            told = cast("dict[str, object]", error)
            text = f"{told.get('message')} (code {told.get('code')})"
            if told.get("code") == TOO_MANY_REQUESTS or status == 429:
                self._bucket.drain(self._clock.monotonic())
                return text, None
            if status >= 500:
                return text, None
            raise InvalidMarketData("the exchange rejected the request", [Problem(url, text)])
        if status == 429:
            self._bucket.drain(self._clock.monotonic())
            return "status 429", None
        if status != 200 or "result" not in fields:
            return f"status {status}, not a JSON-RPC result", None
        return "", fields["result"]
