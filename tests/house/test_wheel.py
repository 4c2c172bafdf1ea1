"""What is shipped works where nothing else is installed."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: object, code: int = 0) -> str:
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, check=False, cwd="/", timeout=280
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)
    return next(folder.glob("*.whl"))


def environment(folder: Path, requirement: str) -> Path:
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, requirement)
    return python


@pytest.mark.slow
def test_the_base_install_is_the_client_and_says_what_is_missing(
    wheel: Path, tmp_path: Path
) -> None:
    python = environment(tmp_path / "base", str(wheel))
    run(python, "-c", "import margin_client, margin_protos.v1")
    installed = run(python, "-m", "pip", "list", "--format", "freeze").lower()
    assert "numpy" not in installed
    assert "pip install 'margin-cluster[cluster]'" in run(tmp_path / "base/bin/margin", code=2)


@pytest.mark.slow
def test_the_whole_install_margins_the_embedded_book(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "all", f"{wheel}[cluster]")
    script = (
        f"import os, sys; os.environ['MARGIN_STORE'] = {str(tmp_path / 'store')!r}; "
        f"sys.argv = ['margin', 'run', '--out', {str(tmp_path / 'out')!r}, '--json']; "
        "from margin_cluster.__main__ import main; main()"
    )
    assert '"accounts": 100' in run(python, "-c", script)
    assert (tmp_path / "out" / "report.html").stat().st_size > 1_000_000
