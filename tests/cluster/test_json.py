"""Every JSON document agrees with its published schema, and errors are documents too."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import jsonschema
import pytest
import typer
from json_documents import SCHEMAS, validated
from margin_cluster.cli import app
from margin_cluster.cli.errors import KINDS, kind_of
from margin_cluster.cli.schemas import COMMANDS
from margin_cluster.cli.schemas.page import reference_page
from margin_cluster.ledger import Ledger, sqlite_url
from typer.testing import CliRunner

from margin_actors.clearing.amounts import requirement_units
from margin_actors.engine.parameters import EARLIER, PRESETS
from margin_actors.errors import InvalidPortfolio, MarginError

pytestmark = pytest.mark.usefixtures("environment")
ROOT = Path(__file__).resolve().parents[2]


def document(*arguments: object, code: int = 0) -> dict:
    """Run a command with --json; its standard output is one document that fits its schema."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    return validated(result.stdout)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, store_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("json") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARGIN_STORE", str(store_root))
        patch.delenv("MARGIN_DATA", raising=False)
        found = document("run", "--out", folder)
    assert (found["schema"], found["out"]) == ("margin.run/1", str(folder))
    assert found["accounts"] == 100
    assert sum(found["components_usd"].values()) == pytest.approx(found["initial_margin_usd"])
    return folder


def test_an_explained_account_is_a_document(run_folder: Path) -> None:
    account = (run_folder / "margin.csv").read_text().split("\n")[1].split(",")[0].strip('"')
    found = document("explain", "account", run_folder, "--account", account)
    assert found["schema"] == "margin.explain-account/1"
    linear = [p for p in found["traced"]["positions"] if p["volatility_annual"] is None]
    assert all(p["strike_usd"] is None for p in linear)
    changes = document("explain", "changes", run_folder, run_folder, "--account", account)
    assert changes["schema"] == "margin.explain-changes/1"
    rounded_up = requirement_units(found["initial_margin_usd"]) / 100
    assert changes["before_usd"] == changes["after_usd"] == rounded_up
    assert sum(changes["after_components_usd"].values()) == pytest.approx(rounded_up, abs=1e-9)
    assert all(step["change_usd"] == 0 and not step["inputs"] for step in changes["steps"])


def test_studies_are_documents(tmp_path: Path) -> None:
    days = ("--from", "2025-12-01", "--to", "2025-12-10")
    compared = document(
        "compare", "--out", tmp_path / "c", "--method", "span", "--method", "hybrid"
    )
    assert [m["method"] for m in compared["methods"]] == ["span", "hybrid"]
    tested = document("backtest", "--out", tmp_path / "b", *days, "--engine", "historical")
    assert (tested["first_date"], tested["last_date"]) == days[1::2]
    assert tested["remarks"] == []  # the last date was asked for
    found = document("procyclicality", "--out", tmp_path / "p", *days)
    assert found["schema"] == "margin.procyclicality/1"


def test_market_data_and_scenarios_are_documents() -> None:
    checked = document("data", "check")
    assert (checked["schema"], checked["has_chains"]) == ("margin.data-check/1", True)
    surface = document("surface", "show")
    assert all(0.0 < e["atm_vol_annual"] < 5.0 for e in surface["expiries"])
    built = document("scenarios", "build")
    assert document("scenarios", "show", built["id"]) == built
    assert built["id"] in document("scenarios", "list")["ids"]


def test_models_are_documents() -> None:
    listed = document("model", "list")
    assert document("model", "show") == listed
    assert [m["name"] for m in listed["models"] if m["is_default"]] == ["hs-surface"]
    shown = document("model", "show", "span")
    assert shown["parameters"]["measure"]["core"] == "span"
    assert shown["id"] in {m["id"] for m in listed["models"]}
    assert document("model", "diff", "span", "hybrid")["changes"][0]["before"]
    assert document("model", "versions")["schema"] == "margin.model-versions/1"


def test_ledger_commands_print_documents(tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.mkdir()
    Ledger(sqlite_url(root / "ledger.sqlite")).close()
    made = document("ledger", "backup", tmp_path / "backup", "--state", root)
    assert made["missing"] == []
    restored = document("ledger", "restore", tmp_path / "backup", "--state", tmp_path / "new")
    assert restored["hash"] == made["hash"]
    verified = document("ledger", "verify", "--state", tmp_path / "new")
    assert (verified["is_intact"], verified["findings_total"]) == (True, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "text"),
    [
        (("run",), 2, "usage", "--out"),
        (("run", "--out", "o", "--pages"), 2, "usage", "--pages"),
        (("surface", "show", "--smile", "cubic"), 2, "usage", "cubic"),
        (("model", "show", "none"), 2, "invalid_parameters", "none"),
        (("data", "check", "--data", "absent"), 2, "missing_market_data", "absent"),
        (("scenarios", "show", "scenarios-0"), 2, "invalid_market_data", "not found"),
        (("explain", "account", "absent", "--account", "A"), 2, "invalid_request", "inputs.json"),
        (("status", "--address", "127.0.0.1:1"), 4, "source_unavailable", "no service answers"),
    ],
)
def test_an_error_is_a_document_with_a_stable_kind(
    arguments: tuple[str, ...], code: int, kind: str, text: str
) -> None:
    found = document(*arguments, code=code)
    assert (found["schema"], found["kind"], found["exit_code"]) == ("margin.error/1", kind, code)
    assert text in json.dumps(found)
    plain = CliRunner().invoke(app, list(arguments))
    assert plain.exit_code == code
    assert plain.stdout == ""


def test_every_problem_of_an_input_is_in_the_document(tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    rows = "".join(f"M,A{i},BTC-PERPETUAL,inf\n" for i in range(30))
    path.write_text(f"member_id,account_id,instrument_name,quantity\n{rows}")
    found = document("run", "--out", tmp_path / "out", "--book", path, code=2)
    assert found["kind"] == "invalid_portfolio"
    assert len(found["problems"]) == 30
    assert "quantity is inf" in found["problems"][29]["description"]
    assert str(path) in found["problems"][29]["where"]
    assert found["problems"][29]["remedy"] == "give a finite number"


def subclasses(base: type[MarginError]) -> Iterator[type[MarginError]]:
    for child in base.__subclasses__():
        if child.__module__ == "margin_actors.errors":
            yield child
        yield from subclasses(child)


def test_every_error_has_its_own_kind() -> None:
    assert set(subclasses(MarginError)) == set(KINDS)
    assert len(set(KINDS.values())) == len(KINDS)
    assert kind_of(type("Special", (InvalidPortfolio,), {})("x")) == "invalid_portfolio"
    assert kind_of(MarginError("x")) == "other"


def commands_of(group: Mapping[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    for name, command in group.items():
        below = getattr(command, "commands", None)
        if below is None:
            yield f"{path}{name}", command
        else:
            yield from commands_of(below, f"{path}{name} ")


def all_commands() -> dict[str, object]:
    return dict(commands_of(typer.main.get_command(app).commands))


def test_every_command_with_json_has_a_schema() -> None:
    with_json = {
        name for name, c in all_commands().items() if any("--json" in p.opts for p in c.params)
    }
    described = {name for names in COMMANDS.values() for name in names}
    variants = {
        "model show MODEL",
        "backtest --chains",
        "challenge --history",
        "every command that fails",
    }
    assert with_json == described - variants


@pytest.mark.parametrize("form", SCHEMAS)
def test_schemas_are_printed_and_describe_themselves(form: str) -> None:
    result = CliRunner().invoke(app, ["schema", form])
    assert json.loads(result.stdout) == SCHEMAS[form]
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[form])
    assert SCHEMAS[form]["properties"]["schema"]["const"] == form
    assert SCHEMAS[form]["description"]
    assert form in CliRunner().invoke(app, ["schema"]).stdout


def test_an_unknown_schema_names_the_known_ones() -> None:
    result = CliRunner().invoke(app, ["schema", "margin.lunch/1"])
    assert result.exit_code == 2
    assert "one of: margin.run/1, margin.compare/1" in result.stderr


def test_the_page_describes_the_documents_as_they_are() -> None:
    page = (ROOT / "docs" / "json.md").read_text()
    section = re.search(r"begin of the reference -->\n(.*)\n<!-- end", page, re.DOTALL)
    assert section is not None
    assert section[1].strip() == reference_page(COMMANDS).strip(), (
        "write the output of `margin schema --markdown` into docs/json.md"
    )


def test_every_command_has_short_help() -> None:
    for name in all_commands():
        result = CliRunner().invoke(app, [*name.split(), "-h"])
        assert result.exit_code == 0, name
        assert "--help" in result.stdout


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert re.fullmatch(r"margin-cluster \d+\.\d+\.\S+\n", result.stdout)


def test_models_are_listed_one_per_line() -> None:
    lines = CliRunner().invoke(app, ["model", "list"]).stdout.splitlines()
    assert len(lines) == len(PRESETS) + len(EARLIER)
    assert [line.split()[:2] for line in lines][:2] == [["plain-hs", "1"], ["hs-surface", "1"]]
    assert lines[1].endswith("(default)")
