"""The daily activity of recorded chains, read once per file."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from margin_cluster.sources import DataFolder, ParquetStore, chain_files, load_depth_history

from margin_actors.market.activity import bucket_activity
from margin_actors.market.chains import snapshot_to_chain
from margin_actors.market.snapshots import MarketSnapshot, tenor_years

DAYS = (7.0, 30.0, 90.0, 180.0)


def recorded(snapshot: MarketSnapshot, hours: float, times: float) -> MarketSnapshot:
    """Return the snapshot `hours` earlier, with its volumes multiplied."""
    time = snapshot.time - timedelta(hours=hours)
    expiries = tuple(replace(e, tenor_years=tenor_years(time, e.expiry)) for e in snapshot.expiries)
    quotes = replace(snapshot.options, volume=times * snapshot.options.volume)
    return replace(snapshot, time=time, expiries=expiries, options=quotes)


def test_a_day_is_its_last_snapshot_and_the_day_of_the_valuation_does_not_count(
    snapshot: MarketSnapshot, tmp_path, monkeypatch
) -> None:
    # The made snapshot is at midnight: the earlier ones are on the two days before.
    earlier = [recorded(snapshot, h, x) for h, x in ((30, 9.0), (26, 3.0), (20, 9.0), (2, 5.0))]
    folder = tmp_path / "options"
    folder.mkdir()
    chains = [snapshot_to_chain(item) for item in (*earlier, snapshot)]
    pq.write_table(pa.concat_tables(chains), folder / "a_chain.parquet")
    store = ParquetStore(tmp_path / "store")
    files = chain_files(tmp_path)
    found = load_depth_history(files, DAYS, until=snapshot.time, store=store)
    assert found is not None
    today = int(snapshot.time.timestamp()) // 86_400
    assert found.day.tolist() == [today - 2, today - 1]
    for row, item in enumerate((earlier[1], earlier[3])):
        expected = bucket_activity(item, DAYS)
        listed = np.isfinite(expected.typical_vega)
        np.testing.assert_array_equal(found.delta_coins[row][listed], expected.delta_volume[listed])
        index = np.array([item.index_usd[u] for u in expected.underlyings])[:, None]
        np.testing.assert_allclose(
            found.vega_coins[row][listed], (expected.vega_volume / index)[listed], rtol=1e-15
        )
    # The second reading takes the stored table and not the file.
    monkeypatch.setattr("margin_cluster.sources.depth_files.read_chain", None)
    again = load_depth_history(files, DAYS, until=snapshot.time, store=store)
    assert again is not None
    np.testing.assert_array_equal(again.delta_coins, found.delta_coins)
    assert load_depth_history(files, DAYS, until=earlier[0].time, store=store) is None
    used = DataFolder(tmp_path).chain_history(np.datetime64(snapshot.time.replace(tzinfo=None)))
    assert [item.role for item in used] == ["chain history"]
