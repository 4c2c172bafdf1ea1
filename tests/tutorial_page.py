"""The files and commands of docs/tutorial.md: written to a folder, run, and compared.

To print the outputs on the page again after a change of the command line:
``PYTHONPATH=tests .venv/bin/python -m tutorial_page``.
"""

import contextlib
import re
import shlex
import tempfile
from pathlib import Path

from margin_cluster.cli import app
from typer.testing import CliRunner

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"
_FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_SESSION = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
_UNSTABLE = re.compile(r"\b[0-9a-f]{16,}\b")
"""Hashes: they change whenever a parameter is added to the model."""
WIDTH = 110
"""Width of the terminal in which the commands run, characters."""


def write_files(folder: Path) -> list[str]:
    """Write the files of the page below `folder`; return their names."""
    found = _FILE.findall(PAGE.read_text())
    for name, content in found:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return [name for name, _ in found]


def commands(session: str) -> list[str]:
    """Return the commands of a session as they are written, without the prompt."""
    return _COMMAND.findall(session)


def sessions() -> list[str]:
    """Return the sessions of the page: commands after ``$``, each followed by its output."""
    return _SESSION.findall(PAGE.read_text())


def run(command: str, folder: Path) -> str:
    """Run a command of the page in `folder` and return what it prints on standard output."""
    program, *arguments = shlex.split(command.replace("\\\n", " "))
    assert program == "margin", command
    environment = {
        "COLUMNS": str(WIDTH),
        "MARGIN_DATA": None,
        "MARGIN_STORE": str(folder / ".store"),
    }
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, arguments, env=environment)
    assert done.exit_code == 0, f"{command}\n{done.output}"
    lines = [line.rstrip() for line in done.stdout.strip("\n").splitlines()]
    return "".join(line + "\n" for line in lines)


def stable(text: str) -> str:
    """Return a text with hashes replaced by an ellipsis."""
    return _UNSTABLE.sub("…", text)


def session_now(session: str, folder: Path) -> str:
    """Run the commands of a session and return the session as it should be printed."""
    return "".join(f"$ {c}\n{stable(run(c, folder))}" for c in commands(session))


def main() -> None:
    """Replace the outputs on the page by the present ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        text = _SESSION.sub(
            lambda found: f"```console\n{session_now(found[1], folder)}```", PAGE.read_text()
        )
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
