"""Markets written by hand: values that cannot be right are refused, and options are optional."""

import json
from pathlib import Path

import pytest
from margin_cluster.cli import app
from margin_cluster.sources import snapshot_from_toml
from tutorial_page import write_files
from typer.testing import CliRunner

from margin_actors.engine.parameters import preset
from margin_actors.errors import InvalidMarketData

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the tutorial, in the current directory."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def margin(*arguments: str, code: int = 0) -> str:
    base = ["run", "--data", "data", "--model", "model.toml", *arguments]
    result = CliRunner().invoke(app, base, env={"COLUMNS": "300"})
    assert result.exit_code == code, result.output
    return result.output


def run(*arguments: str, code: int = 0) -> str:
    files = ("--snapshot", "market.toml", "--book", "positions.csv", "--out", "out")
    return margin(*files, *arguments, code=code)


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "where", "limit"),
    [
        ("BTC = 56400.0", "BTC = 564000.0", "index of BTC", "index_move_max"),
        ("BTC = 56400.0", "BTC = 5640.0", "index of BTC", "index_move_max"),
        ("price = 56720.0", "price = 5672.0", "forward of BTC-26JUN26", "forward_basis_max"),
        ("volatility = 0.56", "volatility = 56", "BTC-26JUN26-50000-P", "volatility_max"),
        ("volatility = 0.56", "volatility = 0.0056", "BTC-26JUN26-50000-P", "volatility_min"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_with_its_limit_and_remedy(
    work: Path, old: str, new: str, where: str, limit: str
) -> None:
    rewrite(work / "market.toml", old, new)
    said = run(code=3)
    assert f"market.toml, {where}: " in said
    assert f"accept it: quality.plausibility.{limit} in the model file" in said
    assert not (work / "out").exists()
    # The limit is a parameter of the model: with another one, the same market is accepted.
    value = "0.001" if limit == "volatility_min" else "100.0"
    limits = {"index_move_max": "100.0", "forward_basis_max": "100.0", limit: value}
    with (work / "model.toml").open("a") as file:
        file.write("\n[quality.plausibility]\n")
        file.writelines(f"{name} = {value}\n" for name, value in limits.items())
    run()


def test_the_check_of_the_data_finds_what_a_run_would_refuse(work: Path) -> None:
    rewrite(work / "market.toml", "BTC = 56400.0", "BTC = 564000.0")
    result = CliRunner().invoke(
        app,
        ["data", "check", "--data", "data", "--snapshot", "market.toml", "--model", "model.toml",
         "--json"],
    )  # fmt: skip
    assert result.exit_code == 3, result.output
    document = json.loads(result.stdout)
    assert document["kind"] == "data_quality"
    assert "market.toml, index of BTC" in {p["where"] for p in document["problems"]}


def test_limits_of_plausibility_leave_the_ids_of_published_models() -> None:
    model = preset("plain-hs")
    assert model.quality.plausibility.index_move_max == 0.7
    limits = model.quality.plausibility.model_copy(update={"index_move_max": 0.5})
    stricter = model.model_copy(
        update={"quality": model.quality.model_copy(update={"plausibility": limits})}
    )
    assert stricter.id != model.id
    assert "plausibility" not in model.model_dump(mode="json")["quality"]


def test_a_market_needs_no_options_and_every_index_of_the_file_is_used(work: Path) -> None:
    Path("perpetuals.toml").write_text(
        "time = 2026-05-15T08:00:00Z\n[index]\nETH = 2259.65\nBTC = 56400.0\n"
    )
    market = snapshot_from_toml(Path("perpetuals.toml"))
    assert market.index_usd == {"BTC": 56400.0, "ETH": 2259.65}
    assert len(market.options) == 0
    Path("book.csv").write_text(
        "member_id,account_id,instrument_name,quantity\nM,A,BTC-PERPETUAL,300000\n"
    )
    margin("--snapshot", "perpetuals.toml", "--book", "book.csv", "--out", "out")
    rows = (work / "out" / "margin.csv").read_text().splitlines()
    assert len(rows) == 2
    assert "A" in rows[1]


ONE_UNDERLYING = """\
time = 2026-05-15T08:00:00Z
[index]
BTC = 56400.0
[[option]]
name = "BTC-26JUN26-50000-P"
forward = 56720.0
volatility = 0.56
bid = 0.021
ask = 0.023
open_interest = 120.0
[[option]]
name = "BTC-26JUN26-60000-C"
forward = 56720.0
volatility = 0.52
[[future]]
name = "BTC-26JUN26"
price = 56720.0
"""


def test_a_market_of_one_underlying_s_options_keeps_its_content_id(tmp_path: Path) -> None:
    """Stored results name the market by the id that version 0.1.0 gave it; it is stated here."""
    path = tmp_path / "market.toml"

    def id_of(text: str) -> str:
        path.write_text(text)
        return snapshot_from_toml(path).id

    assert id_of(ONE_UNDERLYING) == "snapshot-131ea63982615c5a68794a994e0a514a"
    # Whatever the file states is part of the content, also what the options do not need.
    stated = {
        id_of(ONE_UNDERLYING),
        id_of(ONE_UNDERLYING.replace("[index]\n", "[index]\nETH = 2259.65\n")),
        id_of(ONE_UNDERLYING.replace("bid = 0.021\n", "")),
        id_of(ONE_UNDERLYING + '[[future]]\nname = "BTC-PERPETUAL"\nprice = 56410.0\n'),
    }
    assert len(stated) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[index]\nBTC = '56400'\n", "the index of BTC is '56400'"),
        ("[index]\nBTC = 0\n", "the index of BTC is 0"),
        ("[index]\nBTC = 1\n[[options]]\nname = 'x'\n", "unknown field 'options'"),
        ("[index]\nBTC = 1\n[option]\nname = 'x'\n", "[option] is not a list"),
        ("[index]\nBTC = 1\n[future]\nname = 'x'\n", "[future] is not a list"),
        ("[index]\nBTC = 1\n[[future]]\nname = 'ETH-26JUN26'\nprice = 1\n", "[index] has no ETH"),
        ("[index]\nBTC = 1\n[[future]]\nname = 'BTC-26JUN25'\nprice = 1\n", "has expired by"),
        ("", "[index] is missing"),
    ],
)
def test_what_a_market_file_does_not_say_correctly_is_named(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "market.toml"
    path.write_text("time = 2026-05-15T08:00:00Z\n" + text)
    with pytest.raises(InvalidMarketData) as caught:
        snapshot_from_toml(path)
    assert expected in str(caught.value)
