"""A snapshot written by hand: index prices, options and futures in one TOML file.

time = 2024-02-15T08:00:00Z
[index]                 # every underlying of the book
BTC = 52000.0
[[option]]              # optional: every option of the book
name = "BTC-16MAR24-50000-C"
forward = 52000.0       # optional, by default the index
volatility = 0.65
bid = 0.08              # optional, coins per coin (linear options: US dollars)
ask = 0.09              # optional
open_interest = 100.0   # optional, coins
[[future]]              # optional: the forward of an expiry, with or without options
name = "BTC-29MAR24"
price = 52600.0
[[future]]              # optional: the price of the perpetual, by default the index
name = "BTC-PERPETUAL"
price = 52010.0
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from margin_actors.errors import InvalidMarketData, Problem, raise_if_any
from margin_actors.market.chains import (
    ChainQuotes,
    snapshot_from_quotes,
    with_listed_futures,
    with_perpetuals,
)
from margin_actors.market.instruments import Instrument, Kind, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.sources.files import read_toml

_NUMBERS = {"forward", "volatility", "bid", "ask", "mark", "open_interest", "volume"}
_SECTIONS = {"time", "index", "option", "future"}


def snapshot_from_toml(path: Path) -> MarketSnapshot:
    """Return the snapshot that a TOML file describes.

    Raises
    ------
    InvalidMarketData
        If the file is absent or not TOML; otherwise naming every fault of its content.
    """
    content = read_toml(path, what="snapshot", error=InvalidMarketData)
    where = str(path)
    problems: list[Problem] = []
    time = content.get("time")
    if not isinstance(time, datetime):
        problems.append(Problem(where, "time is missing", "give time = 2024-02-15T08:00:00Z"))
        time = datetime(1970, 1, 1, tzinfo=UTC)
    elif time.tzinfo is None:
        problems.append(Problem(where, f"time {time} has no time zone", "end it with Z"))
        time = time.replace(tzinfo=UTC)
    for key in sorted(content.keys() - _SECTIONS):
        known = "time, [index], [[option]] and [[future]]"
        problems.append(Problem(where, f"unknown field {key!r}", f"known are {known}"))
    prices = _read_index(content.get("index"), where, problems)
    rows = content.get("option", [])
    if not isinstance(rows, list):
        problems.append(Problem(where, "[option] is not a list", "write [[option]]"))
        rows = []
    instruments: list[Instrument] = []
    values: list[dict[str, float]] = []
    for number, row in enumerate(rows, 1):
        _read_option(row, f"{where}, option {number}", time, prices, instruments, values, problems)
    rows = content.get("future", [])
    futures, perpetuals = _read_futures(rows, where, time, prices, problems)
    raise_if_any(problems, InvalidMarketData, f"the snapshot {where} cannot be used")

    def column(name: str) -> np.ndarray:
        return np.array([v.get(name, np.nan) for v in values], np.float64)

    quotes = ChainQuotes(
        forward_usd=column("forward"),
        index_usd=np.array([prices[i.underlying] for i in instruments]),
        bid=column("bid"),
        ask=column("ask"),
        mark=column("mark"),
        mark_vol=column("volatility"),
        open_interest=column("open_interest"),
        volume=column("volume"),
    )
    snapshot = snapshot_from_quotes(instruments, quotes, time=time, origin=where)
    every_index = replace(snapshot, index_usd=dict(sorted(prices.items())))
    return with_perpetuals(with_listed_futures(every_index, futures), perpetuals)


def _read_index(index: object, where: str, problems: list[Problem]) -> dict[str, float]:
    """Return the index price of each underlying, US dollars per coin."""
    if not isinstance(index, dict) or not index:
        problems.append(Problem(where, "[index] is missing", "give a price for each underlying"))
        return {}
    prices: dict[str, float] = {}
    for underlying, price in index.items():
        if isinstance(price, bool) or not isinstance(price, (int, float)) or not price > 0:
            what = f"the index of {underlying} is {price!r}"
            problems.append(Problem(where, what, "give a number above 0, US dollars per coin"))
        else:
            prices[str(underlying)] = float(price)
    return prices


def _read_futures(
    rows: object,
    where: str,
    time: datetime,
    prices: dict[str, float],
    problems: list[Problem],
) -> tuple[dict[tuple[str, datetime], float], dict[str, float]]:
    """Return the prices of dated futures by underlying and expiry, and of perpetuals."""
    futures: dict[tuple[str, datetime], float] = {}
    perpetuals: dict[str, float] = {}
    if not isinstance(rows, list):
        problems.append(Problem(where, "[future] is not a list", "write [[future]]"))
        return futures, perpetuals
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            problems.append(Problem(f"{where}, future {number}", "is not a table"))
            continue
        price = row.get("price")
        try:
            instrument = instrument_from_name(str(row.get("name", "")))
        except ValueError as fault:
            problems.append(Problem(f"{where}, future {number}", str(fault)))
            continue
        if instrument.kind not in (Kind.FUTURE, Kind.PERPETUAL):
            problems.append(
                Problem(f"{where}, future {number}", f"{instrument.name} is not a future")
            )
        elif not isinstance(price, (int, float)) or not price > 0:
            problems.append(Problem(f"{where}, future {number}", f"price is {price!r}"))
        elif instrument.underlying not in prices:
            what = f"[index] has no {instrument.underlying}"
            problems.append(Problem(f"{where}, future {number}", what, "add its index price"))
        elif instrument.expiry is None:
            perpetuals[instrument.underlying] = float(price)
        elif instrument.expiry <= time:
            what = f"{instrument.name} has expired by {time}"
            problems.append(Problem(f"{where}, future {number}", what, "leave it out"))
        else:
            futures[instrument.underlying, instrument.expiry] = float(price)
    return futures, perpetuals


def _read_option(
    row: object,
    where: str,
    time: datetime,
    prices: dict[str, float],
    instruments: list[Instrument],
    values: list[dict[str, float]],
    problems: list[Problem],
) -> None:
    if not isinstance(row, dict):
        problems.append(Problem(where, "is not a table"))
        return
    try:
        instrument = instrument_from_name(str(row.get("name", "")))
    except ValueError as fault:
        problems.append(Problem(where, str(fault)))
        return
    if instrument.kind is not Kind.OPTION or instrument.expiry is None:
        problems.append(Problem(where, f"{instrument.name} is not an option"))
        return
    if instrument.expiry <= time:
        problems.append(Problem(where, f"{instrument.name} has expired by {time}"))
    if instrument.underlying not in prices:
        problems.append(Problem(where, f"[index] has no {instrument.underlying}"))
        return
    numbers: dict[str, float] = {}
    for key, value in row.items():
        if key == "name":
            continue
        if key not in _NUMBERS:
            known = ", ".join(sorted(_NUMBERS))
            problems.append(Problem(where, f"unknown field {key!r}", f"known are {known}"))
        elif not isinstance(value, (int, float)) or not value >= 0:
            problems.append(Problem(where, f"{key} is {value!r}", "give a number of at least 0"))
        else:
            numbers[key] = float(value)
    numbers.setdefault("forward", prices[instrument.underlying])
    instruments.append(instrument)
    values.append(numbers)
