"""The files for members: documented columns, hashes, and a recomputation without the project."""

import ast
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from json_documents import SCHEMAS
from made import ADD_ONS, EVERYTHING, made_scenarios, model_from, options_of, sections
from margin_cluster.cli import app
from margin_cluster.member_files import FILES, MANIFEST, exported_files, reference_page
from typer.testing import CliRunner

from margin_actors.engine.disclosure import disclose
from margin_actors.engine.margin import prepare_market
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import BasisProvenance, PerpetualBasisMoves, ScenarioSet
from margin_actors.market.books import Book, book_of_portfolios, other_accounts, select_account
from margin_actors.market.rates import RateCurve
from margin_actors.market.snapshots import MarketSnapshot

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "examples" / "replicate.py"


def write_export(folder: Path, snapshot: MarketSnapshot, book: Book, model: ModelParameters,
                 scenarios=None, others=None) -> Path:  # fmt: skip
    market = prepare_market(snapshot, model)
    found = disclose(market, sections() if scenarios is None else scenarios, book, others)
    folder.mkdir(exist_ok=True)
    for name, content in exported_files(found):
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def export(tmp_path_factory, snapshot: MarketSnapshot, book: Book) -> Path:
    folder = tmp_path_factory.mktemp("export")
    return write_export(folder, snapshot, book, model_from("hs-surface", **EVERYTHING))


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replicate", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["replicate"] = module  # its dataclasses look up their module
    spec.loader.exec_module(module)
    return module


BOUNDS: dict[str, object] = {
    **EVERYTHING,
    "scenarios": {"stress": {"enabled": True}, "perpetual_basis": {"moves": "history"}},
    "revaluation": {"rates": {"use": "curve"}, "unlisted_options": "surface"},
    "addons": {
        **ADD_ONS,
        "concentration": {"enabled": True, "participation": 0.001},
        "measure": "core",
        "members": {"enabled": True},
        "hedge": {"enabled": True},
        "close_out": {"parity": True, "value_bound": True, "settling_share": 1.0},
        "loss_bound": {"enabled": True},
    },
}


@pytest.fixture(scope="module")
def moving(snapshot: MarketSnapshot) -> tuple[MarketSnapshot, ScenarioSet, ModelParameters]:
    """A market with perpetuals of their own price and a rate curve, and a model that uses them."""
    made = sections()
    change = 0.003 * np.random.default_rng(4).normal(size=(len(made), 2))
    basis = PerpetualBasisMoves(change, np.full(change.shape, BasisProvenance.MADE, np.uint8))
    curve = RateCurve(date(2026, 1, 15), np.array([0.1, 1.0]), np.array([0.05, 0.04]))
    own = {u: 1.002 * level for u, level in snapshot.index_usd.items()}
    market = replace(snapshot, perpetual_usd=own, rates=curve)
    return market, replace(made, perpetual_basis=basis), model_from("hs-surface", **BOUNDS)


@pytest.fixture(scope="module")
def members(snapshot: MarketSnapshot, book: Book) -> Book:
    """The same accounts, four to a member, an account that can lose only its options, and one
    with every other kind of contract."""
    held = [
        (name, f"M{a // 4}", positions_of(book, a)) for a, name in enumerate(book.accounts[:12])
    ]
    cheap = [n for n in options_of(snapshot) if n.endswith("-C")][-1]
    expiry = cheap.split("-")[1]
    other = {cheap.replace("-", "_USDC-", 1): 40.0, f"ETH-{expiry}": -9e5, "BTC_USDC": 2.0,
             f"BTC_USDC-{expiry}": -3.0, "BTC_USDC-PERPETUAL": 5.0}  # fmt: skip
    return book_of_portfolios([*held, ("Y", "", other), ("Z", "", {cheap: 3.0})])


def positions_of(book: Book, account: int) -> dict[str, float]:
    rows = range(int(book.start[account]), int(book.start[account + 1]))
    return {book.instruments[book.instrument_index[p]]: float(book.quantity[p]) for p in rows}


@pytest.fixture(scope="module")
def clearing_house(tmp_path_factory, moving, members: Book) -> Path:
    snapshot, scenarios, model = moving
    return write_export(tmp_path_factory.mktemp("bounds"), snapshot, members, model, scenarios)


def tampered(export: Path, folder: Path, file: str, change) -> Path:
    """Copy an export with one table changed, and with the hash of the changed file."""
    folder.mkdir()
    for path in export.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    table = change(pd.read_parquet(folder / file))
    table.to_parquet(folder / file)
    manifest = json.loads((folder / MANIFEST).read_text())
    for entry in manifest["files"]:
        if entry["name"] == file:
            entry["sha256"] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_the_program_imports_nothing_of_the_project() -> None:
    nodes = [n for n in ast.walk(ast.parse(PROGRAM.read_text()))
             if isinstance(n, ast.Import | ast.ImportFrom)]  # fmt: skip
    names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "." for n in nodes if isinstance(n, ast.ImportFrom)}
    outside = {n.partition(".")[0] for n in names} - set(sys.stdlib_module_names)
    assert outside == {"numpy", "pandas", "scipy"}


def test_every_component_is_recomputed_from_the_files_alone(export: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", PROGRAM, export], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every amount agrees within 1e-06" in done.stdout
    for component in ("core", "stressed_weight", "model_risk", "expiry_risk", "initial_margin"):
        assert re.search(rf"^{component} ", done.stdout, re.MULTILINE)


def test_floors_sizes_by_member_and_bounds_are_recomputed(program, clearing_house: Path) -> None:
    table = program.recompute(program.load(clearing_house))
    assert table["difference"].max() < 1e-6
    figures = pd.read_parquet(clearing_house / "figures.parquet")
    for figure in ("factor_max", "bucket_es_usd", "unbounded_usd", "counted_loss_usd"):
        assert (figures["figure"] == figure).any(), figure
    amounts = table.groupby("component")["amount_usd"].sum()
    assert (amounts[["extended_moves", "concentration", "liquidity", "model_risk"]] > 0.0).all()


def test_an_account_needs_no_position_of_its_member_s_other_accounts(
    program, tmp_path, moving, members: Book, clearing_house: Path
) -> None:
    snapshot, scenarios, model = moving
    account, name = select_account(members, 5), members.accounts[5]
    others = other_accounts(members, [name])
    folder = write_export(tmp_path / "e", snapshot, account, model, scenarios, others)
    whole, own = (t.recompute(t.load(f)) for t, f in ((program, clearing_house), (program, folder)))
    assert own["difference"].max() < 1e-6
    whole = whole[whole["account_id"] == name]
    assert own["amount_usd"].tolist() == whole["amount_usd"].tolist()
    assert json.loads((folder / MANIFEST).read_text())["incomplete_members"] == ["M1"]
    fellows = set(others.accounts)
    for item in FILES:
        if item.is_own:
            table = pd.read_parquet(folder / f"{item.name}.parquet")
            assert not fellows & set(table["account_id"])
    alone = write_export(tmp_path / "alone", snapshot, account, model, scenarios)
    charged = pd.read_parquet(folder / "components.parquet").set_index("component")["amount_usd"]
    apart = pd.read_parquet(alone / "components.parquet").set_index("component")["amount_usd"]
    assert charged["concentration"] > apart["concentration"]


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("contracts.parquet", "discount"),
        ("depth.parquet", "typical_vol"),
        ("positions.parquet", "lots"),
        ("scenarios.parquet", "loss_share"),
        ("scenarios.parquet", "ETH.perpetual_basis_change"),
    ],
)
def test_every_further_input_is_used(
    program, tmp_path, clearing_house: Path, file: str, column: str
) -> None:
    changed = tampered(
        clearing_house, tmp_path / "e", file, lambda t: t.assign(**{column: 1.01 * t[column]})
    )
    assert program.main(changed) == 1


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("addons", "wrong_way", {"enabled": False}),
        ("addons", "measure", "median"),
        ("tails", "gap_moves", {"enabled": False}),
    ],
)
def test_a_parameter_that_the_program_does_not_know_is_refused(
    program, export: Path, section: str, name: str, value: object
) -> None:
    model = json.loads((export / "model.json").read_text())
    program.refuse_unknown_parameters(model)
    model[section][name] = value
    with pytest.raises(program.UnknownContentError, match=name):
        program.refuse_unknown_parameters(model)


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
    program, tmp_path, snapshot, book, preset: str, changed: dict[str, object]
) -> None:
    folder = write_export(tmp_path / "e", snapshot, book, model_from(preset, **changed))
    table = program.recompute(program.load(folder))
    assert len(table) >= 2 * len(book.accounts)
    if "tails" in changed:
        floor = table[table["component"] == "short_option_minimum"]["amount_usd"]
        assert (floor > 0.0).sum() > 3
    assert table["difference"].max() < 1e-6


def test_weighted_rows_are_recomputed(program, tmp_path, snapshot, book) -> None:
    weight = np.linspace(1.0, 4.0, 300)
    aged = replace(made_scenarios(300), weight=weight / weight.sum())
    folder = write_export(tmp_path / "e", snapshot, book, model_from("hs-surface"), aged)
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
    program, tmp_path, export, snapshot, book, capsys
) -> None:
    gap = [{"name": "gap_risk", "parameters": {"usd_per_coin": 250.0}}]
    other = write_export(tmp_path / "gap", snapshot, book, model_from("hs-surface", components=gap))
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


def test_every_column_is_described_and_exists(clearing_house: Path) -> None:
    for item in FILES:
        found = pq.read_schema(clearing_house / f"{item.name}.parquet").names
        assert {c for c in found if item.column(c) is None} == set(), item.name
        used = {c.names for c in (item.column(name) for name in found) if c is not None}
        assert {c.names for c in item.columns} == used, item.name


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
        [sys.executable, "-I", PROGRAM, files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
