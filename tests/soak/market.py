"""The small market that the soak test serves: snapshots at any time, scenarios, and a first book.

Everything is a pure function of a `MarketSpec`, so that the sequence of snapshots follows from the
operations that were drawn and not from what the service answered.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf.timestamp_pb2 import Timestamp
from made import made_scenarios
from margin_cluster.sources import ParquetStore, snapshot_from_toml
from margin_protos.v1 import market_data_service_pb2 as pb

from margin_actors.engine.scenarios import ScenarioSet, scenario_set_to_table
from margin_actors.market.instruments import expiry_label, instrument_from_name
from margin_actors.market.snapshots import (
    ExpiryForward,
    MarketSnapshot,
    OptionQuotes,
    tenor_years,
)
from margin_actors.numerics.black76 import black76_price

START = datetime(2025, 1, 6, 0, 0, tzinfo=UTC)
N_SCENARIOS, N_ACCOUNTS = 500, 20
STRIKES = {
    "BTC": (42_000, 50_000, 58_000, 66_000, 74_000, 82_000),
    "ETH": (2_000, 2_400, 2_800, 3_200, 3_600, 4_000),
}
_INDEX = {"BTC": 60_000.0, "ETH": 3_000.0}
_VOL = {"BTC": 0.55, "ETH": 0.68}
_QUOTES = ("bid", "ask", "mark", "mark_vol", "open_interest", "volume")
QUOTES_A_MESSAGE = 50
MODEL = """extends = "hs-surface"
name = "soak"
version = "1"
[scenarios]
windows = 500
surface_moves = "none"
"""


@dataclass(frozen=True)
class MarketSpec:
    """What decides a snapshot."""

    time: datetime = START
    steps: tuple[int, int] = (0, 0)
    """Log index of BTC and of ETH, thousandths above their first prices."""
    vol_step: int = 0
    """Volatility, hundredths above the first."""
    missing_underlying: str = ""
    """Left out with all its options."""
    missing_expiry: int = -1
    """Number of a listed expiry that is left out with its options; -1 for none."""


def listed_expiries(time: datetime) -> list[datetime]:
    """Return the next two days, the next two Fridays after them and the Friday eight weeks on."""
    first = time.replace(hour=8, minute=0, second=0, microsecond=0)
    if first <= time:
        first += timedelta(days=1)
    days = [first, first + timedelta(days=1)]
    friday = days[1] + timedelta(days=1 + (4 - days[1].weekday() - 1) % 7)
    return [*days, friday, friday + timedelta(days=7), friday + timedelta(days=56)]


def option_name(underlying: str, expiry: datetime, strike: int, right: str) -> str:
    return f"{underlying}-{expiry_label(expiry)}-{strike}-{right}"


def _quotes_of(
    underlying: str, spec: MarketSpec, forward: float, tenor: float
) -> tuple[np.ndarray, ...]:
    """Return (bid, ask, mark, volatility) of puts and calls in turn, strike by strike."""
    strikes = np.repeat(np.array(STRIKES[underlying], np.float64), 2)
    k = np.log(strikes / forward)
    level = _VOL[underlying] + 0.01 * spec.vol_step
    vol = np.round(np.sqrt(level**2 + 0.05 * k * k - 0.02 * k), 4)
    is_call = np.tile(np.array([False, True]), strikes.size // 2)
    mark = black76_price(forward, strikes, vol * np.sqrt(tenor), is_call) / forward
    tick = 0.0005
    bid = np.floor(mark / tick) * tick - tick
    return np.where(bid > 0, bid, np.nan), np.ceil(mark / tick) * tick + tick, mark, vol


@lru_cache(maxsize=64)
def snapshot_of(spec: MarketSpec) -> MarketSnapshot:
    """Return the snapshot that a specification describes."""
    index: dict[str, float] = {}
    expiries: list[ExpiryForward] = []
    names: list[str] = []
    columns: list[tuple[np.ndarray, ...]] = []
    for u, step in zip(("BTC", "ETH"), spec.steps, strict=True):
        if u == spec.missing_underlying:
            continue
        index[u] = round(_INDEX[u] * float(np.exp(step / 1000)), 2)
        for number, expiry in enumerate(listed_expiries(spec.time)):
            if number == spec.missing_expiry:
                continue
            tenor = tenor_years(spec.time, expiry)
            forward = round(index[u] * float(np.exp(0.04 * tenor)), 2)
            expiries.append(ExpiryForward(u, expiry, forward, tenor))
            names += [option_name(u, expiry, s, r) for s in STRIKES[u] for r in ("P", "C")]
            columns.append(_quotes_of(u, spec, forward, tenor))
    n_each = 2 * len(STRIKES["BTC"])
    parsed = [instrument_from_name(name) for name in names]
    bid, ask, mark, vol = (np.concatenate([c[i] for c in columns]) for i in range(4))
    return MarketSnapshot(
        time=spec.time,
        index_usd=index,
        expiries=tuple(expiries),
        options=OptionQuotes(
            names=tuple(names),
            expiry_index=np.repeat(np.arange(len(expiries), dtype=np.int32), n_each),
            strike_usd=np.array([i.strike for i in parsed], np.float64),
            is_call=np.array([i.is_call for i in parsed], np.bool_),
            is_inverse=np.ones(len(names), np.bool_),
            bid=bid,
            ask=ask,
            mark=mark,
            mark_vol=vol,
            open_interest=np.full(len(names), 1_000.0),
            volume=np.full(len(names), 100.0),
        ),
        is_synthetic=True,
    )


def stamp(time: datetime) -> Timestamp:
    out = Timestamp()
    out.FromDatetime(time.astimezone(UTC).replace(tzinfo=None))
    return out


def header_of(snapshot: MarketSnapshot) -> pb.SnapshotHeader:
    return pb.SnapshotHeader(
        time=stamp(snapshot.time),
        index_prices=[
            pb.IndexPrice(underlying=u, price_usd=p) for u, p in snapshot.index_usd.items()
        ],
        expiries=[
            pb.ExpiryForward(
                underlying=e.underlying, expiry=stamp(e.expiry), forward_usd=e.forward_usd
            )
            for e in snapshot.expiries
        ],
        discount_annual=snapshot.discount_annual,
        is_synthetic=snapshot.is_synthetic,
    )


def quotes_of(snapshot: MarketSnapshot, first: int, last: int) -> pb.OptionQuoteColumns:
    options = snapshot.options
    numbers = {name: getattr(options, name)[first:last].tolist() for name in _QUOTES}
    return pb.OptionQuoteColumns(instrument_name=options.names[first:last], **numbers)


def publication(
    snapshot: MarketSnapshot, *, key: str = "", allow_older: bool = False
) -> Iterator[pb.PublishSnapshotRequest]:
    """Yield the stream that publishes a snapshot."""
    yield pb.PublishSnapshotRequest(
        header=header_of(snapshot), idempotency_key=key, allow_older=allow_older
    )
    count = len(snapshot.options)
    for first in range(0, count, QUOTES_A_MESSAGE):
        last = min(first + QUOTES_A_MESSAGE, count)
        yield pb.PublishSnapshotRequest(
            quotes=quotes_of(snapshot, first, last), is_last=last == count
        )


def first_positions() -> dict[str, tuple[str, dict[str, float]]]:
    """Return (member, quantity by instrument) of each account of the first book."""
    rng = np.random.default_rng(11)
    snapshot = snapshot_of(MarketSpec())
    futures = [f"{e.underlying}-{expiry_label(e.expiry)}" for e in snapshot.expiries]
    out: dict[str, tuple[str, dict[str, float]]] = {}
    for a in range(N_ACCOUNTS):
        names = rng.choice(snapshot.options.names, 6, replace=False).tolist()
        held = {str(n): round(0.01 * int(rng.integers(-900, 900)) + 0.01, 2) for n in names}
        held["BTC-PERPETUAL"] = 10.0 * int(rng.integers(-90_000, 90_000)) + 10.0
        held[str(rng.choice(futures))] = 10.0 * int(rng.integers(1, 9_000))
        held["ETH_USDC"] = round(0.01 * int(rng.integers(1, 5_000)), 2)
        out[f"A{a:02d}"] = (f"M{a // 4}", held)
    return out


def _toml_of(snapshot: MarketSnapshot) -> str:
    lines = [f"time = {snapshot.time:%Y-%m-%dT%H:%M:%SZ}", "[index]"]
    lines += [f"{u} = {p!r}" for u, p in snapshot.index_usd.items()]
    options = snapshot.options
    for row, name in enumerate(options.names):
        forward = snapshot.expiries[options.expiry_index[row]].forward_usd
        lines += ["[[option]]", f'name = "{name}"', f"forward = {forward!r}"]
        lines.append(f"volatility = {float(options.mark_vol[row])!r}")
        for field in ("bid", "ask", "mark", "open_interest", "volume"):
            value = float(getattr(options, field)[row])
            if not np.isnan(value):
                lines.append(f"{field} = {value!r}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Seed:
    """Files that the command line names, and what they hold."""

    snapshot_file: Path
    book_file: Path
    model_file: Path
    store: Path
    snapshot: MarketSnapshot
    scenarios: ScenarioSet
    positions: dict[str, tuple[str, dict[str, float]]]


def write_seed(folder: Path, store: Path) -> Seed:
    """Write the files of the command line and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    toml, book, model = (folder / n for n in ("market.toml", "book.parquet", "model.toml"))
    toml.write_text(_toml_of(snapshot_of(MarketSpec())))
    model.write_text(MODEL)
    positions = first_positions()
    rows = [
        (member, account, name, quantity)
        for account, (member, held) in positions.items()
        for name, quantity in held.items()
    ]
    names = ("member_id", "account_id", "instrument_name", "quantity")
    pq.write_table(pa.table({n: [r[i] for r in rows] for i, n in enumerate(names)}), book)
    scenarios = replace(made_scenarios(N_SCENARIOS))
    ParquetStore(store).put("scenarios", scenarios.id, scenario_set_to_table(scenarios))
    return Seed(toml, book, model, store, snapshot_from_toml(toml), scenarios, positions)
