"""Recording of feeds into a data folder, so that the history of the scenarios grows by itself.

Trades and index ticks become minute bars (``prices``), good snapshots join the chain history
(``options``), volatility indices become minute bars and days (``vol``), funding rates are kept
(``rates``). Readers of a data folder find all of them by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from margin_actors.arrays import DAY_MS
from margin_actors.errors import MarginError
from margin_actors.market.book_summary import QUOTE_TIME
from margin_actors.market.chains import snapshot_to_chain
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.atomic import write_atomically
from margin_cluster.feeds.bars import MINUTE_MS, OpenMinutes
from margin_cluster.feeds.events import (
    FeedEvent,
    FundingRate,
    IndexTick,
    StatusChange,
    Trade,
    TradesComplete,
    TradesLost,
    VolatilityTick,
)
from margin_cluster.feeds.minute_files import MinuteFiles, add_rows, stamps_ms
from margin_cluster.sources.candle_files import SYNTHETIC_KEY
from margin_cluster.sources.files import read_parquet

_KINDS = {Kind.PERPETUAL: "perp", Kind.FUTURE: "future", Kind.OPTION: "option", Kind.SPOT: "spot"}


@dataclass(frozen=True, slots=True)
class RecordingRules:
    """What is recorded, and how often."""

    chain_minutes: int = 60
    """Snapshots join the chain history at most once per interval of this length, minutes."""
    volatility_minutes_min: int = 720
    """Smallest number of recorded minutes of a day whose volatility index is kept as a day."""


@dataclass
class Batch:
    """What is complete and not written yet."""

    prices: dict[str, list[pa.Table]] = field(default_factory=dict[str, list[pa.Table]])
    """Minute bars by the name of the source."""
    volatility: dict[tuple[str, str], list[pa.Table]] = field(
        default_factory=dict[tuple[str, str], list[pa.Table]]
    )
    """Minute bars of the volatility index by (source, underlying)."""
    funding: dict[tuple[str, str], dict[int, float]] = field(
        default_factory=dict[tuple[str, str], dict[int, float]]
    )
    """Rate per hour by (source, underlying) and time."""
    chains: list[tuple[str, MarketSnapshot]] = field(
        default_factory=list[tuple[str, MarketSnapshot]]
    )
    """(source, good snapshot)."""


class Recorder:
    """Collects events and writes what is complete; the caller decides when.

    `receive` and `take` are called in one thread; `write` may run in another, one call at a time.
    After a restart, a feed resumes at `resume_ms`, so that no minute is missing or double.
    """

    def __init__(self, folder: Path, rules: RecordingRules | None = None) -> None:
        self._folder, self._rules = folder, rules or RecordingRules()
        self._prices = MinuteFiles(folder / "prices")
        self._volatility = MinuteFiles(folder / "vol" / "minutes")
        self._trades: dict[tuple[str, str], OpenMinutes] = {}
        self._ticks: dict[tuple[str, Literal["index", "dvol"], str], OpenMinutes] = {}
        self._order = 0
        self._batch = Batch()

    @property
    def late(self) -> int:
        """Number of values that arrived after their minute was complete, and are left out."""
        return sum(o.late for o in (*self._trades.values(), *self._ticks.values()))

    def receive(self, event: FeedEvent) -> None:
        """Take an event; nothing is written."""
        self._order += 1
        if isinstance(event, Trade):
            # A feed resumes at the start of a minute, before whose trades there may be none.
            minutes = self._open_trades(event.source, event.instrument, event.time_ms)
            order = self._order if event.sequence is None else event.sequence
            minutes.add(event.time_ms, event.price, event.coins, key=event.trade_id, order=order)
        elif isinstance(event, TradesComplete):
            minutes = self._open_trades(event.source, event.instrument, event.time_ms)
            self._keep_bars(trade_series(event.source, event.instrument),
                            minutes.close_before(event.time_ms))  # fmt: skip
        elif isinstance(event, TradesLost):
            minutes = self._open_trades(event.source, event.instrument, event.first_ms)
            minutes.lose(event.first_ms, event.last_ms)
        elif isinstance(event, IndexTick):
            bars = self._tick(event.source, "index", event.underlying, event.time_ms,
                              event.price_usd)  # fmt: skip
            self._keep_bars(f"{event.source}_index_{event.underlying}USD_1min", bars)
        elif isinstance(event, VolatilityTick):
            bars = self._tick(event.source, "dvol", event.underlying, event.time_ms, event.points)
            if bars.num_rows:
                key = (event.source, event.underlying)
                self._batch.volatility.setdefault(key, []).append(bars)
        elif isinstance(event, FundingRate):
            rates = self._batch.funding.setdefault((event.source, event.underlying), {})
            rates[event.time_ms] = event.rate_1h
        elif isinstance(event, StatusChange):
            self._connection_changed(event)

    def _connection_changed(self, event: StatusChange) -> None:
        """Leave out the minutes of ticks in which a connection was closed or opened."""
        for (source, _, _), minutes in self._ticks.items():
            if source == event.source and event.kind == "disconnected":
                minutes.restart()
            elif source == event.source and event.kind == "connected":
                minutes.lose(event.time_ms, event.time_ms)

    def keep_snapshot(self, source: str, snapshot: MarketSnapshot) -> None:
        """Take a good snapshot for the chain history."""
        self._batch.chains.append((source, snapshot))

    def take(self) -> Batch:
        """Return what is complete, to be written; the recorder goes on with an empty batch."""
        batch, self._batch = self._batch, Batch()
        return batch

    def put_back(self, batch: Batch) -> None:
        """Take a batch back that could not be written. Writing it again duplicates nothing."""
        newer, self._batch = self._batch, batch
        for name, bars in newer.prices.items():
            self._batch.prices.setdefault(name, []).extend(bars)
        for key, bars in newer.volatility.items():
            self._batch.volatility.setdefault(key, []).extend(bars)
        for key, rates in newer.funding.items():
            self._batch.funding.setdefault(key, {}).update(rates)
        self._batch.chains += newer.chains

    def write(self, batch: Batch) -> None:
        """Write a batch into the folder; OSError or InvalidMarketData if that fails."""
        for name, bars in batch.prices.items():
            self._prices.add(name, pa.concat_tables(bars))
        for (source, underlying), bars in batch.volatility.items():
            self._volatility.add(f"{source}_dvol_{underlying}_1min", pa.concat_tables(bars))
            self._write_days(source, underlying)
        for (source, underlying), rates in batch.funding.items():
            path = self._folder / "rates" / f"{source}_funding_{underlying}_1h.parquet"
            add_rows(path, _funding_table(rates), key="timestamp")
        for source, snapshot in batch.chains:
            self._write_chain(source, snapshot)

    def resume_ms(self, source: str, series: str, name: str) -> int | None:
        """Return the time up to which a series is recorded, as `deribit.options.Resume`.

        Milliseconds since 1970-01-01 UTC; None if nothing is recorded or the files are damaged.
        """
        try:
            if series == "trades":
                return self._prices.end_ms(trade_series(source, name))
            if series == "volatility":
                return self._volatility.end_ms(f"{source}_dvol_{name}_1min")
            path = self._folder / "rates" / f"{source}_funding_{name}_1h.parquet"
            if not path.exists():
                return None
            return int(stamps_ms(read_parquet(path, what="funding rates"), "timestamp").max())
        except MarginError:
            return None  # the error is reported when the series is written

    def _open_trades(self, source: str, instrument: str, time_ms: int) -> OpenMinutes:
        known = self._trades.get((source, instrument))
        if known is None:
            start = time_ms // MINUTE_MS * MINUTE_MS
            known = self._trades[source, instrument] = OpenMinutes(known_from_ms=start)
        return known

    def _tick(
        self, source: str, kind: Literal["index", "dvol"], underlying: str, time_ms: int,
        value: float,
    ) -> pa.Table:  # fmt: skip
        minutes = self._ticks.setdefault((source, kind, underlying), OpenMinutes())
        bars = minutes.close_before(time_ms)
        minutes.add(time_ms, value, np.nan, key=(time_ms, value), order=self._order)
        return bars

    def _keep_bars(self, name: str, bars: pa.Table) -> None:
        if bars.num_rows:
            self._batch.prices.setdefault(name, []).append(bars)

    def _write_days(self, source: str, underlying: str) -> None:
        """Add the complete days of a volatility index that are not recorded as days yet."""
        name = f"{source}_dvol_{underlying}_1min"
        bars = self._volatility.read(name, self._volatility.months(name)[-2:])
        stamp = stamps_ms(bars, "timestamp")
        day = stamp // DAY_MS
        rows: list[Mapping[str, object]] = []
        for number in np.unique(day[day < day.max()]).tolist():
            own = bars.filter(pa.array(day == number))
            if own.num_rows < self._rules.volatility_minutes_min:
                continue
            columns = {n: own.column(n).to_numpy() for n in ("open", "high", "low", "close")}
            rows.append(
                {
                    "date": np.datetime64(number * DAY_MS, "ms").item(),
                    "open": float(columns["open"][0]),
                    "high": float(columns["high"].max()),
                    "low": float(columns["low"].min()),
                    "close": float(columns["close"][-1]),
                }
            )
        if rows:
            path = self._folder / "vol" / f"{source}_dvol_{underlying}_1d_ohlc.parquet"
            add_rows(path, pa.Table.from_pylist(list(rows), schema=_DAY_SCHEMA), key="date")

    def _write_chain(self, source: str, snapshot: MarketSnapshot) -> None:
        path = self._folder / "options" / f"{source}_chain_{snapshot.time:%Y-%m-%d}.parquet"
        table = chain_with_times(snapshot)
        step = self._rules.chain_minutes * MINUTE_MS
        if path.exists():
            known = read_parquet(path, what="option chain")
            slots = set((stamps_ms(known, "snapshot") // step).tolist())
            if round(snapshot.time.timestamp() * 1000) // step in slots:
                return
            table = pa.concat_tables([known, table.cast(known.schema)])
        write_atomically(path, lambda aside: pq.write_table(table, aside, compression="zstd"))


_DAY_SCHEMA = pa.schema(
    [
        ("date", pa.timestamp("ms")),
        *((name, pa.float64()) for name in ("open", "high", "low", "close")),
    ]
)


def trade_series(source: str, instrument: str) -> str:
    """Return the name of the minute bars of a contract's trades.

    Examples
    --------
    >>> trade_series("deribit", "BTC-PERPETUAL")
    'deribit_perp_BTCUSD_1min'
    """
    item = instrument_from_name(instrument)
    if item.kind is Kind.PERPETUAL or item.kind is Kind.SPOT:
        currency = "USD" if item.is_inverse or "_" not in instrument else "USDC"
        return f"{source}_{_KINDS[item.kind]}_{item.underlying}{currency}_1min"
    return f"{source}_{_KINDS[item.kind]}_{instrument.replace('-', '_')}_1min"


def chain_with_times(snapshot: MarketSnapshot) -> pa.Table:
    """Return a snapshot as a chain table, with the times of its quotes if it has ages.

    A synthetic snapshot is marked as such in the metadata, which `read_chain` keeps.
    """
    table = snapshot_to_chain(snapshot)
    ages = snapshot.options.age_seconds
    stamp = round(snapshot.time.timestamp() * 1000)
    unknown = np.ones(len(snapshot.options), np.bool_) if ages is None else np.isnan(ages)
    known = np.where(unknown, 0.0, 0.0 if ages is None else ages)
    times = stamp - np.round(1000.0 * known).astype(np.int64)
    column = pa.array(times, mask=unknown).cast(pa.timestamp("ms", "UTC"))
    table = table.append_column(QUOTE_TIME, column)
    if snapshot.is_synthetic:
        table = table.replace_schema_metadata({SYNTHETIC_KEY: b"true"})
    return table


def _funding_table(rates: Mapping[int, float]) -> pa.Table:
    times: Sequence[int] = sorted(rates)
    return pa.table(
        {
            "timestamp": pa.array(times, pa.int64()).cast(pa.timestamp("ms", "UTC")),
            "funding_rate": [rates[t] for t in times],
        }
    )
