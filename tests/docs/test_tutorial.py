"""The tutorial: its files and commands give the outputs that the page shows."""

import csv
import re
from pathlib import Path

import pytest
from tutorial_page import PAGE, WIDTH, session_now, sessions, write_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who has written the files of the page."""
    return tmp_path_factory.mktemp("tutorial")


def test_the_commands_of_the_tutorial_print_what_the_page_shows(folder: Path) -> None:
    names = write_files(folder)
    assert set(names) == {
        "positions.csv", "collateral.csv", "data/prices/BTCUSD_1d.csv", "market.toml", "model.toml",
        "after_trade.csv",
    }  # fmt: skip
    shown = sessions()
    assert [s.count("$ margin") for s in shown] == [1, 1, 1, 2]
    for session in shown:
        assert session_now(session, folder) == session, "see tests/tutorial_page.py"
    assert (folder / "results" / "report.html").stat().st_size > 100_000
    with (folder / "results" / "margin.csv").open() as file:
        (row,) = csv.DictReader(file)
    requirement = f"{float(row['initial_margin_usd']):,.2f}"
    deficit = float(row["excess_usd"])
    assert requirement in shown[1]
    assert f"{deficit:,.2f}" in shown[1]


def test_no_command_of_the_page_is_wider_than_a_session_allows() -> None:
    outputs = [line for s in sessions() for line in s.splitlines() if not line.startswith("$ ")]
    assert outputs
    assert max(map(len, outputs)) <= WIDTH
    assert not re.search(r"\.venv/bin/margin", PAGE.read_text())
