"""Files and folders that appear whole or not at all: written aside, then renamed."""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from margin_actors.errors import MarginError, Problem


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path beside `path`, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        write(aside)
        aside.chmod(0o644)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def create_atomically(path: Path, text: str) -> None:
    """Write a file that is not there yet; one that another process wrote first stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        aside.chmod(0o644)
        with suppress(FileExistsError):
            path.hardlink_to(aside)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder_atomically(path: Path, *, replace: bool) -> Generator[Path]:
    """Yield an empty folder beside `path` that becomes `path` if the block does not raise.

    Raises
    ------
    MarginError
        If `path` exists, holds anything and `replace` is False.
    """
    path = path.absolute()
    if path.exists() and not (path.is_dir() and not any(path.iterdir())) and not replace:
        raise MarginError(
            f"{path} exists",
            [Problem("--out", str(path), "name another folder, or add --force to replace it")],
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield aside
        aside.chmod(0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
            path.rename(old / path.name)
            aside.rename(path)
            shutil.rmtree(old)
        else:
            aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
