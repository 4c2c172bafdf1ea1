# pyright: basic
"""A synthetic market, scenario set and book of any size, for benchmarks."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from margin_actors.engine.parameters import ModelParameters, parameters_from_mapping
from margin_actors.engine.scenarios import Provenance, ScenarioSet
from margin_actors.market.chains import snapshot_from_chain
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.synthetic.chain import chain_table
from margin_actors.market.synthetic.prices import synthetic_path

END = np.datetime64("2026-01-16T00:00:00", "ms")
DAY = np.timedelta64(86_400_000, "ms")


@dataclass(frozen=True)
class Made:
    snapshot: MarketSnapshot
    scenarios: ScenarioSet
    book: pa.Table
    model: ModelParameters


def model() -> ModelParameters:
    """Return the default model: SVI smiles, sticky moneyness, surface moves, exact sums."""
    return parameters_from_mapping({"extends": "hs-surface"}, where="benchmark")


def make(
    *, n_accounts: int, n_positions: int, n_instruments: int, n_scenarios: int, seed: int = 7
) -> Made:
    path = synthetic_path(seed, END, n_scenarios + 3)
    n_strikes = int(n_instruments / 26 / 2 * 1.35) + 2
    # The scenarios may need centuries of prices; the current market is drawn from a few years.
    today = synthetic_path(seed, END, min(n_scenarios, 2_560) + 3)
    table = chain_table(today, seed, history_days=1, n_strikes=n_strikes)
    time = END.astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC)
    snapshot = snapshot_from_chain(table, time=time, origin="made", is_synthetic=True)
    return Made(
        snapshot,
        scenarios(path.price_usd, n_scenarios, seed),
        book(snapshot, n_accounts, n_positions, n_instruments, seed),
        model(),
    )


def scenarios(prices: dict[str, np.ndarray], n: int, seed: int) -> ScenarioSet:
    """Return overlapping 2-day returns with synthetic surface moves of a realistic size."""
    rng = np.random.default_rng(seed)
    names = tuple(sorted(prices))
    spot = np.stack([np.log(prices[u][2:] / prices[u][:-2])[-n:] for u in names], axis=1)
    level = -0.4 * spot + 1.2 * np.maximum(-spot, 0) + rng.normal(0, 0.05, spot.shape)
    vol = level[:, :, None, None] * np.linspace(1.4, 0.4, 7)[None, None, :, None]
    vol = vol + rng.normal(0, 0.01, (n, len(names), 7, 7))
    end = END - DAY * np.arange(n)[::-1]
    return ScenarioSet(
        engine="historical",
        underlyings=names,
        horizon_hours=48.0,
        start_time=end - 2 * DAY,
        end_time=end,
        spot_return=spot,
        path_hours=np.array([24.0, 48.0]),
        path_return=np.stack([0.5 * spot, spot], axis=2),
        basis_change=rng.normal(0, 0.001, (n, len(names), 7)),
        vol_change=vol,
        weight=np.full(n, 1 / n),
        provenance=np.full((n, len(names)), Provenance.OBSERVED, np.uint8),
        is_synthetic=True,
    )


def book(
    snapshot: MarketSnapshot, n_accounts: int, n_positions: int, n_instruments: int, seed: int
) -> pa.Table:
    rng = np.random.default_rng(seed)
    names = np.array(
        [*sorted(snapshot.options.names)[: n_instruments - 2], "BTC-PERPETUAL", "ETH-PERPETUAL"]
    )
    assert names.size == n_instruments, f"the chain has {names.size - 2} options"
    each = np.full(n_accounts, n_positions // n_accounts)
    each[: n_positions - each.sum()] += 1
    held = [np.sort(rng.choice(names.size, size=m, replace=False)) for m in each]
    index = np.concatenate(held)
    account = np.repeat(np.arange(n_accounts), each)
    lots = rng.integers(1, 500, index.size) * rng.choice([-1, 1], index.size)
    unit = np.where(index >= names.size - 2, 10.0, 0.1)
    return pa.table(
        {
            "member_id": pa.array([f"M{a // 5:04d}" for a in range(n_accounts)]).take(
                pa.array(account)
            ),
            "account_id": pa.array([f"A{a:05d}" for a in range(n_accounts)]).take(
                pa.array(account)
            ),
            "instrument_name": pa.array(names).take(pa.array(index)),
            "quantity": np.round(lots * unit, 1),
        }
    )
