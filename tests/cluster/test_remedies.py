"""Messages about files and models that lead to the remedy."""

from pathlib import Path

import pytest
from margin_cluster.cli import app
from tutorial_page import write_files
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("environment")
HEAD = "member_id,account_id,instrument_name,quantity\n"
FILES = ("--snapshot", "market.toml", "--model", "model.toml", "--book", "positions.csv")
WITHOUT_CHAINS = """extends = "ccp-default"
name = "without chains"
[scenarios]
underlyings = ["BTC"]
windows = 59
surface_moves = "none"
[revaluation]
smile = "mark"
dynamics = "sticky_strike"
[addons.model_risk]
enabled = false
[tails.extended_moves]
enabled = false
"""


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the tutorial, in the current directory."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 2) -> str:
    base = ["run", "--data", "data", "--out", "out", *arguments]
    result = CliRunner().invoke(app, base, env={"COLUMNS": "400"})
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_an_option_that_a_written_market_lacks_names_the_file_to_add_it_to(work: Path) -> None:
    path = work / "market.toml"
    path.write_text(path.read_text().replace("70000-C", "80000-C"))
    said = run(*FILES)
    assert "BTC-26JUN26-70000-C is not in the snapshot's chain" in said
    assert "add the option to the snapshot" in said
    assert "market.toml: describes the market that was used (add an [[option]] for each" in said
    (work / "positions.csv").write_text((work / "positions.csv").read_text()
                                        + "M,OTHER,BTC-PERPETUAL,1000\n")  # fmt: skip
    said = run(*FILES, code=5)
    assert "The market is market.toml: add an [[option]] for each option held" in said


def test_without_option_chains_the_message_leads_to_a_written_market() -> None:
    said = run("--model", "plain-hs", "--book", "positions.csv")
    assert "--snapshot FILE.toml (docs/tutorial.md)" in said
    assert "--model plain-hs" in said


def test_the_remedy_for_a_missing_chain_history_is_complete(work: Path) -> None:
    """A model file with all fields of the remedy is valid and needs no chains."""
    (work / "own.toml").write_text(
        (work / "model.toml").read_text().replace("plain-hs", "hs-surface")
    )
    said = run("--snapshot", "market.toml", "--model", "own.toml", "--book", "positions.csv")
    assert "such as the preset plain-hs" in said
    for field in ('surface_moves = "none"', 'smile = "mark"', 'dynamics = "sticky_strike"',
                  "[addons.model_risk] enabled = false",
                  "[tails.extended_moves] enabled = false"):  # fmt: skip
        assert field in said
        assert field.split("] ")[-1] in WITHOUT_CHAINS
    (work / "own.toml").write_text(WITHOUT_CHAINS)
    shown = CliRunner().invoke(app, ["model", "show", "own.toml"])
    assert shown.exit_code == 0, shown.output


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ((HEAD + "M,A,BTC-PERPETUAL,\n").encode(), "book.csv, line 2: quantity is empty"),
        ((HEAD + "M,A,BTC-PERPETUAL,1\nM,A,BTC-26JUN26,nan\n").encode(),
         "book.csv, line 3: quantity is nan"),
        ((HEAD + "M,A,BTC-PERPETUAL,1\n").encode("utf-16"), "encoded as UTF-16; save it as UTF-8"),
        ((HEAD + "M,A,BTC-PERPETUAL,1\n").encode("utf-16-le"), "encoded as UTF-16"),
        ((HEAD + "M,A,BTC-PERPETUAL,1,5\n").encode(), "decimals have a point"),
        ((HEAD.replace(",", ";") + "M;A;BTC-PERPETUAL;1,5\n").encode(),
         "line 2 holds '1,5', with a decimal comma: write a point"),
    ],
)  # fmt: skip
def test_a_fault_of_a_text_file_is_described_as_an_editor_shows_it(
    work: Path, content: bytes, expected: str
) -> None:
    (work / "book.csv").write_bytes(content)
    said = run("--snapshot", "market.toml", "--model", "model.toml", "--book", "book.csv")
    assert expected in said
    assert "\0" not in said


def test_hourly_candles_that_never_close_at_midnight_are_described(work: Path) -> None:
    path = work / "data" / "prices" / "BTCUSD_1d.csv"
    path.unlink()
    rows = [f"2026-05-{d:02d}T{h:02d}:00:00Z,56000" for d in (1, 2) for h in range(22)]
    (work / "data" / "prices" / "BTCUSD_1h.csv").write_text("date,close\n" + "\n".join(rows) + "\n")
    (work / "model.toml").write_text((work / "model.toml").read_text().replace("_1d", "_1h"))
    said = run(*FILES)
    assert "no candle of BTCUSD_1h closes on the daily grid, 00:00 UTC" in said
    assert "history.frequency" in said


def test_candles_after_the_valuation_time_are_not_faults(work: Path) -> None:
    path = work / "market.toml"
    path.write_text(path.read_text().replace("2026-05-15T08", "2026-05-14T08"))
    model = work / "model.toml"
    model.write_text(model.read_text().replace("windows = 59", "windows = 58"))
    said = run(*FILES, code=0)
    assert "Data quality: 0 faults in price files" in said
    assert "1 candle after the valuation time is not used" in said
