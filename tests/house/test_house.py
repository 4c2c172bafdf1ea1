"""What the project promises about itself."""

import json
import re
import subprocess
import sys
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from margin_actors.engine.parameters import EARLIER, PRESETS, ModelParameters, preset

ROOT = Path(__file__).resolve().parents[2]


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a bare interpreter has loaded after `statement`."""
    code = f"{statement}; import sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_client_loads_neither_numpy_nor_the_server() -> None:
    heavy = {"numpy", "ray", "numba", "pyarrow", "pydantic", "margin_actors", "margin_cluster"}
    assert not heavy & loaded_by("import margin_client, margin_protos.v1")


def test_the_engine_loads_neither_ray_nor_grpc_nor_the_web() -> None:
    heavy = {"ray", "grpc", "google", "urllib3", "typer", "rich", "plotly", "margin_cluster"}
    assert not heavy & loaded_by("import margin_actors.engine.margin")


def test_no_file_is_longer_than_400_lines() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    long = [
        f"{name}: {n}"
        for name in listed.stdout.split()
        if "_pb2" not in name and (n := len((ROOT / name).read_text().splitlines())) > 400
    ]
    assert not long


def test_books_are_constructed_in_one_module() -> None:
    found = [
        str(path.relative_to(ROOT))
        for folder in ("margin_actors", "cluster", "client")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"(?<!class )\bBook\(", path.read_text())
    ]
    assert found == ["margin_actors/market/books.py"]


def test_every_dependency_is_pinned_and_no_address_is_named() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert " @ " not in text
    pinned = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in text.split("\n")
        if "==" in line
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = {
        re.sub(r"[-_.]+", "-", re.split(r"[<>=\[;]", item)[0]).lower()
        for group in [project["dependencies"], *extras]
        for item in group
    } - {"margin-cluster"}
    assert wanted <= pinned


def test_the_base_install_is_the_client_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=]", item)[0] for item in project["dependencies"]}
    assert names == {"googleapis-common-protos", "grpcio", "protobuf", "typing_extensions"}


def test_without_the_engine_the_command_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['typer'] = None\nfrom margin_cluster.__main__ import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'margin-cluster[cluster]'" in done.stderr


@pytest.mark.parametrize("target", ["run", "test", "test-slow", "bench", "check", "fix", "docs"])
def test_make_help_prints_the_commands(target: str) -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(rf"^{target}\s", done.stdout, re.MULTILINE)


def test_the_readme_s_python_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    alone = [b for b in blocks if "MarginClient" not in b]  # the others are tried where one serves
    assert alone
    for number, block in enumerate(alone):
        script = tmp_path / f"block_{number}.py"
        script.write_text(block)
        subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True, timeout=120)


def sections_of(part: type[BaseModel], where: str) -> Iterator[tuple[str, FieldInfo]]:
    """Every field of a model's sections and of the sections below them."""
    for name, field in part.model_fields.items():
        yield f"{where}.{name}", field
        for kind in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from sections_of(kind, f"{where}.{name}")


def test_every_parameter_of_the_model_says_what_it_means() -> None:
    found = list(sections_of(ModelParameters, "model"))
    assert len(found) > 120
    silent = [name for name, field in found if not field.description]
    assert silent == ["model.name", "model.description"]


def changed_once(part: BaseModel) -> Iterator[BaseModel]:
    """Every model that differs in one field, sections gone through."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(part, ModelParameters) and name in ("name", "version", "description"):
            continue
        if isinstance(value, BaseModel):
            for other in changed_once(value):
                yield part.model_copy(update={name: other})
        elif isinstance(value, bool):
            yield part.model_copy(update={name: not value})
        elif isinstance(value, int | float):
            yield part.model_copy(update={name: value + 1})
        else:
            yield part.model_copy(update={name: None if value else "another"})


@pytest.mark.filterwarnings("ignore::UserWarning")  # values that no file could give
def test_every_parameter_is_part_of_the_model_s_id() -> None:
    base = preset("ccp-default")
    free = base.model_copy(update={"name": "a", "version": "b", "description": "c"})
    assert free.id == base.id
    others = [changed.id for changed in changed_once(base)]
    assert len(others) > 100
    assert len({base.id, *others}) == len(others) + 1


def test_a_preset_s_version_never_changes_its_meaning() -> None:
    kept = json.loads((ROOT / "tests/golden/model_versions.json").read_text())
    now = {f"{m.name} {m.version}": m.id for m in (*PRESETS.values(), *EARLIER.values())}
    assert now.items() <= kept.items(), "give a changed preset a new version, and note its id"
