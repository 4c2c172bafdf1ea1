"""Snapshots of the option chains, from several answers of Deribit's HTTP API."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias, cast

import pyarrow as pa

from margin_actors.errors import MarginError, Problem
from margin_actors.market.book_summary import QUOTE_TIME
from margin_actors.market.chains import snapshot_from_chain, with_perpetuals
from margin_cluster.feeds.deribit.messages import MALFORMED
from margin_cluster.feeds.deribit.options import DeribitOptions
from margin_cluster.feeds.events import SnapshotArrived, UnreadableSnapshot
from margin_cluster.sources.deribit import chain_row, chain_table

Call: TypeAlias = Callable[[str, Mapping[str, str | int]], Awaitable[object]]
"""Function (public method, parameters) -> result, as `DeribitRequests.call`."""


class ChainReader:
    """Requests the chains of all currencies; the list of contracts is kept for a while."""

    def __init__(self, source: str, options: DeribitOptions, call: Call) -> None:
        self._source, self._options, self._call = source, options, call
        self._listed: dict[str, frozenset[str]] = {}
        self._listed_at = float("-inf")

    async def read(self, *, monotonic: float, now_ms: int) -> SnapshotArrived | UnreadableSnapshot:
        """Return a snapshot, or what was received if it cannot be assembled.

        The time of the snapshot is the last time of its quotes, truncated to the second; quotes
        have ages relative to it. `monotonic` is in seconds, `now_ms` in milliseconds since
        1970-01-01 UTC.

        Raises
        ------
        SourceUnavailable, InvalidMarketData
            If a request fails or is rejected.
        """
        if monotonic - self._listed_at > self._options.instruments_seconds:
            for currency in self._options.currencies:
                self._listed[currency] = await self._instruments(currency)
            if all(self._listed.values()):
                self._listed_at = monotonic
        rows: list[dict[str, object]] = []
        perpetuals: dict[str, float] = {}
        stamps: list[int] = []
        problems: list[Problem] = []
        for currency in self._options.currencies:
            try:
                index, mark = await self._perpetual(currency)
                perpetuals[currency] = mark
                found = await self._summaries(currency, index)
            except MALFORMED as fault:
                what = f"unexpected answer, {type(fault).__name__}: {fault}"
                problems.append(Problem(currency, what))
                continue
            if not found:
                problems.append(Problem(currency, "the exchange lists no options"))
            stamps += [stamp for stamp, _ in found]
            rows += [row for _, row in found]
        time_of = datetime.fromtimestamp((max(stamps) if stamps else now_ms) // 1000, UTC)
        table = chain_table(rows, time_of) if rows else pa.table({})
        if not problems:
            try:
                snapshot = snapshot_from_chain(
                    table, time=time_of, origin=f"feed {self._source}", for_gates=True
                )
                return SnapshotArrived(self._source, with_perpetuals(snapshot, perpetuals))
            except MarginError as error:
                problems += error.problems or [Problem("snapshot", error.summary)]
        return UnreadableSnapshot(self._source, now_ms, table, tuple(problems))

    async def _instruments(self, currency: str) -> frozenset[str]:
        fields = {"currency": currency, "kind": "option", "expired": "false"}
        result = await self._call("get_instruments", fields)
        rows = cast("list[dict[str, object]]", result) if isinstance(result, list) else []
        return frozenset(str(row["instrument_name"]) for row in rows if "instrument_name" in row)

    async def _perpetual(self, currency: str) -> tuple[float, float]:
        """Return (index, mark of the perpetual), US dollars."""
        result = await self._call("ticker", {"instrument_name": f"{currency}-PERPETUAL"})
        if not isinstance(result, dict):
            raise TypeError("the ticker is not an object")
        fields = cast("dict[str, object]", result)
        return _price(fields["index_price"]), _price(fields["mark_price"])

    async def _summaries(self, currency: str, index: float) -> list[tuple[int, dict[str, object]]]:
        """Return (time in milliseconds, row of the chain table) of each listed option."""
        fields = {"currency": currency, "kind": "option"}
        result = await self._call("get_book_summary_by_currency", fields)
        if not isinstance(result, list):
            raise TypeError("the book summary is not a list")
        out: list[tuple[int, dict[str, object]]] = []
        for summary in cast("list[dict[str, object]]", result):
            if summary["instrument_name"] not in self._listed[currency]:
                continue
            stamp = summary["creation_timestamp"]
            if isinstance(stamp, bool) or not isinstance(stamp, int):
                raise TypeError(f"{stamp!r} is not a time")
            quoted = datetime.fromtimestamp(stamp / 1000.0, UTC)
            out.append((stamp, {**chain_row(summary, index, currency), QUOTE_TIME: quoted}))
        return out


def _price(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{value!r} is not a price")
    return float(value)
