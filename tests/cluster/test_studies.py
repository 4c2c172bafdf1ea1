"""The full model and its studies from the command line, on the synthetic set and on real data."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from margin_cluster.cli import app
from margin_cluster.cli.compare import equal_methods
from margin_cluster.runs import RunRequest, run_margin
from margin_cluster.settings import Settings
from margin_cluster.wiring import load_model, open_workspace
from report_parts import body_of
from typer.testing import CliRunner

from margin_actors.engine.comparison import Comparison, MethodMargins
from margin_actors.engine.margin import COMPONENT_NAMES
from margin_actors.market.portfolios import book_from_table

pytestmark = pytest.mark.usefixtures("environment")
SMALL = """
name = "small"
version = "1"
extends = "ccp-default"
[scenarios]
windows = 500
[scenarios.stress]
events = [{ name = "a day", day = 2024-03-05 }]
[procyclicality.stress_period]
days = 100
"""


def margin(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def full_run(tmp_path_factory: pytest.TempPathFactory, store_root: Path, small: Path) -> Path:
    folder = tmp_path_factory.mktemp("full") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARGIN_STORE", str(store_root))
        patch.delenv("MARGIN_DATA", raising=False)
        patch.setenv("COLUMNS", "160")
        text = margin("run", "--out", folder, "--model", small)
    assert "Requirement components: core" in text
    return folder


def test_a_full_run_keeps_the_figures_of_every_part(full_run: Path) -> None:
    table = pq.read_table(full_run / "margin.parquet")
    parts = [f"{p}_usd" for p in COMPONENT_NAMES if f"{p}_usd" in table.column_names]
    assert {"core_usd", "concentration_usd", "liquidity_usd", "model_risk_usd"} <= set(parts)
    summed = np.sum([table.column(p).to_numpy() for p in parts], axis=0)
    np.testing.assert_allclose(summed, table.column("initial_margin_usd").to_numpy(), rtol=1e-12)
    for name in ("undiversified_usd", "long_usd", "stress_period_usd", "stress_usd", "stress_row"):
        assert name in table.column_names
    inputs = pq.read_table(full_run / "part_inputs.parquet")
    own = inputs.filter(pc.equal(inputs.column("account_id"), table.column("account_id")[0]))
    charges = own.filter(
        pc.and_(
            pc.equal(own.column("part"), "liquidity"), pc.equal(own.column("figure"), "charge_usd")
        )
    )
    expected = table.column("liquidity_usd")[0].as_py()
    assert pc.sum(charges.column("value")).as_py() == pytest.approx(expected)
    html = (full_run / "report.html").read_text()
    body = body_of(html)
    for part in ("Components of the requirements", "How the requirement of", "Stress"):
        assert part in body
    kept = json.loads((full_run / "inputs.json").read_text())
    assert kept["model"]["version"] == "1"
    assert kept["model"]["id"].startswith("model-")


def test_a_version_that_was_used_never_changes(full_run: Path, small: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(SMALL.replace("windows = 500", "windows = 400"))
    text = margin("run", "--out", tmp_path / "x", "--model", changed, code=2)
    assert "version '1' of the model 'small' is already used for other parameters" in text
    assert "scenarios.windows: was 500, is 400" in text
    assert "give the changed model a new version" in text
    assert not (tmp_path / "x").exists()
    changed.write_text(changed.read_text().replace('version = "1"', 'version = "2"'))
    assert "small 2: model-" in margin(
        "model", "register", changed, "--approved-by", "risk committee"
    )
    diff = json.loads(margin("model", "diff", "small@1", changed, "--json"))
    assert diff["changes"] == [{"field": "scenarios.windows", "before": "500", "after": "400"}]
    versions = json.loads(margin("model", "versions", "--json"))
    mine = [(v["version"], v["approved_by"]) for v in versions["versions"] if v["name"] == "small"]
    assert mine == [("1", ""), ("2", "risk committee")]
    assert "The two models have the same parameters" in margin("model", "diff", small, small)
    assert "is not recorded in this store" in margin("model", "diff", "small@9", small, code=2)


def test_any_number_of_a_run_can_be_traced(full_run: Path) -> None:
    table = pq.read_table(full_run / "margin.parquet")
    account = table.column("account_id")[2].as_py()
    found = json.loads(margin("explain", "account", full_run, "--account", account, "--json"))
    assert found["initial_margin_usd"] == table.column("initial_margin_usd")[2].as_py()
    assert sum(found["components_usd"].values()) == pytest.approx(found["initial_margin_usd"])
    var = sum(p["component_var_usd"] for p in found["positions"])
    assert var == pytest.approx(table.column("var_usd")[2].as_py(), rel=1e-9)
    # The traced scenario is the one that is the VaR.
    assert -found["traced"]["profit_usd"] == pytest.approx(var, rel=1e-9)
    text = margin("explain", "account", full_run, "--account", account, "--scenario", 3)
    assert "Prices before and after scenario 3" in text
    assert "Contributions" in text
    assert "liquidity: " in text  # one row per bucket, and not per figure
    shown = max(len(list(part)) for part in tables_of(text))
    every = margin("explain", "account", full_run, "--account", account, "--all")
    assert shown <= 15 + len(("title", "top", "header", "rule", "rule", "sum", "bottom"))
    assert "--all shows them" not in every
    assert len(every.splitlines()) >= len(text.splitlines())
    assert "account nobody is not in the calculation" in margin(
        "explain", "account", full_run, "--account", "nobody", code=2
    )
    assert "there is no such scenario" in margin(
        "explain", "account", full_run, "--account", account, "--scenario", 10**6, code=2
    )
    assert "holds no calculation" in margin(
        "explain", "account", full_run.parent, "--account", account, code=2
    )


def tables_of(text: str) -> list[list[str]]:
    """The lines of each table of an output."""
    tables: list[list[str]] = [[]]
    for line in text.splitlines():
        if line[:1] in "┏┃┡│├└":
            tables[-1].append(line)
        else:
            tables.append([])
    return tables


def test_a_narrow_terminal_names_the_columns_that_it_lacks(
    full_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = pq.read_table(full_run / "margin.parquet").column("account_id")[2].as_py()
    hidden = "Not shown in 80 columns: forward, vol, unit, unit after"
    assert hidden not in margin("explain", "account", full_run, "--account", account)
    monkeypatch.setenv("COLUMNS", "80")
    text = margin("explain", "account", full_run, "--account", account)
    assert hidden in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= 80


def test_what_changed_since_the_last_calculation(full_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(SMALL.replace('"small"', '"smaller"') + "[measure]\nconfidence = 0.99\n")
    margin("run", "--out", tmp_path / "later", "--model", other, "--json")
    account = pq.read_table(full_run / "margin.parquet").column("account_id")[2].as_py()
    found = json.loads(
        margin("explain", "changes", full_run, tmp_path / "later", "--account", account, "--json")
    )
    steps = {s["replaced"]: s["change_usd"] for s in found["steps"]}
    assert steps["positions"] == steps["market"] == 0.0
    assert sum(steps.values()) == pytest.approx(found["after_usd"] - found["before_usd"])
    assert found["after_usd"] < found["before_usd"]


@pytest.mark.parametrize(
    "model",
    [
        "span",
        "venue-grid",
        "hybrid",
        pytest.param("mc-surface", marks=pytest.mark.slow),
        "fhs-surface",
    ],
)
def test_every_preset_runs(tmp_path: Path, model: str) -> None:
    found = json.loads(margin("run", "--out", tmp_path / "out", "--model", model, "--json"))
    assert found["initial_margin_usd"] > 0
    html = (tmp_path / "out" / "report.html").read_text()
    assert "NaT" not in body_of(html)
    if model in ("span", "hybrid"):
        arrays = pq.read_table(tmp_path / "out" / "span_arrays.parquet")
        assert arrays.num_rows == found["instruments"]
        assert arrays.column_names[-1] == "row_16"
    if model == "venue-grid":
        arrays = pq.read_table(tmp_path / "out" / "grid_arrays.parquet")
        assert arrays.column_names[-1] == "row_24"


def test_methods_side_by_side(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = json.loads(
        margin("compare", "--out", out, "--json", "--method", "span", "--method", "venue-grid",
               "--method", "hs-surface")
    )  # fmt: skip
    # The grid recognises nothing between underlyings; the others do.
    by = {m["method"]: m for m in found["methods"]}
    grid = by["venue-grid"]
    assert grid["account_usd"] == pytest.approx(grid["underlyings_usd"], rel=1e-12)
    for name in ("span", "hs-surface"):
        m = by[name]
        assert m["account_usd"] < m["underlyings_usd"] < m["positions_usd"]
    table = pq.read_table(out / "methods.parquet")
    assert table.num_rows == 100
    assert table.column("span.requirement_usd").to_numpy().sum() == pytest.approx(
        by["span"]["account_usd"]
    )
    body = body_of(out / "report.html")
    assert "Offsets recognised" in body
    block = body[body.index('id="identity"') :]
    assert "margin compare" in block
    assert load_model("span").id in block
    assert len(re.findall(r"<code>[0-9a-f]{64}</code>", block)) >= 3
    assert "SYNTHETIC" in block


def test_a_backtest_of_some_days(tmp_path: Path, small: Path) -> None:
    out = tmp_path / "out"
    rows = json.loads(
        margin("backtest", "--out", out, "--model", small, "--from", "2025-03-01", "--to",
               "2025-04-30", "--engine", "historical", "--engine", "filtered EWMA", "--json")
    )["tests"]  # fmt: skip
    assert len(rows) == 8 * 2 * 3
    assert {r["portfolio"] for r in rows} >= {"outright", "BTC-ETH spread", "short gamma, hedged"}
    assert all(r["all_dates"] == 61 and r["dates"] == 31 for r in rows)
    series = pq.read_table(out / "series.parquet")
    assert series.num_rows == 61
    assert "Test results" in (out / "report.html").read_text()
    text = margin("backtest", "--out", tmp_path / "y", "--engine", "crystal ball", code=2)
    assert "one of: historical, filtered EWMA, filtered GARCH, Monte Carlo" in text


def test_a_backtest_in_words(tmp_path: Path) -> None:
    """Piped output has no colour; the zone and the reason for the last date are words."""
    text = margin("backtest", "--out", tmp_path / "out", "--from", "2026-01-01",
                  "--engine", "historical")  # fmt: skip
    assert " green" in text
    said = " ".join(text.split())
    assert "The last date is 2026-01-14: its outcome is known on 2026-01-16, and " in said
    html = (tmp_path / "out" / "report.html").read_text()
    assert "the last date is 2026-01-14" in body_of(html)


def test_equal_methods_are_named_with_the_reason() -> None:
    models = {name: load_model(name) for name in ("span", "hybrid", "hs-surface")}
    book = book_from_table(
        pa.table({"member_id": ["M"] * 2, "account_id": ["A", "B"],
                  "instrument_name": ["BTC-PERPETUAL"] * 2, "quantity": [1.0, 2.0]}),
        where="book",
    )  # fmt: skip

    def compared(**margins: list[float]) -> list[str]:
        found = [
            MethodMargins(name.replace("_", "-"), "", "", np.repeat([values], 4, axis=0).T)
            for name, values in margins.items()
        ]
        return equal_methods(Comparison(book, "", tuple(found)), models)

    assert compared(span=[1.0, 2.0], hybrid=[1.0, 2.004]) == [
        "span and hybrid give the same requirement of every account to the cent: the floor of "
        "hybrid, 100 % of VaR, is below SPAN for each of the 2 accounts and therefore has no "
        "effect."
    ]
    assert compared(span=[1.0, 2.0], hybrid=[1.0, 2.01]) == []
    assert compared(span=[1.0, 2.0], hs_surface=[1.0, 2.0]) == [
        "span and hs-surface give the same requirement of every account to the cent."
    ]


@pytest.mark.slow
def test_a_book_s_backtest_over_the_recorded_chains(tmp_path: Path) -> None:
    made = tmp_path / "made"
    margin("data", "generate", "--out", made, "--seed", 3, "--accounts", 12)
    book = next((made / "portfolios").glob("book*.parquet"))
    out = tmp_path / "out"
    text = margin("backtest", "--data", made, "--out", out, "--book", book, "--from", "2026-01-02",
                  "--engine", "historical")  # fmt: skip
    assert "12 accounts on" in text
    tests = pq.read_table(out / "tests.parquet")
    assert tests.num_rows == 12 * 3
    assert pc.min(tests.column("dates")).as_py() >= 3


@pytest.mark.slow
def test_procyclicality_of_some_days(tmp_path: Path, small: Path) -> None:
    out = tmp_path / "out"
    rows = json.loads(
        margin("procyclicality", "--out", out, "--model", small, "--from", "2025-03-01", "--to",
               "2025-04-30", "--json")
    )["responses"]  # fmt: skip
    assert len(rows) == 8 * 6
    by = {(r["portfolio"], r["tool"]): r for r in rows}
    assert by["outright", "all"]["mean"] >= by["outright", "none"]["mean"]
    assert pq.read_table(out / "series.parquet").num_rows == 61
    assert "peak to trough" in (out / "report.html").read_text()


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "stress_rows", "total_usd"),
    # Seven named days of two windows each and four hypothetical moves; the fall itself is known.
    # Version 2 has eight rows that move the bases, too.
    [("ccp-default@1", 17, 1.534e9), ("ccp-default", 25, 1.697e9)],
)
def test_the_large_book_after_the_fall_of_february(
    data_root: Path, tmp_path: Path, version: str, stress_rows: int, total_usd: float
) -> None:
    """1,000 accounts on real data under the full model: parts add up, floors bind, the buffer is
    released, and every section has its rows."""
    settings = Settings(store=tmp_path, data=data_root, threads=2, deribit_url="")
    place = open_workspace(settings, data_root)
    book = data_root / "portfolios" / "book_20260206T093516Z_1000.parquet"
    collateral = data_root / "portfolios" / "collateral_20260206T093516Z_1000.csv"
    request = RunRequest("2026-02-06T09:35:16Z", book, collateral, load_model(version),
                         unknown_accounts="list")  # fmt: skip
    output = run_margin(place, request)
    r = output.result
    np.testing.assert_allclose(
        r.margins.components_usd.sum(axis=1), r.margins.initial_margin_usd, rtol=1e-12
    )
    assert np.all(r.margins.es_usd >= r.margins.var_usd)
    counts = {n: output.scenarios.section(n).count for n in output.scenarios.section_names}
    assert counts["core"] == 1825
    assert counts["long"] > 3600
    assert counts["stress_period"] == 250
    assert counts["stress"] == stress_rows
    assert output.scenarios.calibration.buffer_shares["BTC"] < 0.05
    assert r.margins.initial_margin_usd.sum() == pytest.approx(total_usd, rel=2e-3)
    equity = output.equity
    assert equity is not None
    assert np.all(equity.counted_usd <= equity.market_value_usd + 1e-9)
    # Accounts without a position have deposits, and no row in the book's file.
    assert len(output.unknown_accounts) == 77
