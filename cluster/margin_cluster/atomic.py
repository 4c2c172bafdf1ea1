"""Atomic writes: a file or folder is written under a temporary name beside it, then renamed."""

import os
import secrets
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from margin_actors.errors import InvalidRequest, Problem


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path beside `path`, then rename it into place.

    The content is flushed to the disk before the rename. If an OSError names no file, or the
    temporary one, its file name is set to `path`.
    """
    aside = _name_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Created here rather than by `write`, so that its permissions follow the user's umask.
        aside.touch(mode=0o666, exist_ok=False)
        write(aside)
        flush_to_disk(aside)
        aside.replace(path)
        flush_to_disk(path.parent)
    except OSError as fault:
        name_file(fault, aside, path)
        raise
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def create_atomically(path: Path, text: str) -> None:
    """Write a text file unless it exists; a file that another process wrote first is kept."""
    aside = _name_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.touch(mode=0o666, exist_ok=False)
        aside.write_text(text, encoding="utf-8")
        flush_to_disk(aside)
        with suppress(FileExistsError):
            path.hardlink_to(aside)
        flush_to_disk(path.parent)
    except OSError as fault:
        name_file(fault, aside, path)
        raise
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


@contextmanager
def folder_atomically(path: Path) -> Generator[Path]:
    """Yield an empty temporary folder that is renamed to `path` if the block does not raise.

    Raises
    ------
    InvalidRequest
        If `path` exists and is not an empty folder; checked before and after the block.
    """
    path = path.absolute()
    _require_free(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with folder_aside(path) as aside:
        yield aside
        _require_free(path)
        aside.rename(path)


@contextmanager
def folder_aside(path: Path) -> Generator[Path]:
    """Yield an empty temporary folder beside `path`; it is removed unless the block renames it."""
    aside = _name_beside(path)
    try:
        aside.mkdir()
        yield aside
    except OSError as fault:
        name_file(fault, aside, path)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def is_occupied(path: Path) -> bool:
    """Return whether something other than an empty folder is at `path`."""
    if not os.path.lexists(path):
        return False
    return not path.is_dir() or any(path.iterdir())


def name_file(fault: OSError, aside: Path, path: Path) -> None:
    """Set the file name of an error that names no file, or the temporary file, to `path`."""
    named = fault.filename
    if named is None:
        fault.filename = str(path)
    elif isinstance(named, str | os.PathLike) and Path(named).is_relative_to(aside):
        fault.filename = str(path / Path(named).relative_to(aside))
        fault.filename2 = None


def _require_free(path: Path) -> None:
    if is_occupied(path):
        raise InvalidRequest(
            f"{path} exists",
            [Problem("--out", str(path), "name a folder that does not exist or that is empty")],
        )


def _name_beside(path: Path) -> Path:
    return path.absolute().parent / f".{path.absolute().name}.{secrets.token_hex(4)}"


def flush_to_disk(path: Path) -> None:
    """Write what the system has buffered of a file or folder to the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
