"""The command line on the synthetic set and on the collected data."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from margin_cluster.cli import app
from report_parts import body_of
from scipy.special import ndtr
from typer.testing import CliRunner

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.usefixtures("environment")


def margin(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def synthetic_run(tmp_path_factory: pytest.TempPathFactory, store_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("run") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARGIN_STORE", str(store_root))
        patch.delenv("MARGIN_DATA", raising=False)
        patch.setenv("COLUMNS", "160")
        text = margin("run", "--out", folder)
    assert "SYNTHETIC DATA" in text
    assert "100 accounts" in text
    return folder


def test_a_run_leaves_every_file_and_they_agree(synthetic_run: Path) -> None:
    names = {p.name for p in synthetic_run.iterdir()}
    assert names == {"margin.parquet", "margin.csv", "pnl.parquet", "scenarios.parquet",
                     "inputs.json", "report.html", "shortfalls.csv",
                     ".margin-run.json"}  # fmt: skip
    table = pq.read_table(synthetic_run / "margin.parquet")
    wanted = ["account_id", "member_id", "positions", "value_usd", "var_usd", "es_usd", "worst_usd",
              "worst_scenario", "initial_margin_usd"]  # fmt: skip
    assert set(wanted) <= set(table.column_names)
    assert table.num_rows == 100
    pnl = pq.read_table(synthetic_run / "pnl.parquet")
    worst = -np.array(pnl.column("pnl_usd").to_pylist()).min(axis=1)
    np.testing.assert_array_equal(worst, table.column("worst_usd").to_numpy())
    inputs = json.loads((synthetic_run / "inputs.json").read_text())
    assert inputs["synthetic"] is True
    assert len(inputs["files"]) >= 8
    assert all(len(f["sha256"]) == 64 for f in inputs["files"])


def test_the_report_needs_nothing_from_outside_and_says_synthetic(synthetic_run: Path) -> None:
    html = (synthetic_run / "report.html").read_text()
    body = body_of(html)
    assert "SYNTHETIC DATA" in body
    assert "src=" not in body
    assert f"margin run --out {synthetic_run}" in body
    assert re.findall(r"<link[^>]*>", html[:3000]) == ['<link rel="icon" href="data:,">']
    for part in ("resources of the largest accounts", "Scenarios in the tails",
                 "volatility surface", "Data quality", "Profit and loss distribution"):  # fmt: skip
        assert part in body


def test_the_same_inputs_give_the_same_digest(synthetic_run: Path, tmp_path: Path) -> None:
    first = json.loads((synthetic_run / "inputs.json").read_text())
    again = json.loads(margin("run", "--out", tmp_path / "again", "--json"))
    assert again["digest"] == first["result"]["digest"]
    by_id = json.loads(
        margin(
            "run", "--out", tmp_path / "by_id", "--json", "--scenarios", first["scenarios"]["id"]
        )
    )
    assert by_id["digest"] == first["result"]["digest"]


def test_an_existing_folder_is_replaced_only_when_asked(
    synthetic_run: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "precious").write_text("x")
    text = margin("run", "--out", target, code=2)
    assert "exists" in text
    assert (target / "precious").exists()
    margin("run", "--out", target, "--force", "--no-pnl", code=2)
    assert (target / "precious").exists()
    replaced = tmp_path / "results"
    shutil.copytree(synthetic_run, replaced)
    # plain-hs finds no such price file: nothing is replaced.
    margin("run", "--out", replaced, "--force", "--model", "plain-hs", code=2)
    assert (replaced / "pnl.parquet").exists()
    margin("run", "--out", replaced, "--force", "--no-pnl")
    assert not (replaced / "pnl.parquet").exists()
    assert (replaced / "margin.csv").exists()


def test_the_other_commands_speak_to_people_and_machines(synthetic_run: Path) -> None:
    assert "reprice inside" in margin("surface", "show")
    found = json.loads(margin("surface", "show", "--smile", "sabr", "--json"))
    assert all(e["arbitrage_free"] for e in found["expiries"])
    assert "plain-hs" in margin("model", "show")
    shown = json.loads(margin("model", "show", "plain-hs", "--json"))
    assert shown["parameters"]["measure"]["core"] == "var"
    assert "pnl_quantum_usd" in margin("model", "show", "hs-surface")
    built = json.loads(margin("scenarios", "build", "--json"))
    assert built["count"] == 1825
    assert built["id"] in json.loads(margin("scenarios", "list", "--json"))["ids"]
    assert "Largest falls" in margin("scenarios", "show", built["id"])
    checked = json.loads(margin("data", "check", "--json"))
    assert {r["underlying"] for r in checked["prices"]} == {"BTC", "ETH"}
    assert "disagreement" in margin("data", "check")


def test_a_generated_folder_is_a_data_folder(tmp_path: Path) -> None:
    margin("data", "generate", "--out", tmp_path / "made", "--seed", 3, "--accounts", 12)
    text = margin("run", "--data", tmp_path / "made", "--out", tmp_path / "out", "--json")
    assert json.loads(text)["accounts"] == 12


@pytest.mark.data
def test_plain_hs_reproduces_the_published_book(data_root: Path, tmp_path: Path) -> None:
    """Values of the model's documentation, more digits from an independent numpy computation."""
    books = data_root / "portfolios"
    margin(
        "run", "--data", data_root, "--snapshot", "2026-05-15T11:27:31Z",
        "--book", books / "book_20260515T112731Z_100.parquet", "--model", "plain-hs",
        "--out", tmp_path / "out",
    )  # fmt: skip
    table = pq.read_table(tmp_path / "out" / "margin.parquet").to_pydict()
    row = table["account_id"].index("M000-H")
    golden = json.loads((Path(__file__).parents[1] / "golden" / "plain_hs.json").read_text())
    for name, value in golden["M000-H"].items():
        assert table[name][row] == pytest.approx(value, rel=1e-9), name
    assert table["positions"][row] == 70
    assert str(table["worst_scenario_end"][row])[:10] == "2023-03-14"  # the close of 03-13's candle
    assert sum(table["var_usd"]) == pytest.approx(golden["sum_of_var_usd"], rel=1e-9)


@pytest.mark.data
def test_plain_hs_reproduces_the_published_spread(data_root: Path, tmp_path: Path) -> None:
    margin(
        "run", "--data", data_root, "--snapshot", EXAMPLES / "call_spread.toml",
        "--book", EXAMPLES / "call_spread_book.csv", "--model", EXAMPLES / "call_spread_model.toml",
        "--out", tmp_path / "out",
    )  # fmt: skip
    found = pq.read_table(tmp_path / "out" / "margin.parquet").to_pylist()[0]
    prices = pq.read_table(data_root / "prices" / "bitstamp_coinbase_BTCUSD_1d.parquet")
    close = prices.column("close").to_numpy()
    end = prices.column("timestamp").to_numpy() + np.timedelta64(1, "D")
    close = close[end <= np.datetime64("2024-02-15")]
    growth = (close[2:] / close[:-2])[-2500:]

    def value(S: np.ndarray) -> np.ndarray:
        s = 0.65 * np.sqrt(30 / 365)
        legs = []
        for K in (50_000, 55_000):
            d1 = np.log(S / K) / s + s / 2
            legs.append(S * ndtr(d1) - K * ndtr(d1 - s))
        return 10 * legs[0] - 15 * legs[1]

    now = value(np.array([52_000.0]))[0]
    x = np.sort(value(52_000 * growth) - now)
    expected = {
        "value_usd": now,
        "var_usd": -x[12],
        "es_usd": -(x[:12].sum() + 0.5 * x[12]) / 12.5,
        "worst_usd": -x[0],
    }
    for name, figure in expected.items():
        assert found[name] == pytest.approx(figure, rel=1e-9), name
    published = (8_949.38, 11_112.44, 19_204.97, 71_881.19)
    assert [round(found[n], 2) for n in expected] == list(published)


def test_a_market_written_by_hand_takes_its_forwards_from_futures(tmp_path: Path) -> None:
    market, book = tmp_path / "market.toml", tmp_path / "book.csv"
    market.write_text(
        "time = 2026-01-16T00:00:00Z\n[index]\nBTC = 100000.0\nETH = 560.0\n"
        '[[option]]\nname = "BTC-27MAR26-100000-C"\nvolatility = 0.5\n'
        '[[future]]\nname = "BTC-26JUN26"\nprice = 104000.0\n'
    )
    book.write_text(
        "member_id,account_id,instrument_name,quantity\nM,A,BTC-26JUN26,1000\nM,B,BTC-27MAR26,1000\n"
        "M,C,BTC_USDC,2\n"
    )
    model = tmp_path / "model.toml"
    model.write_text(
        'extends = "plain-hs"\n[history]\nsources = ["synthetic_a_{u}USD_1d"]\n'
        "[quality]\nmissing_fraction_max = 1.0\n"
    )
    margin("run", "--snapshot", market, "--book", book, "--model", model, "--out", tmp_path / "o")
    found = pq.read_table(tmp_path / "o" / "margin.parquet").to_pydict()
    assert found["value_usd"] == [0.0, 0.0, 200000.0]
    assert found["var_usd"][0] == pytest.approx(found["var_usd"][1], rel=1e-12)
    assert found["var_usd"][2] == pytest.approx(200 * found["var_usd"][0], rel=1e-9)
