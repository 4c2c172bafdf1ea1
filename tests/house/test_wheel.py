"""The wheel works where only its declared requirements are installed.

Nothing is fetched: the wheel is built by the installed build backend, and a new environment gets
links to the installed files of the distributions that the wheel's metadata require.
"""

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

pytest.importorskip("hatchling", reason="the build backend is not installed: `hatchling`")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
OFFLINE = ("--no-deps", "--no-index")


def run(*command: object, code: int = 0) -> str:
    # An interpreter of a new environment must not see this working copy.
    left_out = "PYTHONPATH" if command[0] != sys.executable else ""
    environment = {n: v for n, v in os.environ.items() if n != left_out}
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, check=False, cwd="/",
        timeout=280, env=environment,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", *OFFLINE, "--no-build-isolation", "-w", folder, ROOT)
    return next(folder.glob("*.whl"))


def requirements_of(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    return metadata.get_all("Requires-Dist") or []


def required(requirements: list[str], extra: str) -> Iterator[Requirement]:
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def closure(wheel: Path, extra: str) -> list[Distribution]:
    """Return all installed distributions that the wheel requires, directly or indirectly."""
    own = requirements_of(wheel)
    todo = [("margin-cluster", e) for e in {"", extra}]
    seen = set(todo)
    found: dict[str, Distribution] = {}
    while todo:
        name, wanted = todo.pop()
        if name != "margin-cluster":
            found[name] = distribution(name)
        lines = own if name == "margin-cluster" else found[name].requires or []
        for requirement in required(lines, wanted):
            more = {(requirement.name.lower(), e) for e in ("", *requirement.extras)} - seen
            seen |= more
            todo += more
    return list(found.values())


def environment(folder: Path, wheel: Path, extra: str = "") -> Path:
    """Make an environment with the wheel and what it requires; return its interpreter."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    run(*PIP, "--python", python, "install", *OFFLINE, wheel)
    (site,) = folder.glob("lib/python3*/site-packages")
    for item in closure(wheel, extra):
        for file in item.files or ():
            if ".." in file.parts or file.suffix == ".pyc":
                continue
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            if not (site / file).exists():
                (site / file).symlink_to(Path(str(item.locate_file(file))).resolve())
    return python


def test_the_base_install_is_the_client_and_says_what_is_missing(
    wheel: Path, tmp_path: Path
) -> None:
    python = environment(tmp_path / "base", wheel)
    run(python, "-c", "import margin_client, margin_protos.v1")
    assert "No module named 'numpy'" in run(python, "-c", "import numpy", code=1)
    assert "pip install 'margin-cluster[cluster]'" in run(tmp_path / "base/bin/margin", code=2)


def test_the_whole_install_margins_the_embedded_book(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "all", wheel, "cluster")
    script = (
        f"import os, sys; os.environ['MARGIN_STORE'] = {str(tmp_path / 'store')!r}; "
        f"sys.argv = ['margin', 'run', '--out', {str(tmp_path / 'out')!r}, '--json']; "
        "from margin_cluster.__main__ import main; main()"
    )
    assert '"accounts": 100' in run(python, "-c", script)
    assert (tmp_path / "out" / "report.html").stat().st_size > 1_000_000
