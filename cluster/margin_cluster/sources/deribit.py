"""Deribit's public JSON API: instruments, book summaries, tickers, and a chain built from them.

Responses are JSON-RPC: ``{"result": …}`` or ``{"error": {"code", "message"}}``, the latter also
with status 400 or 429. Connection errors, code 10028 (too many requests), status 429 and server
errors are retried with exponential back-off; all other errors are raised immediately.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias, cast

import pyarrow as pa
import pyarrow.parquet as pq
import urllib3
from urllib3.exceptions import HTTPError

from margin_actors.backoff import Backoff
from margin_actors.errors import InvalidMarketData, Problem, SourceUnavailable
from margin_cluster.atomic import write_atomically

TOO_MANY_REQUESTS = 10028
"""Error code of a response to a caller that has reached its rate limit."""
_ANSWER_BYTES_MAX = 64 * 1024 * 1024
Fields: TypeAlias = Mapping[str, object]
"""An object of a response, by field."""


@dataclass
class DeribitClient:
    """Client of the public API with rate limiting, retries and time-outs."""

    base_url: str
    """For example ``https://www.deribit.com/api/v2``; a slash at the end is removed."""
    requests_per_second: float = 5.0
    attempts: int = 5
    """Number of attempts per request, including the first."""
    backoff_seconds: float = 0.5
    """Delay before the second attempt; it doubles with each attempt, up to 30 s."""
    timeout_seconds: float = 20.0
    """Time limit of one attempt."""
    clock: Callable[[], float] = time.monotonic
    """Monotonic time in seconds."""
    sleep: Callable[[float], None] = time.sleep
    _pool: urllib3.PoolManager = field(init=False, repr=False)
    _next_at: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        self.base_url = self.base_url.rstrip("/")
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=self.timeout_seconds), retries=False
        )

    def instruments(self, currency: str, kind: str) -> list[Fields]:
        """Return the unexpired contracts of a currency; `kind` is ``option`` or ``future``."""
        fields = {"currency": currency, "kind": kind, "expired": "false"}
        return self._rows("get_instruments", fields)

    def book_summaries(self, currency: str, kind: str) -> list[Fields]:
        """Return best bid and ask, mark and open interest of all contracts of a currency."""
        return self._rows("get_book_summary_by_currency", {"currency": currency, "kind": kind})

    def ticker(self, instrument_name: str) -> Fields:
        """Return the ticker of one contract."""
        result = self._get("ticker", {"instrument_name": instrument_name})
        if not isinstance(result, dict):
            raise self._malformed("ticker", "the result is not an object")
        return cast("Fields", result)

    def _rows(self, method: str, fields: dict[str, str]) -> list[Fields]:
        result = self._get(method, fields)
        if not (isinstance(result, list) and all(isinstance(r, dict) for r in result)):
            raise self._malformed(method, "the result is not a list of objects")
        return cast("list[Fields]", result)

    def _malformed(self, method: str, what: str) -> InvalidMarketData:
        return InvalidMarketData(
            "the response of the exchange cannot be read",
            [Problem(f"{self.base_url}/public/{method}", what, "check the base address")],
        )

    def _get(self, method: str, fields: dict[str, str]) -> object:
        url = f"{self.base_url}/public/{method}"
        fault = ""
        for attempt in range(self.attempts):
            if attempt:
                self.sleep(Backoff(self.backoff_seconds, 30.0).delay_seconds(attempt - 1))
            self._pace()
            try:
                answer = self._pool.request("GET", url, fields=fields, preload_content=False)
                raw = answer.read(_ANSWER_BYTES_MAX + 1, decode_content=True)
                answer.release_conn()
            except HTTPError as error:
                fault = f"{type(error).__name__}: {error}"
                continue
            if len(raw) > _ANSWER_BYTES_MAX:
                raise self._malformed(method, f"more than {_ANSWER_BYTES_MAX:,} bytes")
            retry, fault, result = self._judge(method, answer.status, raw)
            if not retry:
                return result
        raise SourceUnavailable(
            "the exchange is not available",
            [Problem(url, f"{fault} after {self.attempts} attempts", "try again later")],
        )

    def _judge(self, method: str, status: int, raw: bytes) -> tuple[bool, str, object]:
        """Return (retry, fault, result); raise InvalidMarketData if a retry cannot help."""
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        error = body.get("error") if isinstance(body, dict) else None
        if isinstance(error, dict):
            code, message = error.get("code"), error.get("message")
            if code == TOO_MANY_REQUESTS or status == 429 or status >= 500:
                return True, f"{message} ({code})", None
            raise InvalidMarketData(
                "the exchange rejected the request",
                [Problem(f"{self.base_url}/public/{method}", f"{message} (code {code})")],
            )
        if status == 429 or status >= 500:
            return True, f"status {status}", None
        if status != 200 or not isinstance(body, dict) or "result" not in body:
            raise self._malformed(method, f"status {status}, not a JSON-RPC result")
        return False, "", body["result"]

    def _pace(self) -> None:
        """Wait until the rate limit allows the next request."""
        now = self.clock()
        if now < self._next_at:
            self.sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 1.0 / self.requests_per_second


def fetch_chain(client: DeribitClient, currencies: Sequence[str], target: Path) -> tuple[Path, int]:
    """Write the option chain of the currencies to ``target/options``; return (file, row count).

    Raises
    ------
    SourceUnavailable
        If the API does not answer within the client's attempts.
    InvalidMarketData
        If a response has an unexpected form, or there are no options.
    """
    rows: list[dict[str, object]] = []
    stamps: list[int] = []
    for currency in currencies:
        try:
            live = {r["instrument_name"] for r in client.instruments(currency, "option")}
            index = _required(client.ticker(f"{currency}-PERPETUAL"), "index_price")
            for summary in client.book_summaries(currency, "option"):
                if summary["instrument_name"] in live:
                    stamps.append(int(_required(summary, "creation_timestamp")))
                    rows.append(chain_row(summary, index, currency))
        except (KeyError, TypeError, ValueError) as fault:
            raise InvalidMarketData(
                "the response of the exchange cannot be read",
                [Problem(f"{client.base_url}, {currency}", f"{type(fault).__name__}: {fault}")],
            ) from fault
    if not rows:
        raise InvalidMarketData(
            "the exchange lists no options",
            [Problem(client.base_url, f"no unexpired options of {', '.join(currencies)}")],
        )
    time_of = datetime.fromtimestamp(max(stamps) // 1000, UTC)
    table = chain_table(rows, time_of)
    path = target / "options" / f"deribit_chain_{time_of:%Y-%m-%dT%H%M%SZ}.parquet"
    write_atomically(path, lambda aside: pq.write_table(table, aside, compression="zstd"))
    return path, len(rows)


def _required(fields: Fields, name: str) -> float:
    """Return a number of a response; KeyError or TypeError if it has none."""
    value = fields[name]
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {value!r}")
    return value


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def chain_table(rows: Sequence[Mapping[str, object]], time_of: datetime) -> pa.Table:
    """Return a chain table with rows as from `chain_row` and the time of its snapshot."""
    table = pa.Table.from_pylist([{"snapshot": time_of, **row} for row in rows])
    return table.set_column(0, "snapshot", table.column("snapshot").cast(pa.timestamp("us", "UTC")))


def chain_row(summary: Fields, index: float, currency: str) -> dict[str, object]:
    """Return a row of a chain table from one entry of the book summary.

    `index` is the index price in US dollars. KeyError if the entry has no name.
    """
    vol = _number(summary.get("mark_iv"))
    return {
        "instrument_name": str(summary["instrument_name"]),
        "currency": currency,
        "underlying": _number(summary.get("underlying_price")),
        "underlying_name": str(summary.get("underlying_index", "")),
        "bid_price": _number(summary.get("bid_price")),
        "ask_price": _number(summary.get("ask_price")),
        "mark_price": _number(summary.get("mark_price")),
        "implied_volatility": None if vol is None else vol / 100.0,
        "open_interest": _number(summary.get("open_interest")),
        "volume": _number(summary.get("volume")),
        "index_price": index,
    }
