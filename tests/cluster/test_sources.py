"""Readers of the dialects exchanges publish, the store, and writing that is whole or not at all."""

import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made import model_from
from margin_cluster.atomic import folder_atomically, write_atomically
from margin_cluster.sources import DataFolder, ParquetStore
from margin_cluster.sources.candle_files import PriceSource, load_candles
from margin_cluster.sources.klines import candles_from_file
from margin_cluster.sources.model_registry import ModelRegistry

from margin_actors.errors import InvalidMarketData, MarginError
from margin_actors.market.candles import at_grid

ROWS = [
    ("1730073600000", 10.0, 12.0, 9.0, 11.0, 5.0),
    ("1730077200000", 11.0, 13.0, 10.0, 12.0, 6.0),
    ("1730080800000", 12.0, 14.0, 11.0, 13.0, 7.0),
]
SECONDS = [r[0][:-3] for r in ROWS]
BINANCE_TAIL = ",1730077199999,1,2,3,4,0"


def lines(*texts: str) -> str:
    return "\n".join(texts) + "\n"


def numbers(row: tuple[str, float, float, float, float, float], sep: str = ",") -> str:
    return sep.join(str(v) for v in row[1:])


DIALECTS = {
    "binance without header": lines(*(f"{r[0]},{numbers(r)}{BINANCE_TAIL}" for r in ROWS)),
    "binance in microseconds": lines(*(f"{r[0]}000,{numbers(r)}{BINANCE_TAIL}" for r in ROWS)),
    "binance with header": lines(
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,a,b,ignore",
        *(f"{r[0]},{numbers(r)}{BINANCE_TAIL}" for r in ROWS),
    ),
    "kraken": lines(*(f"{s},{numbers(r)},9" for s, r in zip(SECONDS, ROWS, strict=True))),
    "address above, descending, seconds": lines(
        "https://www.example.com",
        "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD",
        *(f"{r[0][:-3]},x,BTC/USD,{numbers(r)},1" for r in reversed(ROWS)),
    ),
    "semicolons and twelve hours": lines(
        "Date;Symbol;Open;High;Low;Close;Volume BTC;Volume USD",
        f"2024-10-28 12-AM;B;{numbers(ROWS[0], ';')};1",
        f"2024-10-28 01-AM;B;{numbers(ROWS[1], ';')};1",
        f"2024-10-28 02-AM;B;{numbers(ROWS[2], ';')};1",
    ),
    "milliseconds that turn into seconds": lines(
        "unix,date,symbol,open,high,low,close,Volume USD,Volume BTC",
        f"{ROWS[0][0]},x,B,{','.join(str(v) for v in ROWS[0][1:5])},1,5.0",
        f"{SECONDS[1]},x,B,{','.join(str(v) for v in ROWS[1][1:5])},1,6.0",
        f"{SECONDS[2]},x,B,{','.join(str(v) for v in ROWS[2][1:5])},1,7.0",
    ),
    "dates": lines(
        "close,open,high,low,timestamp",
        *(
            f"{r[4]},{r[1]},{r[2]},{r[3]},2024-10-28 0{i}:00:00"
            for i, r in enumerate(ROWS)
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_dialect_gives_the_same_candles(dialect: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / ("x.zip" if zipped else "x.csv")
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.csv", DIALECTS[dialect])
    else:
        path.write_text(DIALECTS[dialect])
    found = candles_from_file(path, underlying="BTC")
    order = np.argsort(found.open_time)
    expected = np.array([r[0] for r in ROWS], np.int64).astype("datetime64[ms]")
    np.testing.assert_array_equal(found.open_time[order], expected)
    assert found.interval_seconds == 3600
    for i, name in enumerate(("open", "high", "low", "close"), 1):
        np.testing.assert_array_equal(getattr(found, name)[order], [r[i] for r in ROWS])
    if dialect != "dates":
        np.testing.assert_array_equal(found.volume[order], [5.0, 6.0, 7.0])


def test_bitfinex_arrays_stand_in_their_own_order(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[[1517896800000,1,2,4,0.5,9],[1517896860000,2,3,5,1.5,8]]")
    found = candles_from_file(path, underlying="BTC")
    assert (found.close[0], found.high[0], found.low[0]) == (2.0, 4.0, 0.5)
    assert found.interval_seconds == 60


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("x.csv", b"", "has no rows"),
        ("x.csv", b"a,b,c\n1,2,3\n", "column 'timestamp' is missing"),
        ("x.csv", b"1,2,3\n", "no header and 3 columns"),
        ("x.zip", b"PK\x03\x04rubbish", "damaged"),
        ("x.csv.gz", b"\x1f\x8brubbish", "damaged"),
        ("x.json", b"{", "not valid JSON"),
        ("x.json", b"{}", "is not a list of"),
    ],
)
def test_files_that_hold_no_candles_are_refused(
    name: str, content: bytes, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidMarketData) as caught:
        candles_from_file(tmp_path / name, underlying="BTC")
    assert text in str(caught.value)
    assert name in str(caught.value)


def test_hourly_closes_are_read_at_the_daily_grid(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    hours = [1_700_006_400 + 3600 * i for i in range(72)]
    path.write_text(lines(*(f"{h},1,1,1,{i},1" for i, h in enumerate(hours))))
    daily = at_grid(candles_from_file(path, underlying="BTC"), 86_400)
    assert len(daily) == 3
    assert all(daily.close_time.astype(np.int64) % 86_400_000 == 0)
    closes = [h for h in hours if (h + 3600) % 86_400 == 0]
    np.testing.assert_array_equal(daily.close, [hours.index(h) for h in closes])


def test_a_raw_file_is_converted_once_and_never_touched(tmp_path: Path) -> None:
    raw = tmp_path / "source_BTCUSD_1h.csv"
    raw.write_text(DIALECTS["kraken"])
    before = raw.read_bytes()
    store = ParquetStore(tmp_path / "store")
    first, sha = load_candles(PriceSource("source_BTCUSD_1h", (raw,)), "BTC", store)
    files = sorted((tmp_path / "store").rglob("*.*"))
    stamps = [f.stat().st_mtime_ns for f in files]
    second, again = load_candles(PriceSource("source_BTCUSD_1h", (raw,)), "BTC", store)
    assert first.id == second.id == store.ids("candles")[0]
    assert sha == again
    assert raw.read_bytes() == before
    assert [f.stat().st_mtime_ns for f in files] == stamps
    raw.write_text(DIALECTS["kraken"].replace("13.0", "13.5"))
    third, _ = load_candles(PriceSource("source_BTCUSD_1h", (raw,)), "BTC", store)
    assert third.id != first.id
    assert set(store.ids("candles")) == {first.id, third.id}


def test_the_store_keeps_what_it_has(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    store.put("candles", "candles-1", pa.table({"x": [1]}))
    store.put("candles", "candles-1", pa.table({"x": [2]}))
    assert store.get("candles", "candles-1").column("x").to_pylist() == [1]
    with pytest.raises(InvalidMarketData, match="candles-2 is not in the store"):
        store.get("candles", "candles-2")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        write_atomically(tmp_path / "file", fail)
    with (
        pytest.raises(RuntimeError),
        folder_atomically(tmp_path / "folder") as aside,
    ):
        fail(aside / "file")
    assert list(tmp_path.iterdir()) == []
    with folder_atomically(tmp_path / "folder") as aside:
        (aside / "file").write_text("whole")
    with (
        pytest.raises(MarginError, match="exists"),
        folder_atomically(tmp_path / "folder"),
    ):
        pass
    assert (tmp_path / "folder" / "file").read_text() == "whole"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows", "first_close"),
    [
        ("binance/spot-klines-BTCUSDT-1h-2024-10-28.zip", 24, 67859.91),
        ("binance/futures-um-klines-BTCUSDT-1h-2024-10-28.zip", 24, 67835.20),
        ("kraken/XBTUSD_60_ohlcvt.csv", None, 122.0),
        ("bitfinex/candles_1m_BTCUSD_2018-02-06T06.json", None, 6420.3),
        ("cryptodatadownload/bitstamp_BTCUSD_1h_semicolon_12hour.csv", None, 3831.92),
        ("cryptodatadownload/bitfinex_ETHUSD_1h_unix_ms_then_seconds.csv", None, 1566.1),
        ("cryptodatadownload/bitstamp_BTCUSD_1h_url_header_unix_seconds.csv", None, 20457.0),
        ("cryptodatadownload/bitstamp_ETHUSD_1h_12hour_wrong_last_row.csv", None, 273.75),
    ],
)
def test_files_as_published_are_read(
    data_root: Path, name: str, rows: int | None, first_close: float
) -> None:
    path = data_root / "api_samples" / name
    found = candles_from_file(path, underlying="ETH" if "ETH" in name else "BTC")
    assert not np.isnat(found.open_time).any()
    assert np.isfinite(found.close).all()
    assert found.close[0] == first_close
    assert rows in (None, len(found))


@pytest.mark.data
def test_all_sources_of_the_collected_data_are_read(data_root: Path) -> None:
    folder = DataFolder(data_root)
    for underlying, least in (("BTC", 8), ("ETH", 7)):
        candles, used = folder.candles(("*{u}USD*_1d", "*{u}USD*_1h"), underlying, 86_400)
        assert len(candles) == len(used) >= least
        assert all(c.interval_seconds == 86_400 for c in candles)
    assert folder.volatility_index(("deribit_dvol_{u}_1d_ohlc",), "BTC") is not None


def test_names_of_models_that_differ_in_special_characters_have_their_own_records(
    tmp_path: Path,
) -> None:
    """Each name has its own file, even if both become one when special characters are replaced."""
    registry = ModelRegistry(tmp_path)
    one, two = (model_from("plain-hs", name=name) for name in ("a b", "a_b"))
    assert registry.use(one).parameters.name == "a b"
    assert registry.use(two).parameters.name == "a_b"
    assert {r.parameters.name for r in registry.records()} == {"a b", "a_b"}
    found = registry.find("a b", one.version)
    assert found is not None
    assert found.model_id == one.id
