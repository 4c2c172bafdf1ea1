"""Price files as they are published: archives by month, files of closes, and what is missing."""

import json
import re
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from margin_cluster.cli import app
from margin_cluster.sources import DataFolder, ParquetStore
from margin_cluster.sources.archives import archive_name, interval_of_name
from margin_cluster.sources.candle_files import matching_sources, price_sources
from typer.testing import CliRunner

from margin_actors.errors import MissingMarketData

pytestmark = pytest.mark.usefixtures("environment")
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore\n"
)
DAY_MS = 86_400_000
SOURCES = ("binance_{u}USDT_1d",)


def month_start(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}-01").replace(tzinfo=UTC).timestamp() * 1000)


def rows_of(first_ms: int, closes: Sequence[float], *, micro: bool = False) -> str:
    """Rows of twelve columns; since 2025 the exchange writes microseconds."""
    unit = 1000 if micro else 1
    return "".join(
        f"{(first_ms + i * DAY_MS) * unit},{c},{c + 1},{c - 1},{c},5,"
        f"{(first_ms + (i + 1) * DAY_MS) * unit - 1},1,2,3,4,0\n"
        for i, c in enumerate(closes)
    )


def write_month(
    folder: Path, month: str, closes: Sequence[float], *, header: bool = False, micro: bool = False,
    symbol: str = "BTCUSDT", interval: str = "1d",
) -> None:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{symbol}-{interval}-{month}"
    text = (HEADER if header else "") + rows_of(month_start(month), closes, micro=micro)
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        archive.writestr(f"{name}.csv", text)


@pytest.mark.parametrize("below", ["", "BTCUSDT", "data/spot/monthly/klines/BTCUSDT/1d"])
def test_archives_of_several_months_are_one_source(tmp_path: Path, below: str) -> None:
    folder = tmp_path / "prices" / below
    write_month(folder, "2025-01", [12.0], micro=True)  # one row: the name states the interval
    write_month(folder, "2024-12", [11.0] * 31, header=True)
    write_month(folder, "2024-11", [10.0] * 30)
    (folder / "BTCUSDT-1d-2024-11.zip.CHECKSUM").write_text("0")
    data = DataFolder(tmp_path, ParquetStore(tmp_path / "store"))
    first, used = data.candles(SOURCES, "BTC", 86_400)
    again, _ = data.candles(SOURCES, "BTC", 86_400)
    (found,) = first
    assert found.source == "binance_BTCUSDT_1d"
    assert found.interval_seconds == 86_400
    np.testing.assert_array_equal(found.close, [10.0] * 30 + [11.0] * 31 + [12.0])
    expected = month_start("2024-11") + DAY_MS * np.arange(62)
    np.testing.assert_array_equal(found.open_time.astype(np.int64), expected)
    assert [Path(f.path).name for f in used] == [
        f"BTCUSDT-1d-{month}.zip" for month in ("2024-11", "2024-12", "2025-01")
    ]
    assert len({f.sha256 for f in used}) == 3
    assert again[0].id == found.id  # from the store


def test_markets_and_intervals_are_different_sources(tmp_path: Path) -> None:
    base = tmp_path / "prices"
    write_month(base, "2024-11", [1.0])
    write_month(base, "2024-11", [1.0], interval="4h")
    write_month(base / "futures/um/monthly/klines", "2024-11", [2.0])
    write_month(base / "futures/um/monthly/markPriceKlines", "2024-11", [3.0])
    write_month(base / "futures/um/monthly/premiumIndexKlines", "2024-11", [0.0001])
    assert [(s.name, s.interval_seconds) for s in price_sources(tmp_path)] == [
        ("binance_BTCUSDT_1d", 86_400),
        ("binance_BTCUSDT_4h", 14_400),
        ("binance_perp_BTCUSDT_1d", 86_400),
        ("binance_perp_mark_BTCUSDT_1d", 86_400),
    ]


@pytest.mark.parametrize("name", ["BTCUSDT_1d.csv", "BTCUSDT-1d.csv", "binance_BTCUSDT_1d.csv"])
def test_a_joined_file_needs_no_name_of_the_exchange(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(HEADER + rows_of(month_start("2024-11"), [1.0, 2.0]))
    (found,), _ = DataFolder(tmp_path).candles(SOURCES, "BTC", 86_400)
    np.testing.assert_array_equal(found.close, [1.0, 2.0])


def test_a_named_exchange_is_preferred(tmp_path: Path) -> None:
    for name in ("BTCUSDT_1d.csv", "binance_BTCUSDT_1d.csv", "kraken_BTCUSDT_1d.csv"):
        (tmp_path / name).write_text(rows_of(month_start("2024-11"), [1.0, 2.0]))
    found = matching_sources(price_sources(tmp_path), SOURCES, "BTC")
    assert [s.name for s in found] == ["binance_BTCUSDT_1d"]
    assert not matching_sources(price_sources(tmp_path), ("{u}_other",), "BTC")


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_file_of_dates_and_closes_is_enough(tmp_path: Path, delimiter: str) -> None:
    lines = [f"2024-11-{day:02d},{100 + day}" for day in range(1, 11)]
    text = "\n".join(["date,close", *lines]) + "\n"
    (tmp_path / "own_BTCUSD_1d.csv").write_text(text.replace(",", delimiter))
    (found,), _ = DataFolder(tmp_path).candles(("own_{u}USD_1d",), "BTC", 86_400)
    np.testing.assert_array_equal(found.close, np.arange(101.0, 111.0))
    for name in ("open", "high", "low", "volume"):
        assert np.isnan(getattr(found, name)).all()  # not reported, and not invented


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("x_1d", 86_400), ("x_1h", 3_600), ("x_15m", 900), ("x_1min", 60), ("x-4h", 14_400),
     ("x_1s", 1), ("x_1w", 604_800), ("x_0d", None), ("x_1d_ohlc", None), ("x_2018-02", None)],
)  # fmt: skip
def test_the_interval_is_read_from_the_name(name: str, seconds: int | None) -> None:
    assert interval_of_name(name) == seconds


@pytest.mark.parametrize(
    "name", ["BTCUSDT-fundingRate-2020-01.zip", "BTCUSDT-1mo-2024-01.zip", "BTCUSDT_1d.csv"]
)
def test_other_files_are_not_archives_of_candles(name: str) -> None:
    assert archive_name(Path(name)) is None


def missing(root: Path, patterns: Sequence[str] = SOURCES, interval: int = 86_400) -> str:
    with pytest.raises(MissingMarketData) as caught:
        DataFolder(root).candles(patterns, "BTC", interval)
    return str(caught.value)


def test_missing_prices_name_the_most_similar_sources(tmp_path: Path) -> None:
    for i in range(145):
        (tmp_path / f"venue{i}_XRPUSD_1h.csv").write_text("")
    (tmp_path / "kraken_BTCUSDT_1d.csv").write_text("")
    text = missing(tmp_path)
    assert "none of the 146 price sources is named binance_BTCUSDT_1d" in text
    assert "the most similar are kraken_BTCUSDT_1d, venue" in text
    assert 'name the source in a model file: [history] sources = ["kraken_{u}USDT_1d"]' in text
    assert text.count("XRPUSD") == 4
    (tmp_path / "prices").mkdir()
    assert "there are no price files, and the model uses binance_BTCUSDT_1d" in missing(tmp_path)


def test_candles_that_are_too_long_are_named(tmp_path: Path) -> None:
    write_month(tmp_path, "2024-11", [1.0, 2.0])
    text = missing(tmp_path, interval=3_600)
    assert "the candles of binance_BTCUSDT_1d (86,400 s) are longer" in text
    assert "change history.frequency" in text


def prices_alone(root: Path, days: int, *, gap: int = 0) -> Path:
    """A folder with daily closes of both underlyings, without option chains."""
    first = datetime(2024, 1, 1)
    for u, level in (("BTC", 50_000.0), ("ETH", 3_000.0)):
        closes = level * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.02, days)))
        kept = [i for i in range(days) if not 10 <= i < 10 + gap]
        lines = [f"{first + timedelta(days=i):%Y-%m-%d},{closes[i]:.2f}" for i in kept]
        (root / "prices").mkdir(parents=True, exist_ok=True)
        path = root / "prices" / f"own_{u}USD_1d.csv"
        path.write_text("\n".join(["date,close", *lines]) + "\n")
    return root


def check(root: Path, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["data", "check", "--data", str(root), *arguments])
    assert result.exit_code == code, result.output
    return result.stdout


def test_prices_are_checked_without_option_chains(tmp_path: Path) -> None:
    root = prices_alone(tmp_path, 900)
    text = " ".join(check(root).split())
    assert "The folder has no option chains: prices alone are checked" in text
    assert "last price 0.0 h old" in text
    found = json.loads(check(root, "--json"))
    assert found["has_chains"] is False
    assert found["time"].startswith("2026-06-19")  # the close of the last candle
    earlier = json.loads(check(root, "--json", "--snapshot", "2026-06-01"))
    assert earlier["time"].startswith("2026-06-01")
    assert [p["sources"][0]["missing"] for p in found["prices"]] == [0, 0]


def test_a_limit_is_exceeded_without_option_chains(tmp_path: Path) -> None:
    root = prices_alone(tmp_path, 200, gap=50)
    assert "limit exceeded" in check(root, code=3)


@pytest.mark.slow
def test_the_remedy_without_chains_is_a_valid_model(tmp_path: Path) -> None:
    """The keys that the remedy names, copied to a model file, give a model that runs."""
    root = prices_alone(tmp_path / "data", 1900)
    market, book = tmp_path / "market.toml", tmp_path / "book.csv"
    market.write_text(
        "time = 2029-03-15T00:00:00Z\n[index]\nBTC = 24000.0\nETH = 1400.0\n"
        '[[option]]\nname = "BTC-29JUN29-24000-C"\nvolatility = 0.5\n'
    )
    book.write_text("member_id,account_id,instrument_name,quantity\nM,A,BTC-29JUN29-24000-C,1\n")
    arguments = ["run", "--data", root, "--snapshot", market, "--book", book, "--json"]

    def run(*more: object, code: int) -> dict[str, object]:
        result = CliRunner().invoke(app, [str(a) for a in (*arguments, *more)])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    refused = run("--out", tmp_path / "a", code=2)
    remedies = " ".join(p["remedy"] for p in refused["problems"])
    found = dict(re.findall(r"(\[\w+\]) ((?:\w+ = \"\w+\"(?:, )?)+)", remedies))
    assert list(found) == ["[scenarios]", "[revaluation]"]
    model = tmp_path / "model.toml"
    lines = [f"{section}\n{fields.replace(', ', chr(10))}" for section, fields in found.items()]
    model.write_text("\n".join(['extends = "hs-surface"', *lines]))
    assert run("--out", tmp_path / "b", "--model", model, code=0)["accounts"] == 1
