"""Synthetic market data in the format of the real data; every output that uses it is marked."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from margin_actors.arrays import DAY_MS
from margin_actors.market.candles import Candles
from margin_actors.market.chains import snapshot_from_chain
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.synthetic.book import book_table, collateral_table
from margin_actors.market.synthetic.chain import chain_table, slice_variance
from margin_actors.market.synthetic.perpetuals import perpetual_candles
from margin_actors.market.synthetic.prices import (
    UNDERLYINGS,
    SyntheticPath,
    synthetic_candles,
    synthetic_path,
)
from margin_actors.numerics.counter_random import normals
from margin_actors.numerics.elementary import exponentials

END = np.datetime64("2026-01-16T00:00:00", "ms")
"""Valuation time of the data set, UTC; by default its prices begin six years earlier."""
SEED = 20260116
"""Seed of the embedded data set."""
VERSION = 2
"""Version of the generator; increased whenever its output changes."""


@dataclass(frozen=True)
class SyntheticMarket:
    """All inputs of a calculation, as the tables stored in the files of a data folder."""

    path: SyntheticPath
    candles: dict[str, list[Candles]]
    """Daily price sources of each underlying."""
    chain: pa.Table
    """Option chains of the last days; columns of `CHAIN_COLUMNS`."""
    snapshot: MarketSnapshot
    """Snapshot of the last chain, at `END`."""
    book: pa.Table
    """Columns of `BOOK_COLUMNS`."""
    collateral: pa.Table
    """Columns ``account_id``, ``asset``, ``amount``."""


def synthetic_market(
    seed: int = SEED, *, n_days: int = 2191, history_days: int = 75, n_accounts: int = 100
) -> SyntheticMarket:
    """Return the whole data set; equal arguments give bitwise equal results on every machine.

    Parameters
    ----------
    seed : int
    n_days : int
        Days of the price history, the last one ending at `END`.
    history_days : int
        Days with an option chain, the last one included.
    n_accounts : int
        Accounts among which positions are distributed.
    """
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
    """Return a synthetic daily 30-day volatility index.

    Returns
    -------
    pyarrow.Table
        ``date`` is the start of the day (00:00 UTC), whose value is known at its end; ``close`` is
        in volatility points (percent, annual). One row per day of `path`.
    """
    long_run = {"BTC": 0.55, "ETH": 0.68}[underlying]
    level = path.volatility[underlying]
    tenor = 30.0 / 365.0
    at_money = [slice_variance(np.zeros(1), tenor, float(v), long_run, 0.0, 1.0)[0] for v in level]
    values = 100.0 * np.sqrt(np.array(at_money) / tenor)
    stream = 900_000 + UNDERLYINGS.index(underlying)
    # Noise: a published index is computed by another method from other quotes.
    values *= exponentials(0.02 * normals(seed, stream, values.size))
    days = (path.time - np.timedelta64(DAY_MS, "ms")).astype("datetime64[ms]")
    return pa.table({"date": pa.array(days), "close": np.round(values, 2)})


__all__ = [
    "END",
    "SEED",
    "UNDERLYINGS",
    "VERSION",
    "SyntheticMarket",
    "perpetual_candles",
    "synthetic_market",
    "volatility_index",
]
