"""The commands of the README run as they are written, on the synthetic data set."""

import contextlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from margin_cluster.cli import app
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
_BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands_of(section: str) -> list[list[str]]:
    """Return the arguments of each `margin` command in the blocks of a section."""
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = "".join(_BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    assert found
    assert all(command[0] == "margin" for command in found)
    return [command[1:] for command in found]


FULL_MODEL = commands_of("The full model")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the commands run one after another."""
    return tmp_path_factory.mktemp("readme")


def test_results_of_the_readme_s_commands_neither_collide_with_files_nor_enter_git() -> None:
    commands = [*FULL_MODEL, *commands_of("Your own data")]
    folders = {c[c.index("--out") + 1] for c in commands if "--out" in c}
    assert len(folders) >= 5
    tracked = subprocess.run(
        ["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert tracked.stdout == ""
    for folder in sorted(folders):
        ignored = subprocess.run(["git", "check-ignore", "-q", f"{folder}/"], cwd=ROOT, check=False)
        assert ignored.returncode == 0, f"{folder} is not in .gitignore"


@pytest.mark.slow
@pytest.mark.timeout(900)  # a challenge takes minutes
@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", FULL_MODEL, ids=lambda c: " ".join(c[:4]))
def test_a_command_of_the_readme_succeeds(command: list[str], elsewhere: Path) -> None:
    with contextlib.chdir(elsewhere):
        done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
