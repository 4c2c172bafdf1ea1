"""The files for members: documented columns, hashes, and a recomputation without the project."""

import ast
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from json_documents import SCHEMAS
from made import ADD_ONS, EVERYTHING, made_scenarios, model_from
from margin_cluster.cli import app
from margin_cluster.member_files import FILES, MANIFEST, reference_page
from member_exports import PROGRAM, ROOT, load_program, tampered, write_export
from typer.testing import CliRunner

from margin_actors.engine.parameters import ModelParameters
from margin_actors.market.books import Book, select_positions
from margin_actors.market.snapshots import MarketSnapshot


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return load_program()


@pytest.fixture(scope="module")
def few(book: Book) -> Book:
    """The first six accounts; the whole book takes three times as long to recompute."""
    chosen = np.arange(len(book.accounts)) < 6
    return select_positions(book, chosen, np.ones(book.n_positions, np.bool_))


@pytest.fixture(scope="module")
def export(tmp_path_factory, snapshot: MarketSnapshot, few: Book) -> Path:
    folder = tmp_path_factory.mktemp("export")
    return write_export(folder, snapshot, few, model_from("hs-surface", **EVERYTHING))


def test_the_program_imports_nothing_of_the_project() -> None:
    parts = sorted((PROGRAM.parent / "replication").glob("*.py"))
    assert len(parts) == 5
    trees = [ast.parse(path.read_text()) for path in (PROGRAM, *parts)]
    nodes = [n for tree in trees for n in ast.walk(tree)
             if isinstance(n, ast.Import | ast.ImportFrom)]  # fmt: skip
    names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "." for n in nodes if isinstance(n, ast.ImportFrom)}
    outside = {n.partition(".")[0] for n in names} - {*sys.stdlib_module_names, "replication"}
    assert outside == {"numpy", "pandas", "scipy"}


def test_every_component_is_recomputed_from_the_files_alone(
    tmp_path: Path, snapshot: MarketSnapshot, book: Book
) -> None:
    whole = write_export(tmp_path / "e", snapshot, book, model_from("hs-surface", **EVERYTHING))
    done = subprocess.run(
        [sys.executable, "-E", "-s", PROGRAM, whole], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every amount agrees within 1e-06" in done.stdout
    for component in ("core", "stressed_weight", "model_risk", "expiry_risk", "initial_margin"):
        assert re.search(rf"^{component} ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("addons", "wrong_way", {"enabled": False}),
        ("addons", "measure", "median"),
        ("tails", "gap_moves", {"enabled": False}),
    ],
)
def test_a_parameter_that_the_program_does_not_know_is_refused(
    program, export: Path, tmp_path, capsys, section: str, name: str, value: object
) -> None:
    model, manifest = (json.loads((export / file).read_text()) for file in ("model.json", MANIFEST))
    model[section][name] = value
    for path in export.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.json").write_text(json.dumps(model))
    entry = next(e for e in manifest["files"] if e["name"] == "model.json")
    entry["sha256"] = hashlib.sha256((tmp_path / "model.json").read_bytes()).hexdigest()
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    assert program.main(tmp_path) == 2
    assert f"{section}.{name}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("preset", "changed"),
    [
        ("hs-surface", {"revaluation": {"smile": "sabr", "dynamics": "sticky_delta"}}),
        ("hs-surface", {"revaluation": {"time": "horizon", "anchor_to_marks": False}}),
        ("hs-surface", {"revaluation": {"dynamics": "frozen"}, "measure": {"core": "var"}}),
        ("hs-surface", {"measure": {"core": "blend"},
                        "procyclicality": {"stress_period": {"floor": True}}}),
        ("hs-surface", {"measure": {"overlap": "mean_of_sub_samples"}, "addons": ADD_ONS}),
        ("hs-surface", {"procyclicality": {"stressed_weight": {"enabled": True,
                                                               "form": "observations"}}}),
        ("hs-surface", {"tails": {"short_option_minimum": {"enabled": True, "at_money": 0.5,
                                                           "least": 0.2, "count": "sum"}}}),
        ("plain-hs", {}),
    ],
)  # fmt: skip
def test_other_rules_are_recomputed(
    program, tmp_path, snapshot, few, preset: str, changed: dict[str, object]
) -> None:
    folder = write_export(tmp_path / "e", snapshot, few, model_from(preset, **changed))
    table = program.recompute(program.load(folder))
    assert len(table) >= 2 * len(few.accounts)
    if "tails" in changed:
        floor = table[table["component"] == "short_option_minimum"]["amount_usd"]
        assert (floor > 0.0).sum() > 3
    assert table["difference"].max() < 1e-6


def test_weighted_rows_are_recomputed(program, tmp_path, snapshot, few) -> None:
    weight = np.linspace(1.0, 4.0, 300)
    aged = replace(made_scenarios(300), weight=weight / weight.sum())
    folder = write_export(tmp_path / "e", snapshot, few, model_from("hs-surface"), aged)
    assert program.recompute(program.load(folder))["difference"].max() < 1e-6


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("components.parquet", "amount_usd"),
        ("measures.parquet", "initial_margin_usd"),
        ("smiles.parquet", "at_money_deviation"),
        ("contracts.parquet", "half_spread_usd"),
        ("depth.parquet", "vega_closed_per_day_usd"),
        ("scenarios.parquet", "BTC.spot_return"),
    ],
)
def test_a_difference_is_found(program, tmp_path, export, file: str, column: str) -> None:
    changed = tampered(
        export, tmp_path / "e", file, lambda t: t.assign(**{column: 1.001 * t[column]})
    )
    assert program.main(changed) == 1


def test_what_the_program_does_not_know_is_refused(
    program, tmp_path, export, snapshot, few, capsys
) -> None:
    gap = [{"name": "gap_risk", "parameters": {"usd_per_coin": 250.0}}]
    other = write_export(tmp_path / "gap", snapshot, few, model_from("hs-surface", components=gap))
    assert program.main(other) == 2
    assert "unknown components: gap_risk" in capsys.readouterr().err
    moved = tampered(export, tmp_path / "moved", "scenarios.parquet",
                     lambda t: t.assign(**{"BTC.perpetual_basis": 0.0}))  # fmt: skip
    assert program.main(moved) == 2
    assert "BTC.perpetual_basis" in capsys.readouterr().err
    with (moved / "positions.parquet").open("ab") as stream:
        stream.write(b"0")
    assert program.main(moved) == 2
    assert "was changed" in capsys.readouterr().err


def test_the_page_describes_the_files_as_they_are() -> None:
    page = (ROOT / "docs" / "files-for-members.md").read_text()
    section = re.search(r"begin of the reference -->\n(.*)\n<!-- end", page, re.DOTALL)
    assert section is not None
    assert section[1].strip() == reference_page().strip(), (
        "write margin_cluster.member_files.reference_page() into docs/files-for-members.md"
    )


def test_the_manifest_lists_every_file_with_its_hash(export: Path) -> None:
    manifest = json.loads((export / MANIFEST).read_text())
    listed = {entry["name"]: entry for entry in manifest["files"]}
    assert {p.name for p in export.iterdir()} == {*listed, MANIFEST}
    for name, entry in listed.items():
        content = (export / name).read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        if name.endswith(".parquet"):
            assert entry["rows"] == pq.read_metadata(export / name).num_rows


def test_the_model_has_every_parameter_also_those_with_their_default(export: Path) -> None:
    found = json.loads((export / "model.json").read_text())
    assert found["components"] == []  # omitted where models are stored
    own = model_from("hs-surface", **EVERYTHING)
    assert found["addons"]["model_risk"]["alternatives"][0] == {
        "smile": "svi", "dynamics": "sticky_strike"
    }  # fmt: skip
    assert found["id"] == own.id
    assert ModelParameters.model_validate({k: v for k, v in found.items() if k != "id"}) == own


# -- commands --------------------------------------------------------------------------------------

MODEL = """
extends = "hs-surface"
[scenarios]
windows = 200
[addons.liquidity]
enabled = true
"""


def margin(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, store_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    (folder / "model.toml").write_text(MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARGIN_STORE", str(store_root))
        patch.delenv("MARGIN_DATA", raising=False)
        margin("run", "--out", folder / "out", "--model", folder / "model.toml")
    return folder / "out"


@pytest.mark.usefixtures("environment")
def test_a_member_receives_its_own_accounts_only(run: Path, tmp_path: Path, program) -> None:
    known = pd.read_parquet(run / "margin.parquet")
    member = known["member_id"].iloc[0]
    text = margin("export", run, "--out", tmp_path / "e", "--member", member, "--json")
    document = json.loads(text)
    assert document["schema"] == "margin.export_result/1"
    own = known[known["member_id"] == member].set_index("account_id")
    assert 0 < len(own) < len(known)
    measures = pd.read_parquet(tmp_path / "e" / "measures.parquet").set_index("account_id")
    assert measures["initial_margin_usd"].to_dict() == own["initial_margin_usd"].to_dict()
    for item in FILES:
        path = tmp_path / "e" / f"{item.name}.parquet"
        if item.is_own and path.exists():
            assert set(pd.read_parquet(path)["account_id"]) <= set(own.index)
    manifest = json.loads((tmp_path / "e" / MANIFEST).read_text())
    assert manifest["accounts"] == list(own.index)
    assert program.main(tmp_path / "e") == 0


@pytest.mark.usefixtures("environment")
def test_an_unknown_member_and_a_changed_run_are_refused(run: Path, tmp_path: Path) -> None:
    text = margin("export", run, "--out", tmp_path / "e", "--member", "M-", "--account", "A-",
                  code=2)  # fmt: skip
    assert "M-" in text
    assert "A-" in text
    other = tmp_path / "run"
    other.mkdir()
    inputs = json.loads((run / "inputs.json").read_text())
    inputs["result"]["digest"] = "result-0"
    (other / "inputs.json").write_text(json.dumps(inputs))
    assert "cannot be reproduced" in margin("export", other, "--out", tmp_path / "f", code=2)
    assert not (tmp_path / "f").exists()


@pytest.mark.usefixtures("environment")
def test_risk_arrays_state_their_errors_in_every_file(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "arrays"
    document = json.loads(margin("risk-arrays", run, "--out", out, "--arrays", 8, "--json"))
    assert document["schema"] == "margin.risk_arrays/1"
    assert document["form_id" if "form_id" in document else "schema"] in SCHEMAS
    header = json.loads((out / "risk_arrays.json").read_text())
    assert header["errors"] == document["errors"]
    table = pq.read_table(out / "risk_arrays.parquet")
    meta = (table.schema.metadata or {})[b"margin_member_arrays"]
    assert json.loads(meta)["errors"] == header["errors"]
    comments = [x for x in (out / "risk_arrays.csv").read_text().splitlines() if x[0] == "#"]
    assert json.loads("".join(x[2:] for x in comments)) == header
    frame = pd.read_csv(out / "risk_arrays.csv", comment="#")
    assert [c for c in frame.columns if c.startswith("array_")] == [
        f"array_{k:02d}" for k in range(1, document["arrays"] + 1)
    ]
    rows = pd.read_parquet(out / "array_rows.parquet")
    assert rows.groupby("array")["weight"].sum().to_numpy() == pytest.approx(1.0)
    margin("risk-arrays", run, "--out", out, "--target", "lunch", code=2)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("time", "book"),
    [
        ("2026-05-15T11:27:31Z", "book_20260515T112731Z_100.parquet"),
        ("2026-02-06T09:35:16Z", "book_20260206T093516Z_1000.parquet"),
    ],
)
@pytest.mark.parametrize("model", ["ccp-default", "ccp-default@1"])
def test_a_recorded_book_is_recomputed(
    data_root: Path, environment: None, tmp_path: Path, time: str, book: str, model: str
) -> None:
    out, files = tmp_path / "run", tmp_path / "files"
    options = ["--data", data_root, "--book", data_root / "portfolios" / book, "--out", out]
    margin("run", *options, "--snapshot", time, "--model", model, "--no-pnl")
    margin("export", out, "--out", files)
    done = subprocess.run(
        [sys.executable, "-E", "-s", PROGRAM, files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
