"""Conversion of option chains, as published by exchanges, into snapshots.

The rows of one chain are collected one after another, so index and forward differ slightly between
rows of one expiry; the snapshot uses the median over the rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, TimeArray
from margin_actors.errors import InvalidMarketData, MissingMarketData, Problem, raise_if_any
from margin_actors.market.book_summary import QUOTE_TIME
from margin_actors.market.instruments import Instrument, Kind, instrument_from_name
from margin_actors.market.snapshots import ExpiryForward, MarketSnapshot, OptionQuotes, tenor_years
from margin_actors.market.tables import (
    ColumnKind,
    number_column,
    require_columns,
    text_column,
    time_column,
)

CHAIN_COLUMNS: dict[str, ColumnKind] = {
    "snapshot": "time",
    "instrument_name": "text",
    "underlying": "number",
    "bid_price": "number",
    "ask_price": "number",
    "mark_price": "number",
    "implied_volatility": "number",
    "open_interest": "number",
    "volume": "number",
    "index_price": "number",
}


def snapshot_times(table: pa.Table) -> TimeArray:
    """Return the distinct collection times of a chain table, ascending, datetime64[ms] UTC."""
    unique = table.column("snapshot").unique()
    values = np.asarray(pc.cast(unique, pa.timestamp("ms"), safe=False).to_numpy())
    return np.sort(values.astype("datetime64[ms]"))


def snapshot_from_chain(
    table: pa.Table,
    *,
    time: datetime,
    origin: str,
    is_synthetic: bool = False,
    for_gates: bool = False,
) -> MarketSnapshot:
    """Return the snapshot at `time` from a chain table.

    Parameters
    ----------
    table : pyarrow.Table
        Columns as in `CHAIN_COLUMNS`: prices in coins per coin for inverse options and in US
        dollars for linear ones, forward (`underlying`) and index in US dollars, volatilities as
        fractions. Rows of other times and expired options are ignored.
    time : aware datetime
        One of `snapshot_times`.
    origin : str
        Where the table came from; used in messages.
    is_synthetic : bool
        Whether the data are synthetic.
    for_gates : bool
        Keep what quality gates test: ages of quotes (column `QUOTE_TIME`) and repeated options.

    Raises
    ------
    InvalidMarketData
        If columns are missing or of another type, or a name, forward or index cannot be used; an
        option that is listed several times is such a name unless `for_gates` is True.
    MissingMarketData
        If the table has no row for that time.
    """
    require_columns(table, CHAIN_COLUMNS, where=origin)
    stamp = pa.scalar(time.astimezone(UTC), table.schema.field("snapshot").type)
    rows = table.filter(pc.field("snapshot") == stamp)
    if rows.num_rows == 0:
        raise MissingMarketData(
            f"{origin} has no snapshot of {time.isoformat()}",
            nearest_times(snapshot_times(table), time, origin),
        )
    names = text_column(rows, "instrument_name")
    instruments, kept, problems = _options_of(names, time, origin, repeated=for_gates)
    raise_if_any(problems, InvalidMarketData, f"{origin} has unusable instrument names")
    rows = rows.take(pa.array(kept))
    quotes = ChainQuotes(
        forward_usd=number_column(rows, "underlying"),
        index_usd=number_column(rows, "index_price"),
        bid=number_column(rows, "bid_price"),
        ask=number_column(rows, "ask_price"),
        mark=number_column(rows, "mark_price"),
        mark_vol=number_column(rows, "implied_volatility"),
        open_interest=number_column(rows, "open_interest"),
        volume=number_column(rows, "volume"),
        age_seconds=_ages(rows, time, origin) if for_gates else None,
    )
    return snapshot_from_quotes(
        instruments, quotes, time=time, origin=origin, is_synthetic=is_synthetic
    )


def _ages(rows: pa.Table, time: datetime, origin: str) -> FloatArray | None:
    """Return the age of each quote, seconds, NaN if not reported; None without a column of times.

    Raises InvalidMarketData if the column holds something else.
    """
    if QUOTE_TIME not in rows.column_names:
        return None
    require_columns(rows, {QUOTE_TIME: "time"}, where=origin)
    stamps = time_column(rows, QUOTE_TIME)
    now = np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "ms")
    return np.where(np.isnat(stamps), np.nan, (now - stamps).astype(np.int64) / 1000.0)


def nearest_times(times: TimeArray, wanted: datetime, origin: str) -> list[Problem]:
    """Return one problem, which names the (at most three) times nearest to `wanted`.

    `times` is datetime64[ms] (n_times,), UTC; `origin` is the place that the problem states.
    """
    if times.size == 0:
        return [Problem(origin, "contains no snapshots")]
    stamp = np.datetime64(wanted.astimezone(UTC).replace(tzinfo=None), "ms")
    order = np.argsort(np.abs(times - stamp))[:3]
    nearest = ", ".join(f"{np.datetime_as_string(t, 's')}Z" for t in np.sort(times[order]))
    return [Problem(origin, "has no snapshot at this time", f"the nearest are {nearest}")]


def _options_of(
    names: Iterable[str | None], time: datetime, origin: str, *, repeated: bool
) -> tuple[list[Instrument], list[int], list[Problem]]:
    instruments: list[Instrument] = []
    kept: list[int] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for row, name in enumerate(names):
        try:
            instrument = instrument_from_name(name or "")
        except ValueError as error:
            problems.append(Problem(f"{origin}, row {row}", str(error)))
            continue
        if instrument.kind is not Kind.OPTION:
            problems.append(Problem(f"{origin}, row {row}", f"{name} is not an option"))
        elif instrument.name in seen and not repeated:
            problems.append(
                Problem(f"{origin}, row {row}", f"{name} appears twice in one snapshot")
            )
        elif instrument.expiry is not None and instrument.expiry > time:
            seen.add(instrument.name)
            instruments.append(instrument)
            kept.append(row)
    return instruments, kept, problems


@dataclass(frozen=True, kw_only=True)
class ChainQuotes:
    """One quote per option of a chain, as published; NaN means not reported."""

    forward_usd: FloatArray
    """float64 (n_options,): forward of the option's expiry, US dollars per coin."""
    index_usd: FloatArray
    """float64 (n_options,): index price of the underlying, US dollars per coin."""
    bid: FloatArray
    """float64 (n_options,): coins per coin for inverse options, US dollars for linear ones."""
    ask: FloatArray
    """float64 (n_options,), in the unit of `bid`."""
    mark: FloatArray
    """float64 (n_options,), in the unit of `bid`."""
    mark_vol: FloatArray
    """float64 (n_options,): annual volatility of the mark, a fraction."""
    open_interest: FloatArray
    """float64 (n_options,), coins."""
    volume: FloatArray
    """float64 (n_options,): traded volume, coins."""
    age_seconds: FloatArray | None = None
    """float64 (n_options,): age at the snapshot's time, seconds; None if no age is known."""


def snapshot_from_quotes(
    instruments: list[Instrument],
    quotes: ChainQuotes,
    *,
    time: datetime,
    origin: str,
    is_synthetic: bool = False,
) -> MarketSnapshot:
    """Return a snapshot of options from one quote per option.

    Parameters
    ----------
    instruments : list of Instrument
        Options only.
    quotes : ChainQuotes
        In the order of `instruments`. Medians of the indices of an underlying and of the forwards
        of an expiry are used; without a forward, put-call parity of the marks. Bids, asks and
        volatilities that are not positive become NaN, missing open interest and volume 0.
    time : aware datetime
    origin : str
        Where the quotes came from.
    is_synthetic : bool

    Raises
    ------
    InvalidMarketData
        If an index or forward is not a positive finite number, or an option has expired.
    """
    expiries, expiry_index = _expiries_of(instruments, time, quotes.forward_usd, quotes.mark)
    options = OptionQuotes(
        tuple(i.name for i in instruments),
        expiry_index,
        *_contract_columns(instruments),
        bid=_positive_or_nan(quotes.bid),
        ask=_positive_or_nan(quotes.ask),
        mark=quotes.mark,
        mark_vol=_positive_or_nan(quotes.mark_vol),
        open_interest=np.nan_to_num(quotes.open_interest),
        volume=np.nan_to_num(quotes.volume),
        age_seconds=quotes.age_seconds,
    )
    index, now = _index_of(instruments, quotes.index_usd), time.astimezone(UTC)
    return MarketSnapshot(now, index, expiries, options, is_synthetic=is_synthetic, origin=origin)


def _contract_columns(instruments: list[Instrument]) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Return (strikes in US dollars, which are calls, which are inverse), each (n_options,)."""
    return (
        np.array([i.strike or np.nan for i in instruments], np.float64),
        np.array([bool(i.is_call) for i in instruments], np.bool_),
        np.array([i.is_inverse for i in instruments], np.bool_),
    )


def _index_of(instruments: list[Instrument], index_usd: FloatArray) -> dict[str, float]:
    """Return the median index of each underlying, sorted by name."""
    underlying = np.array([i.underlying for i in instruments])
    names = sorted({i.underlying for i in instruments})
    return {name: _median(index_usd[underlying == name]) for name in names}


def _expiries_of(
    instruments: list[Instrument], time: datetime, forward_usd: FloatArray, mark: FloatArray
) -> tuple[tuple[ExpiryForward, ...], IndexArray]:
    """Return the expiries, by underlying and expiry, and the index of each option's expiry."""
    keys = sorted({(i.underlying, i.expiry) for i in instruments if i.expiry is not None})
    rows_of: dict[tuple[str, datetime], list[int]] = {key: [] for key in keys}
    for row, instrument in enumerate(instruments):
        if instrument.expiry is not None:
            rows_of[instrument.underlying, instrument.expiry].append(row)
    expiries = tuple(
        ExpiryForward(
            u,
            expiry,
            _forward(instruments, rows_of[u, expiry], forward_usd, mark),
            tenor_years(time, expiry),
        )
        for u, expiry in keys
    )
    position = {key: i for i, key in enumerate(keys)}
    index = [position[i.underlying, i.expiry] for i in instruments if i.expiry is not None]
    return expiries, np.array(index, np.int32)


def _forward(
    instruments: list[Instrument], rows: list[int], forward_usd: FloatArray, mark: FloatArray
) -> float:
    """Return the median of the given forwards or, without any, that implied by put-call parity.

    Linear marks: F = K + C - P without discounting; inverse ones, in coins: F = K / (1 - C + P).
    """
    given = _median(forward_usd[rows])
    if np.isfinite(given):
        return given
    pairs: dict[float, dict[bool, int]] = {}
    for row in rows:
        instrument = instruments[row]
        if instrument.strike is not None and np.isfinite(mark[row]):
            pairs.setdefault(instrument.strike, {})[bool(instrument.is_call)] = row
    found: list[float] = []
    for strike, sides in pairs.items():
        if len(sides) == 2:
            difference = float(mark[sides[True]] - mark[sides[False]])
            if not instruments[sides[True]].is_inverse:
                found.append(strike + difference)
            elif difference < 1.0:
                found.append(strike / (1.0 - difference))
    return float(np.median(found)) if found else float("nan")


def snapshot_to_chain(snapshot: MarketSnapshot) -> pa.Table:
    """Return the options of a snapshot as a chain table.

    `snapshot_from_chain` returns an equal snapshot if every expiry and every underlying has options
    and the discount rate is 0.
    """
    options = snapshot.options
    expiry = [snapshot.expiries[e] for e in options.expiry_index]
    n = len(options)
    return pa.table(
        {
            "snapshot": pa.array([snapshot.time] * n, pa.timestamp("us", "UTC")),
            "instrument_name": list(options.names),
            "underlying": [e.forward_usd for e in expiry],
            "index_price": [snapshot.index_usd[e.underlying] for e in expiry],
            "bid_price": options.bid,
            "ask_price": options.ask,
            "mark_price": options.mark,
            "implied_volatility": options.mark_vol,
            "open_interest": options.open_interest,
            "volume": options.volume,
        }
    )


def with_listed_futures(
    snapshot: MarketSnapshot, futures: dict[tuple[str, datetime], float]
) -> MarketSnapshot:
    """Return the snapshot with the forwards of listed futures.

    Parameters
    ----------
    snapshot : MarketSnapshot
    futures : dict
        (underlying, expiry) to price in US dollars. A price replaces the forward of an expiry that
        the snapshot has; other expiries that have not passed are appended if the snapshot has an
        index of the underlying.
    """
    known = {(e.underlying, e.expiry): e for e in snapshot.expiries}
    extra = [
        ExpiryForward(u, expiry, price, tenor_years(snapshot.time, expiry))
        for (u, expiry), price in sorted(futures.items())
        if (u, expiry) not in known and expiry > snapshot.time and u in snapshot.index_usd
    ]
    kept = tuple(
        replace(e, forward_usd=futures.get((e.underlying, e.expiry), e.forward_usd))
        for e in snapshot.expiries
    )
    return replace(snapshot, expiries=kept + tuple(extra))


def with_perpetuals(snapshot: MarketSnapshot, prices: dict[str, float]) -> MarketSnapshot:
    """Return the snapshot with prices of perpetuals, US dollars per coin by underlying.

    Prices of underlyings without an index are left out.
    """
    known = {u: price for u, price in sorted(prices.items()) if u in snapshot.index_usd}
    return replace(snapshot, perpetual_usd=snapshot.perpetual_usd | known)


def _median(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def _positive_or_nan(values: FloatArray) -> FloatArray:
    return np.where(values > 0, values, np.nan)
