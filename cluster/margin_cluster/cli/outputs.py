"""Output folders and files of commands.

The output path is checked before the calculation; an existing one is replaced only if a command
wrote it. A folder of results holds a marker, `.margin-run.json`, with the size and the hash of
every file that the command wrote. `--force` replaces a folder only if the marker lists everything
in it and no file was changed; otherwise the command stops. The replaced files are deleted one by
one by their listed names, so that nothing else can be deleted.
"""

import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from margin_actors.errors import InvalidRequest, Problem
from margin_cluster.atomic import folder_aside, is_occupied
from margin_cluster.sources import file_sha256

MARKER = ".margin-run.json"
GENERATOR = '<meta name="generator" content="margin-cluster'
"""Start of a tag in the head of every report; a file without it is not replaced."""
SPACE_MIN = 32 * 2**20
"""Minimum free space in bytes for a command to start; a report alone takes 6 MB."""
_HEAD_BYTES = 4096


class _WrittenFile(BaseModel):
    """Size and hash of a file that a command wrote."""

    bytes: int
    sha256: str


class _Marker(BaseModel):
    """Content of the marker of a folder of results."""

    tool: Literal["margin-cluster"]
    format: Literal[1]
    version: str
    """Version of the software."""
    command: str
    """Name of the command, for example ``run``."""
    files: dict[str, _WrittenFile]
    """Files by name, without the marker."""


@contextmanager
def output_folder(path: Path, *, command: str, replace: bool) -> Generator[Path]:
    """Yield an empty temporary folder that is renamed to `path` if the block does not raise.

    Parameters
    ----------
    path : Path
        Output folder; a symbolic link is followed.
    command : str
        Name of the command for the marker, for example "run".
    replace : bool
        Replace earlier results of the same command.

    Raises
    ------
    InvalidRequest
        If `path` cannot be written or must not be replaced; checked before and after the block.
        Nothing at `path` is changed in this case.
    """
    target = path.resolve()
    _require_place(path, target)
    if target.is_file():
        raise _refusal(path, "it is a file, and the results need a folder", "name a folder")
    _require_replaceable(path, target, command, replace=replace)
    _require_writable(path, target)
    with folder_aside(target) as aside:
        yield aside
        _write_marker(aside, command)
        _require_replaceable(path, target, command, replace=replace)
        if is_occupied(target):
            _exchange(path, aside, target)
        else:
            aside.rename(target)


@contextmanager
def output_file(path: Path, *, replace: bool) -> Generator[Path]:
    """Yield a temporary path whose file is renamed to `path` if the block does not raise.

    Raises
    ------
    InvalidRequest
        If `path` cannot be written, or exists and either `replace` is False or the file is not a
        report of this program; the latter is checked again after the block.
    """
    target = path.resolve()
    _require_place(path, target)
    _require_replaceable_file(path, target, replace=replace)
    _require_writable(path, target)
    with folder_aside(target) as aside:
        yield aside / target.name
        _require_replaceable_file(path, target, replace=replace)
        (aside / target.name).replace(target)


def require_folder_to_fill(path: Path) -> None:
    """Raise InvalidRequest unless files can be added below `path`, which may not exist yet."""
    existing = next(p for p in (path.resolve(), *path.resolve().parents) if p.exists())
    if not existing.is_dir():
        raise _refusal(path, f"{existing} is a file", "name a folder")
    _require_writable(path, existing / "new")


def require_new_folder(path: Path) -> None:
    """Raise InvalidRequest unless a folder can be created at `path`."""
    target = path.resolve()
    _require_place(path, target)
    if is_occupied(target):
        raise _refusal(path, "it exists", "name a folder that does not exist or that is empty")
    _require_writable(path, target)


def _require_place(path: Path, target: Path) -> None:
    """Raise unless `target` is in an existing folder and can be replaced as a whole."""
    parent = target.parent
    if not parent.is_dir():
        if parent.exists():
            raise _refusal(path, f"{parent} is not a folder", "name a place inside a folder")
        raise _refusal(path, f"the folder {parent} does not exist", "create it, or name another")
    if target.is_mount():
        raise _refusal(
            path, "a mounted file system cannot be replaced as a whole",
            f"name a folder inside it, for example {target / 'results'}",
        )  # fmt: skip
    if target.is_dir() and Path.cwd().is_relative_to(target):
        raise _refusal(
            path, "the current directory is inside it, and the folder is replaced as a whole",
            "name a folder below it, or start the command from another directory",
        )  # fmt: skip


def _require_writable(path: Path, target: Path) -> None:
    """Raise unless a trial file can be written beside `target` and there is enough free space."""
    try:
        with folder_aside(target) as trial:
            (trial / "trial").write_bytes(b"1")
    except OSError as fault:
        raise _refusal(
            path,
            f"cannot write in {target.parent}: {fault.strerror}",
            "check the folder's owner and permissions, or name another folder",
        ) from fault
    free = shutil.disk_usage(target.parent).free
    if free < SPACE_MIN:
        raise _refusal(
            path,
            f"only {free / 2**20:,.1f} MiB are free on the disk of {target.parent}",
            f"free at least {SPACE_MIN / 2**20:,.0f} MiB, or name a folder on another disk",
        )


def _require_replaceable(path: Path, target: Path, command: str, *, replace: bool) -> None:
    if not is_occupied(target):
        return
    if not replace:
        raise _refusal(
            path, "it exists",
            "name another folder, or add --force to replace earlier results of this command",
        )  # fmt: skip
    if not os.access(target, os.W_OK | os.X_OK):
        what = "its files cannot be deleted: Permission denied"
        raise _refusal(path, what, "check its owner and permissions", verb="replace")
    marker = _marker(path, target)
    if marker.command != command:
        raise _refusal(
            path, f"it holds the results of `margin {marker.command}`",
            "name another folder; --force replaces results of the same command only",
            verb="replace",
        )  # fmt: skip
    foreign = _foreign_entries(target, marker.files)
    if foreign:
        problems = [Problem(str(path / name), why, "move it elsewhere") for name, why in foreign]
        raise InvalidRequest(
            f"cannot replace {path}: it holds more than the unchanged files of an earlier command",
            problems,
        )


def _foreign_entries(target: Path, listed: Mapping[str, _WrittenFile]) -> list[tuple[str, str]]:
    """Return (name, reason) of every entry of `target` that is not listed or was changed."""
    found: list[tuple[str, str]] = []
    for entry in sorted(target.iterdir()):
        if entry.name == MARKER and not entry.is_symlink():
            continue
        if entry.is_symlink() or not entry.is_file():
            kind = "folder" if entry.is_dir() and not entry.is_symlink() else "link or special file"
            found.append((entry.name, f"the command did not make this {kind}"))
        elif entry.name not in listed:
            found.append((entry.name, "the command did not write this file"))
        elif not _is_unchanged(entry, listed[entry.name]):
            found.append((entry.name, "it was changed after the command wrote it"))
    return found


def _marker(path: Path, target: Path) -> _Marker:
    """Return the marker of a folder: the command and the files that it wrote."""
    marker = target / MARKER
    remedy = "name another folder; if nothing in this one is needed, delete it yourself first"
    if not marker.is_file():
        what = "it was not written by this program, or by a version that left no marker in it"
        raise _refusal(path, f"{what} ({MARKER} is missing)", remedy, verb="replace")
    try:
        return _Marker.model_validate_json(marker.read_bytes())
    except ValidationError as fault:
        first = fault.errors()[0]
        at = ".".join(str(key) for key in first["loc"])
        what = f"its marker {MARKER} cannot be used: {at + ': ' if at else ''}{first['msg']}"
        raise _refusal(path, what, remedy, verb="replace") from fault


def _is_unchanged(file: Path, record: _WrittenFile) -> bool:
    return file.stat().st_size == record.bytes and file_sha256(file) == record.sha256


def _write_marker(folder: Path, command: str) -> None:
    files = sorted(p for p in folder.iterdir())
    written = {f.name: _WrittenFile(bytes=f.stat().st_size, sha256=file_sha256(f)) for f in files}
    content = _Marker(
        tool="margin-cluster",
        format=1,
        version=version("margin-cluster"),
        command=command,
        files=written,
    )
    (folder / MARKER).write_text(content.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _exchange(path: Path, aside: Path, target: Path) -> None:
    """Rename `aside` to `target` and delete the files that a command had written there."""
    written = [*_marker(path, target).files, MARKER]
    old = target.with_name(f"{aside.name}.old")
    try:
        target.rename(old)
        aside.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    for name in written:
        (old / name).unlink(missing_ok=True)
    if any(old.iterdir()):
        what = f"files that were added while it was replaced are kept in {old}"
        raise _refusal(
            path,
            what,
            "move them elsewhere; the new results are complete",
            verb="remove all old files of",
        )
    old.rmdir()


def _require_replaceable_file(path: Path, target: Path, *, replace: bool) -> None:
    if target.is_dir():
        raise _refusal(path, "it is a folder", f"name a file, for example {path / 'report.html'}")
    if not target.exists():
        return
    if not replace:
        raise _refusal(
            path, "it exists", "name another file, or add --force to replace an earlier report"
        )
    if not target.is_file():
        raise _refusal(path, "it is not a regular file", "name another file")
    with target.open("rb") as stream:
        if GENERATOR.encode() not in stream.read(_HEAD_BYTES):
            raise _refusal(
                path, "it is not a report of this program", "name another file", verb="replace"
            )


def _refusal(path: Path, what: str, remedy: str, *, verb: str = "write") -> InvalidRequest:
    return InvalidRequest(f"cannot {verb} {path}", [Problem(str(path), what, remedy)])
