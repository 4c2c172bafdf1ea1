"""Positions in a file whose contract expired long ago: only their own account is not margined."""

import csv
from pathlib import Path

import pytest
from margin_cluster.cli import app
from tutorial_page import write_files
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("environment")
OLD, RECENT = "BTC-27JUN25-60000-C", "BTC-8MAY26-60000-C"  # 322 and 7 days before the market


def run(work: Path, more: str, code: int) -> str:
    book = work / "book.csv"
    book.write_text((work / "positions.csv").read_text() + more)
    arguments = ["run", "--data", "data", "--snapshot", "market.toml", "--model", "model.toml",
                 "--book", "book.csv", "--out", "out"]  # fmt: skip
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_only_the_account_of_a_mistyped_expiry_is_not_margined(work: Path) -> None:
    said = run(work, f"M002,FUND-2,{OLD},5\nM002,FUND-2,BTC-PERPETUAL,1000\n", 5)
    assert f"{OLD} expired at 2025-06-27 08:00 UTC, 322 days before the valuation time" in said
    assert "the limit is quality.expired_days_max" in said
    with (work / "out" / "not_margined.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["account_id"] == "FUND-2"
    with (work / "out" / "margin.csv").open() as file:
        assert [r["account_id"] for r in csv.DictReader(file)] == ["FUND-1"]


def test_a_book_with_nothing_but_a_mistyped_expiry_is_refused_with_its_name(work: Path) -> None:
    (work / "positions.csv").write_text("member_id,account_id,instrument_name,quantity\n")
    said = run(work, f"M002,FUND-2,{OLD},5\n", 2)
    assert f"book.csv, account FUND-2: {OLD} expired at" in said


def test_a_position_that_expired_recently_is_excluded_as_before(work: Path) -> None:
    said = run(work, f"M002,FUND-2,{RECENT},5\nM002,FUND-2,BTC-PERPETUAL,1000\n", 0)
    assert "awaiting settlement: 1 position" in said
    with (work / "out" / "margin.csv").open() as file:
        assert [r["account_id"] for r in csv.DictReader(file)] == ["FUND-1", "FUND-2"]


def test_without_a_limit_every_expired_position_is_excluded(work: Path) -> None:
    with (work / "model.toml").open("a") as file:
        file.write("\n[quality]\nexpired_days_max = 400\n")
    run(work, f"M002,FUND-2,{OLD},5\nM002,FUND-2,BTC-PERPETUAL,1000\n", 0)
