"""What the project promises about itself."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from margin_actors.engine.parameters import ModelParameters, parameters_from_mapping, preset

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


def test_no_file_of_ours_is_longer_than_500_lines() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    long = [
        f"{name}: {n}"
        for name in listed.stdout.split()
        if "_pb2" not in name and (n := len((ROOT / name).read_text().splitlines())) > 500
    ]
    assert not long


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


@pytest.mark.parametrize("target", ["run", "test", "test-slow", "bench", "check", "fix"])
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


def test_every_parameter_of_the_model_says_what_it_means() -> None:
    for name, part in ModelParameters.model_fields.items():
        for field_name, field in getattr(part.annotation, "model_fields", {}).items():
            assert field.description, f"{name}.{field_name}"


def test_every_parameter_is_part_of_the_model_s_id() -> None:
    base = preset("hs-surface")
    other = {
        "sources": ["x"], "frequency": "1h", "aggregate": "first", "gap_rule": "linear",
        "underlyings": ["BTC"], "sampling": "non_overlapping", "surface_moves": "none",
        "vol_index_sources": ["x"], "smile": "sabr", "dynamics": "frozen", "time": "horizon",
        "unlisted_options": "surface", "shocked_surfaces": "keep", "core": "var",
        "overlap": "mean_of_sub_samples", "horizon_hours": 72.0, "extension_hours": 24.0,
        "step_hours": 12.0, "confidence": 0.99, "pnl_quantum_usd": None,
    }  # fmt: skip
    ids, changed = {base.id}, 0
    for section in ("history", "quality", "scenarios", "revaluation", "measure"):
        for name, value in getattr(base, section).model_dump(mode="json").items():
            if name == "engine":
                continue  # there is one, so far
            new = other.get(name, not value if isinstance(value, bool) else None)
            if new is None and name not in other:
                new = value / 2 if isinstance(value, float) and value <= 1 else value + 7
            changes = {"extends": "hs-surface", section: {name: new}}
            ids.add(parameters_from_mapping(changes, where=name).id)
            changed += 1
    assert len(ids) == changed + 1
