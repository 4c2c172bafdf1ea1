from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from margin_actors.errors import InvalidMarketData, MissingMarketData
from margin_actors.market.book_summary import chain_from_book_summary
from margin_actors.market.chains import (
    snapshot_from_chain,
    snapshot_times,
    snapshot_to_chain,
    with_listed_futures,
)
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import fit_surfaces

NOW = datetime(2026, 1, 16, tzinfo=UTC)


def test_a_snapshot_is_the_same_after_being_a_chain(snapshot: MarketSnapshot) -> None:
    table = snapshot_to_chain(snapshot)
    again = snapshot_from_chain(table, time=snapshot.time, origin="x", is_synthetic=True)
    assert again.id == snapshot.id


def test_the_median_over_rows_is_the_forward_and_the_index(snapshot: MarketSnapshot) -> None:
    table = snapshot_to_chain(snapshot)
    forward = table.column("underlying").to_numpy().copy()
    index = table.column("index_price").to_numpy().copy()
    forward[::3] *= 1.001
    index[::3] *= 1.001
    moved = table.set_column(2, "underlying", [forward]).set_column(3, "index_price", [index])
    again = snapshot_from_chain(moved, time=NOW, origin="x")
    assert again.index_usd == snapshot.index_usd
    assert [e.forward_usd for e in again.expiries] == [e.forward_usd for e in snapshot.expiries]


def test_without_a_forward_put_call_parity_gives_it(snapshot: MarketSnapshot) -> None:
    table = snapshot_to_chain(snapshot)
    blind = table.set_column(2, "underlying", [np.full(table.num_rows, np.nan)])
    again = snapshot_from_chain(blind, time=NOW, origin="x")
    for found, known in zip(again.expiries, snapshot.expiries, strict=True):
        assert found.forward_usd == pytest.approx(known.forward_usd, rel=2e-7)


def test_without_a_forward_and_without_marks_the_expiry_is_named(snapshot: MarketSnapshot) -> None:
    table = snapshot_to_chain(snapshot)
    nothing = [np.full(table.num_rows, np.nan)]
    blind = table.set_column(2, "underlying", nothing).set_column(6, "mark_price", nothing)
    with pytest.raises(InvalidMarketData) as caught:
        snapshot_from_chain(blind, time=NOW, origin="x")
    assert "forward of BTC 2026-01-16: nan is not a price" in str(caught.value)


def test_expired_rows_are_left_out_and_bad_names_are_all_named(snapshot: MarketSnapshot) -> None:
    table = snapshot_to_chain(snapshot)
    names = table.column("instrument_name").to_pylist()
    names[0] = "BTC-1JAN26-90000-C"
    expired = snapshot_from_chain(
        table.set_column(1, "instrument_name", [names]), time=NOW, origin="x"
    )
    assert len(expired.options) == len(snapshot.options) - 1
    names[5], names[9], names[12] = "what", names[8], None
    with pytest.raises(InvalidMarketData) as caught:
        snapshot_from_chain(
            table.set_column(1, "instrument_name", [names]), time=NOW, origin="c.parquet"
        )
    text = str(caught.value)
    assert "c.parquet, row 5: 'what' is not" in text
    assert f"{names[8]} appears twice" in text
    assert "row 12: ''" in text


def test_a_time_that_is_not_there_names_the_nearest(snapshot: MarketSnapshot) -> None:
    table = snapshot_to_chain(snapshot)
    with pytest.raises(MissingMarketData) as caught:
        snapshot_from_chain(table, time=datetime(2026, 1, 15, 23, tzinfo=UTC), origin="x")
    assert "2026-01-16T00:00:00Z" in str(caught.value)
    assert snapshot_times(table).size == 1


def test_missing_columns_are_all_named(snapshot: MarketSnapshot) -> None:
    table = snapshot_to_chain(snapshot).drop_columns(["bid_price", "volume"])
    table = table.set_column(1, "instrument_name", pa.array(range(table.num_rows)))
    with pytest.raises(InvalidMarketData) as caught:
        snapshot_from_chain(table, time=NOW, origin="x")
    for part in ("'bid_price' is missing", "'volume' is missing", "'instrument_name' is int64"):
        assert part in str(caught.value)


def test_listed_futures_replace_medians_and_add_expiries(snapshot: MarketSnapshot) -> None:
    first, new = snapshot.expiries[0], datetime(2027, 12, 31, 8, tzinfo=UTC)
    more = with_listed_futures(
        snapshot, {("BTC", first.expiry): 123.0, ("BTC", new): 456.0, ("DOGE", new): 1.0}
    )
    assert more.expiries[0].forward_usd == 123.0
    assert more.expiry_row["BTC", new] == len(snapshot.expiries)
    assert len(more.expiries) == len(snapshot.expiries) + 1


def test_a_price_that_is_none_makes_a_snapshot_unusable(snapshot: MarketSnapshot) -> None:
    with pytest.raises(InvalidMarketData, match="unusable"):
        replace(snapshot, index_usd={"BTC": -1.0, "ETH": 3.0})


def test_a_book_summary_is_a_chain_with_or_without_volatilities(snapshot: MarketSnapshot) -> None:
    chain = snapshot_to_chain(snapshot)
    stamp = int(snapshot.time.timestamp() * 1000)
    summary = {
        "instrument_name": chain.column("instrument_name"),
        "underlying_price": chain.column("underlying"),
        "estimated_delivery_price": chain.column("index_price"),
        "creation_timestamp": [stamp + 17] * chain.num_rows,
        **{
            n: chain.column(n)
            for n in ("bid_price", "ask_price", "mark_price", "open_interest", "volume")
        },
    }
    percent = 100.0 * chain.column("implied_volatility").to_numpy()
    for columns in (summary | {"mark_iv": percent}, summary):
        table = chain_from_book_summary(pa.table(columns), origin="x")
        again = snapshot_from_chain(table, time=snapshot.time, origin="x")
        assert again.index_usd == snapshot.index_usd
        solvable = np.isfinite(again.options.mark_vol) & (snapshot.options.mark > 1e-4)
        solvable &= snapshot.options.mark < 0.5
        assert solvable.mean() > 0.6
        np.testing.assert_allclose(
            again.options.mark_vol[solvable], snapshot.options.mark_vol[solvable], rtol=2e-3
        )
    with pytest.raises(InvalidMarketData, match="does not have the columns"):
        chain_from_book_summary(chain, origin="x")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "time", "options"),
    [
        ("deribit_2025-06-14_BTC_book_summary", datetime(2025, 6, 14, 21, 58, 19, tzinfo=UTC), 746),
        ("deribit_2024-01-08_ETH_book_summary", datetime(2024, 1, 8, 11, 19, 41, tzinfo=UTC), 684),
    ],
)
def test_recorded_book_summaries_are_fitted_without_arbitrage(
    data_root: Path, name: str, time: datetime, options: int
) -> None:
    table = pq.read_table(data_root / "options" / f"{name}.parquet")
    snapshot = snapshot_from_chain(
        chain_from_book_summary(table, origin=name), time=time, origin=name
    )
    assert len(snapshot.options) == options
    (surface,) = fit_surfaces(snapshot).values()
    assert all(d.is_arbitrage_free for d in surface.diagnostics)
