"""A component that a model names is in the tables, the report and the explanations of a run."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from margin_cluster.cli import app
from report_parts import body_of
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("environment")
MODEL = """
extends = "hs-surface"
[scenarios]
windows = 200
[[components]]
name = "gap_risk"
parameters = { usd_per_coin = 250.0 }
"""


def margin(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, store_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("further")
    book = folder / "book.csv"
    book.write_text(
        "account_id,member_id,instrument_name,quantity\nA,M,BTC_USDC,2\nB,M,BTC-PERPETUAL,100000\n"
    )
    (folder / "model.toml").write_text(MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARGIN_STORE", str(store_root))
        patch.delenv("MARGIN_DATA", raising=False)
        margin("run", "--out", folder / "out", "--book", book, "--model", folder / "model.toml")
    return folder / "out"


def test_the_files_of_a_run_have_the_component(run: Path) -> None:
    table = pq.read_table(run / "margin.parquet").to_pydict()
    assert table["gap_risk_usd"][0] == 500.0
    total = table["core_usd"][0] + table["gap_risk_usd"][0]
    assert table["initial_margin_usd"][0] == pytest.approx(total, rel=1e-12)
    inputs = pq.read_table(run / "part_inputs.parquet").to_pylist()
    assert {"account_id": "A", "part": "gap_risk", "of": "", "figure": "gross_delta_coins",
            "value": 2.0} in inputs  # fmt: skip
    html = (run / "report.html").read_text()
    assert body_of(html).count("gap risk") >= 3


def test_explain_has_the_component(run: Path) -> None:
    found = json.loads(margin("explain", "account", run, "--account", "A", "--json"))
    assert found["components_usd"]["gap_risk"] == 500.0
    assert sum(found["components_usd"].values()) == pytest.approx(found["initial_margin_usd"])
    assert "gap risk" in margin("explain", "account", run, "--account", "A")


def test_a_component_that_is_not_installed_is_named_before_anything_is_calculated(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.toml"
    path.write_text(MODEL.replace("gap_risk", "moon_risk"))
    text = margin("run", "--out", tmp_path / "out", "--model", path, code=2)
    flat = " ".join(text.split())
    assert "components, moon_risk: the component is not installed" in flat
    assert "available: gap_risk" in flat
    assert not (tmp_path / "out").exists()
