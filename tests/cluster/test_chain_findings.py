"""A wrong forward in a data folder: what the commands and the files of a run state about it.

Only BTC is compared: the names of the generated options of ETH round strikes such as 32.5 to whole
dollars if its price is low, which the gates find.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from margin_cluster.cli import app
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("environment")
EXPIRY = "27MAR26"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "gated.toml"
    path.write_text(
        'extends = "hs-surface"\n[scenarios]\nsurface_moves = "none"\n'
        "[chain_quality]\nenabled = true\n"
    )
    return path


@pytest.fixture
def faulty(folder: Path, tmp_path: Path) -> Path:
    """The folder with a forward of the last snapshot that is 5 % too high."""
    copy = tmp_path / "data"
    shutil.copytree(folder, copy)
    (path,) = (copy / "options").glob("*chain*.parquet")
    table = pq.read_table(path)
    last = pc.equal(table.column("snapshot"), pc.max(table.column("snapshot")))
    wrong = pc.and_(last, pc.starts_with(table.column("instrument_name"), f"BTC-{EXPIRY}-"))
    forward = table.column("underlying").to_numpy() * np.where(wrong.to_numpy(), 1.05, 1.0)
    at = table.column_names.index("underlying")
    pq.write_table(table.set_column(at, "underlying", pa.array(forward)), path)
    return copy


def output_of(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.stdout


def test_check_run_and_surface_name_the_quarantined_expiry(
    faulty: Path, model: Path, tmp_path: Path
) -> None:
    checked = json.loads(output_of("data", "check", "--data", faulty, "--model", model, "--json"))
    own = [f for f in checked["chain_findings"] if f["underlying"] == "BTC"]
    found = {(f["expiry"], f["effect"]) for f in own}
    assert found == {(EXPIRY, "expiry_quarantined")}
    assert "forward_parity" in {f["gate"] for f in own}
    shown = output_of("surface", "show", "--data", faulty, "--gates", model)
    assert "quarantined, 0 quotes excluded" in shown
    assert f"BTC {EXPIRY}" in shown
    book = tmp_path / "book.csv"
    book.write_text(
        "member_id,account_id,instrument_name,quantity\n"
        f"M,HOLDS,BTC-{EXPIRY},1000\nM,OTHER,BTC-PERPETUAL,1000\n"
    )
    text = output_of(
        "run", "--data", faulty, "--model", model, "--book", book, "--out", tmp_path / "out", code=5
    )
    assert f"BTC {EXPIRY}" in text
    inputs = json.loads((tmp_path / "out" / "inputs.json").read_text())
    assert inputs["chain_findings"] == checked["chain_findings"]
    assert inputs["result"]["accounts_failed"] == 1
    assert "is quarantined: forward" in (tmp_path / "out" / "not_margined.csv").read_text()
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Findings on the option chain" in report


def test_a_sound_chain_has_no_findings(folder: Path, model: Path) -> None:
    checked = json.loads(output_of("data", "check", "--data", folder, "--model", model, "--json"))
    assert not [f for f in checked["chain_findings"] if f["underlying"] == "BTC"]
