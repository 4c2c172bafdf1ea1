"""What feeds record: complete minutes without duplicates or holes, found by the readers."""

import gzip
import json
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from margin_cluster.feeds import (
    FundingRate,
    IndexTick,
    Recorder,
    StatusChange,
    Trade,
    TradesComplete,
    TradesLost,
    VolatilityTick,
)
from margin_cluster.feeds.bars import OpenMinutes, minute_bars
from margin_cluster.feeds.deribit.messages import trade_of
from margin_cluster.feeds.minute_files import MinuteFiles
from margin_cluster.feeds.recorder import RecordingRules
from margin_cluster.feeds.recording_lock import recording_lock
from margin_cluster.feeds.trade_archives import record_archive, trades_from_archive
from margin_cluster.sources import DataFolder, chain_files, load_snapshot
from small_chain import small_snapshot

from margin_actors.errors import InvalidMarketData

START = 1_767_225_600_000  # 2026-01-01
NAME = "BTC-PERPETUAL"
SERIES = "deribit_perp_BTCUSD_1min"


def trade(n: int, time_ms: int, price: float = 100.0) -> Trade:
    return Trade("deribit", NAME, START + time_ms, price, 0.5, f"T{n}", n)


def complete(time_ms: int) -> TradesComplete:
    return TradesComplete("deribit", NAME, START + time_ms)


def rows(path: Path) -> list[tuple[object, ...]]:
    table = pq.read_table(path)
    return [tuple(row.values()) for row in table.to_pylist()]


def slow_bars(trades: list[tuple[int, float, float]]) -> list[tuple[int, ...]]:
    """The readable twin of `minute_bars`."""
    out = []
    for minute in sorted({t // 60_000 for t, _, _ in trades}):
        own = [x for x in trades if x[0] // 60_000 == minute]
        prices = [p for _, p, _ in own]
        volume = sum(c for _, _, c in own)
        out.append((minute, prices[0], max(prices), min(prices), prices[-1], volume, len(own)))
    return out


TRADES = st.lists(
    st.tuples(st.integers(0, 400_000), st.sampled_from([1.0, 2.0, 3.5]), st.just(0.5)),
    min_size=1, max_size=40,
)  # fmt: skip


@settings(max_examples=40)
@given(trades=TRADES)
def test_bars_agree_with_their_readable_twin(trades: list[tuple[int, float, float]]) -> None:
    trades.sort(key=lambda t: t[0])
    time, price, coins = (np.array(c) for c in zip(*trades, strict=True))
    bars = minute_bars(time.astype(np.int64), price.astype(float), coins.astype(float))
    stamps = bars.column("timestamp").cast(pa.int64()).to_numpy() // 60_000
    found = zip(stamps, *(bars.column(n).to_numpy() for n in bars.column_names[1:]), strict=True)
    assert [tuple(row) for row in found] == slow_bars(trades)


@settings(max_examples=40)
@given(trades=TRADES, seed=st.randoms(use_true_random=False))
def test_the_order_of_arrival_and_repetitions_do_not_matter(trades, seed) -> None:
    trades.sort(key=lambda t: t[0])
    in_order, shuffled = OpenMinutes(known_from_ms=0), OpenMinutes(known_from_ms=0)
    numbered = list(enumerate(trades))
    for minutes, arrivals in (
        (in_order, numbered),
        (
            shuffled,
            seed.sample(numbered, len(numbered)) + seed.sample(numbered, len(numbered) // 2),
        ),
    ):
        for n, (time, price, coins) in arrivals:
            minutes.add(time, price, coins, key=n, order=n)
    assert shuffled.close_before(500_000).equals(in_order.close_before(500_000))


def test_trades_become_minutes_that_the_data_folder_finds(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for n in range(200):  # one trade per minute, the last hours of January into February
        at = 30 * 86_400_000 + 79_200_000 + n * 60_000 + 59_999
        recorder.receive(trade(n, at, 100.0 + n))
    recorder.receive(complete(at))
    recorder.write(recorder.take())
    assert sorted(p.name for p in (tmp_path / "prices").iterdir()) == [
        f"{SERIES}-2026-01.parquet", f"{SERIES}-2026-02.parquet",
    ]  # fmt: skip
    [candles], used = DataFolder(tmp_path).candles(["*perp_{u}USD_1min"], "BTC", 60)
    assert len(candles) == 199  # the minute of the last trade may receive more
    assert candles.close.tolist() == [100.0 + n for n in range(199)]
    assert candles.volume.tolist() == [0.5] * 199
    assert len(used) == 2
    [hours], _ = DataFolder(tmp_path).candles(["*perp_{u}USD_1min"], "BTC", 3600)
    assert hours.close.tolist() == [159.0, 219.0, 279.0]


def test_a_restart_leaves_neither_duplicates_nor_holes(tmp_path: Path) -> None:
    every = [trade(n, n * 7_000, 100.0 + n % 5) for n in range(60)]

    def session(trades: list[Trade]) -> None:
        recorder = Recorder(tmp_path)
        since = recorder.resume_ms("deribit", "trades", NAME) or 0
        for item in trades:
            if item.time_ms >= since:
                recorder.receive(item)
        recorder.receive(complete(trades[-1].time_ms - START))
        recorder.write(recorder.take())

    for last in (3, 20, 21, 41, 60):
        session(every[:last])
    path = tmp_path / "prices" / f"{SERIES}-2026-01.parquet"
    found = rows(path)
    whole = tmp_path / "whole"
    recorder = Recorder(whole)
    for item in (*every, complete(59 * 7_000)):
        recorder.receive(item)
    recorder.write(recorder.take())
    assert found == rows(whole / "prices" / path.name)
    assert len(found) == 6


def test_minutes_of_lost_trades_are_absent_instead_of_wrong(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for n in range(10):
        recorder.receive(trade(n, n * 30_000))
    recorder.receive(TradesLost("deribit", NAME, START + 100_000, START + 170_000))
    recorder.receive(complete(300_000))
    recorder.write(recorder.take())
    minutes = [r[0].minute for r in rows(tmp_path / "prices" / f"{SERIES}-2026-01.parquet")]
    assert minutes == [0, 3, 4]


def test_a_late_trade_does_not_change_a_recorded_minute(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.receive(trade(1, 1_000))
    recorder.receive(complete(61_000))
    recorder.receive(trade(0, 500, 999.0))
    assert recorder.late == 1


def test_index_minutes_around_a_lost_connection_are_absent(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)

    def status(kind: str, at: int) -> StatusChange:
        return StatusChange("deribit", kind, "", "", START + at)  # type: ignore[arg-type]

    for second in range(0, 600, 5):
        if second == 200:
            recorder.receive(status("disconnected", second * 1000))
        if second == 300:
            recorder.receive(status("connected", second * 1000))
        if not 200 <= second < 330:
            recorder.receive(IndexTick("deribit", "BTC", START + second * 1000, 50.0 + second))
    recorder.write(recorder.take())
    found = rows(tmp_path / "prices" / "deribit_index_BTCUSD_1min-2026-01.parquet")
    assert [r[0].minute for r in found] == [0, 1, 2, 6, 7, 8]
    assert found[1][1:5] == (110.0, 165.0, 110.0, 165.0)


def test_volatility_becomes_days_that_the_data_folder_finds(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for minute in range(3 * 1440 + 2):
        if 1440 <= minute < 2880 and minute % 3:
            continue  # a day of which only a third is recorded is left out
        time = START + minute * 60_000
        recorder.receive(VolatilityTick("deribit", "BTC", time, 40.0 + minute / 1440))
        if minute % 2000 == 0:
            recorder.write(recorder.take())
    recorder.write(recorder.take())
    index, _ = DataFolder(tmp_path).volatility_index(["deribit_dvol_{u}_1d_ohlc"], "BTC")
    days = [np.datetime64("2026-01-02"), np.datetime64("2026-01-04")]
    assert index.time.astype("datetime64[D]").tolist() == [d.item() for d in days]
    assert index.value.tolist() == pytest.approx([40 + 1439 / 1440, 42 + 1439 / 1440])


def test_funding_rates_are_kept_once(tmp_path: Path) -> None:
    for _ in range(2):
        recorder = Recorder(tmp_path)
        for hour in range(3):
            event = FundingRate("deribit", "BTC", START + hour * 3_600_000, 1e-5 * hour)
            recorder.receive(event)
        recorder.write(recorder.take())
    found = rows(tmp_path / "rates" / "deribit_funding_BTC_1h.parquet")
    assert [r[1] for r in found] == [0.0, 1e-5, 2e-5]
    assert recorder.resume_ms("deribit", "funding", "BTC") == START + 7_200_000


def test_good_snapshots_join_the_chain_history(tmp_path: Path) -> None:
    snapshot = small_snapshot()
    ages = np.where(np.arange(len(snapshot.options)) % 2, 1.5, np.nan)
    times = [snapshot.time + timedelta(minutes=m) for m in (0, 20, 59, 60, 61, 150)]
    for time in times:
        recorder = Recorder(tmp_path, RecordingRules(chain_minutes=60))
        quotes = replace(snapshot.options, age_seconds=ages)
        recorder.keep_snapshot("deribit", replace(snapshot, time=time, options=quotes))
        recorder.write(recorder.take())
    [file] = chain_files(tmp_path)
    assert file.times.size == 3  # one per hour
    read = load_snapshot([file], times[3], tmp_path, for_gates=True)
    assert read.time == times[3]
    assert read.index_usd == snapshot.index_usd
    assert read.options.names == snapshot.options.names
    for name in ("bid", "ask", "mark", "mark_vol", "open_interest", "volume"):
        pair = (getattr(read.options, name), getattr(snapshot.options, name))
        assert np.array_equal(*pair, equal_nan=True), name
    assert read.is_synthetic
    assert np.array_equal(read.options.age_seconds, ages, equal_nan=True)


def test_a_batch_that_could_not_be_written_is_not_lost(tmp_path: Path) -> None:
    blocked = tmp_path / "data"
    blocked.write_text("a file instead of a folder")
    recorder = Recorder(blocked)
    recorder.receive(trade(1, 1_000))
    recorder.receive(complete(61_000))
    batch = recorder.take()
    with pytest.raises(OSError, match="data"):
        recorder.write(batch)
    recorder.put_back(batch)
    recorder.receive(trade(2, 61_000))
    recorder.receive(complete(121_000))
    blocked.unlink()
    recorder.write(recorder.take())
    assert len(rows(blocked / "prices" / f"{SERIES}-2026-01.parquet")) == 2


def test_one_process_records_into_a_folder(tmp_path: Path) -> None:
    with recording_lock(tmp_path) as first, recording_lock(tmp_path) as second:
        assert (first, second) == (True, False)
    with recording_lock(tmp_path) as again:
        assert again


SPOT = "1,{p},2.0,0,{us},True,True\n"
ARCHIVES = {
    "spot trades, microseconds": SPOT,
    "spot aggregates": "1,{p},2.0,11,12,{ms},True,True\n",
    "futures aggregates": "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,"
    "is_buyer_maker\n1,{p},2.0,11,12,{ms},true\n",
    "futures aggregates without a header": "1,{p},2.0,11,12,{ms},true\n",
    "futures trades": "id,price,qty,quote_qty,time,is_buyer_maker\n1,{p},2.0,0,{ms},true\n",
    "bybit": "timestamp,symbol,side,size,price,tickDirection,trdMatchID\n"
    "{s},BTCUSDT,Buy,2.0,{p},ZeroMinusTick,ab-1\n",
    "bybit inverse": "timestamp,symbol,side,size,price,tickDirection,trdMatchID\n"
    "{s},BTCUSD,Buy,{d},{p},ZeroMinusTick,ab-1\n",
    "deribit": "trade_seq,trade_id,timestamp,price,amount,direction,instrument_name\n"
    "7,x,{ms},{p},{d},buy,BTC-PERPETUAL\n",
}


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("ending", [".csv", ".zip", ".csv.gz"])
def test_public_archives_give_the_same_trades(kind: str, ending: str, tmp_path: Path) -> None:
    ms = START + 59_999
    text = ARCHIVES[kind].format(p=95_000.5, d=2 * 95_000.5, ms=ms, us=ms * 1000 + 999, s=ms / 1000)
    path = tmp_path / f"trades{ending}"
    if ending == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("trades.csv", text)
    else:
        path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    found = trades_from_archive(path)
    assert found.time_ms.tolist() == [ms]
    assert found.price.tolist() == [95_000.5]
    assert found.coins.tolist() == pytest.approx([2.0])


def test_an_archive_and_a_feed_make_the_same_minutes(tmp_path: Path) -> None:
    trades = [trade(n, n * 9_000, 100.0 + n * 7 % 11) for n in range(40)]
    recorder = Recorder(tmp_path)
    for item in (*trades, complete(39 * 9_000)):
        recorder.receive(item)
    recorder.write(recorder.take())
    header = "trade_seq,timestamp,price,amount,instrument_name\n"
    lines = [f"{t.sequence},{t.time_ms},{t.price},{t.coins * t.price},{NAME}" for t in trades]
    path = tmp_path / "archive.csv"
    path.write_text(header + "\n".join(lines[20:] + lines[:25]))  # pages that overlap
    added = record_archive(path, tmp_path / "other", SERIES)
    assert added == 6  # the archive is complete, so its last minute is, too
    mine, other = (MinuteFiles(f / "prices").read(SERIES, ["2026-01"])
                   for f in (tmp_path, tmp_path / "other"))  # fmt: skip
    assert mine.equals(other.slice(0, mine.num_rows))
    assert record_archive(path, tmp_path / "other", SERIES) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "damaged"), ("a,b\n1,2\n", "2 columns without a header"),
     ("id,price,qty\n1,2,3\n", "no column of the time"),
     ("id,price,qty,time\n1,0,3,1700000000000\n", "no positive price, the first is row 0: 0"),
     ("id,price,qty,time\n1,2,,1700000000000\n", "no positive size"),
     ("timestamp,symbol,size,price,trade_id\n1,A,1,1,1\n2,B,1,1,2\n", "trades of 2 contracts")],
)  # fmt: skip
def test_other_files_are_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_text(text)
    with pytest.raises(InvalidMarketData) as caught:
        trades_from_archive(path)
    assert said in str(caught.value)


@pytest.mark.data
def test_recorded_trades_make_the_same_minutes_both_ways(data_root: Path, tmp_path: Path) -> None:
    sample = (
        data_root / "api_samples" / "deribit" / "live_2025-06-15_last_trades_btc_perpetual.json"
    )
    answer = json.loads(sample.read_text())
    recorder = Recorder(tmp_path)
    for row in answer:
        recorder.receive(trade_of("deribit", row))
    last = max(row["timestamp"] for row in answer)
    recorder.receive(TradesComplete("deribit", NAME, last + 60_000))
    recorder.write(recorder.take())
    path = tmp_path / "archive.csv"
    columns = ("trade_seq", "timestamp", "price", "amount", "instrument_name")
    lines = [",".join(str(row[c]) for c in columns) for row in answer]
    path.write_text("\n".join([",".join(columns), *lines]))
    record_archive(path, tmp_path / "other", SERIES)
    mine, other = (rows(f / "prices" / f"{SERIES}-2025-06.parquet")
                   for f in (tmp_path, tmp_path / "other"))  # fmt: skip
    assert mine == other
    assert sum(int(str(row[-1])) for row in mine) == len({row["trade_seq"] for row in answer})
