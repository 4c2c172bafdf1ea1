"""A made-up market with the form of the real one; whatever shows it says that it is synthetic."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from margin_actors.market.candles import Candles
from margin_actors.market.chains import snapshot_from_chain
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.synthetic.book import book_table, collateral_table
from margin_actors.market.synthetic.chain import chain_table, slice_variance
from margin_actors.market.synthetic.prices import (
    UNDERLYINGS,
    SyntheticPath,
    synthetic_candles,
    synthetic_path,
)
from margin_actors.numerics.counter_random import normals
from margin_actors.numerics.elementary import exponentials

END = np.datetime64("2026-01-16T00:00:00", "ms")
"""Valuation time of the data set; its prices begin six years earlier."""
SEED = 20260116
VERSION = 1
"""Rises when the generator's output changes."""


@dataclass(frozen=True)
class SyntheticMarket:
    """Everything that a run needs, in the tables that files hold."""

    path: SyntheticPath
    candles: dict[str, list[Candles]]
    chain: pa.Table
    snapshot: MarketSnapshot
    book: pa.Table
    collateral: pa.Table


def synthetic_market(
    seed: int = SEED, *, n_days: int = 2191, history_days: int = 75, n_accounts: int = 100
) -> SyntheticMarket:
    """Return the whole data set; equal arguments give equal bits on every machine."""
    path = synthetic_path(seed, END, n_days)
    chain = chain_table(path, seed, history_days=history_days)
    time = END.astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC)
    snapshot = snapshot_from_chain(chain, time=time, origin="synthetic chain", is_synthetic=True)
    book = book_table(snapshot, seed, n_accounts=n_accounts)
    return SyntheticMarket(
        path=path,
        candles={u: synthetic_candles(path, seed, u) for u in UNDERLYINGS},
        chain=chain,
        snapshot=snapshot,
        book=book,
        collateral=collateral_table(book, snapshot, seed),
    )


def volatility_index(path: SyntheticPath, seed: int, underlying: str) -> pa.Table:
    """Return a made-up 30-day volatility index, points, by the day it closes."""
    long_run = {"BTC": 0.55, "ETH": 0.68}[underlying]
    level = path.volatility[underlying]
    tenor = 30.0 / 365.0
    at_money = [slice_variance(np.zeros(1), tenor, float(v), long_run, 0.0, 1.0)[0] for v in level]
    values = 100.0 * np.sqrt(np.array(at_money) / tenor)
    stream = 900_000 + UNDERLYINGS.index(underlying)
    values *= exponentials(
        0.02 * normals(seed, stream, values.size)
    )  # another method, other quotes
    days = (path.time - np.timedelta64(86_400_000, "ms")).astype("datetime64[ms]")
    return pa.table({"date": pa.array(days), "close": np.round(values, 2)})


__all__ = [
    "END",
    "SEED",
    "UNDERLYINGS",
    "VERSION",
    "SyntheticMarket",
    "synthetic_market",
    "volatility_index",
]
