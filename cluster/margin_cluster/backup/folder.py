"""A backup: one folder with a ledger and the stored objects that it refers to.

    backup/manifest.json               the hash of every file
    backup/ledger.sqlite               the ledger; a ledger on PostgreSQL is exported to SQLite
    backup/objects/{kind}/{id}.parquet

The ledger is copied first, as one consistent snapshot. The service stores an object before the
ledger refers to it, so the store holds every object to which the copy refers.
"""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from margin_actors.errors import InvalidParameters, LedgerDamaged, Problem
from margin_cluster.atomic import flush_to_disk, folder_atomically
from margin_cluster.ledger import Ledger, LedgerHead, sqlite_url
from margin_cluster.ledger.address import Address, address_from_url
from margin_cluster.ledger.copying import copy_file, copy_rows, make_single_file
from margin_cluster.ledger.database import Database
from margin_cluster.ledger.head_file import HeadFile
from margin_cluster.ledger.verification import require_verified, verify_ledger
from margin_cluster.sources import ParquetStore

_LEDGER, _MANIFEST, _FORMAT = "ledger.sqlite", "manifest.json", 1
_TABLES_WITH_LOG = "SELECT count(*) FROM sqlite_master WHERE name = 'ledger_head'"
_REFERENCES = {
    "market_snapshots": "SELECT snapshot_id FROM snapshots",
    "scenarios": "SELECT scenarios_id FROM scenario_sets",
    "books": "SELECT DISTINCT content FROM portfolio_changes WHERE kind = 'upload'",
    "calculations": "SELECT calculation_id FROM calculations WHERE kind = 'book'",
}
"""Query for the ids of each kind of stored object; valid for all versions of the ledger."""


@dataclass(frozen=True)
class Backup:
    """Contents of a backup."""

    sequence: int
    """Number of the ledger's last entry; 0 if the ledger is of a version without a log."""
    hash: str
    """Hash of the ledger's last entry; empty if the ledger is of a version without a log."""
    objects: int
    """Number of stored objects."""
    size_bytes: int
    missing: tuple[str, ...]
    """Paths of objects to which the ledger refers but which the store did not hold."""


def create_backup(ledger_url: str, root: Path, out: Path) -> Backup:
    """Back up a ledger and its objects into a new folder; the service may be running.

    Raises
    ------
    LedgerDamaged
        If the ledger differs from what was committed.
    InvalidParameters, LedgerUnavailable
        If there is no ledger, or it cannot be read.
    InvalidRequest
        If `out` exists and is not an empty folder.
    """
    address = address_from_url(ledger_url)
    with folder_atomically(out) as folder:
        file = folder / _LEDGER
        if address.path is not None:
            noted = HeadFile(address.path).read()
            copy_file(address, file)
            head = _verified_head(file, noted)
        else:
            head = _export(ledger_url, file)
        files, missing = _copy_objects(file, ParquetStore(root), folder)
        manifest = {
            "format": _FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "sequence": head.sequence,
            "hash": head.hash,
            "files": {_LEDGER: _hash_of(file), **files},
            "missing": missing,
        }
        (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        size = _flush(folder)
    return Backup(head.sequence, head.hash, len(files), size, tuple(missing))


def restore_backup(folder: Path, ledger_url: str, root: Path) -> Backup:
    """Verify a backup and write it into an empty ledger and a state folder.

    A ledger of an older version is upgraded; the backup itself is not changed.

    Raises
    ------
    LedgerDamaged
        If a file of the backup is missing or was modified.
    InvalidParameters
        If `folder` is not a backup, the target ledger exists, or the state folder holds an object
        that differs from the backup's.
    """
    manifest = _manifest(folder)
    _require_intact(folder, manifest)
    address = address_from_url(ledger_url)
    _require_free(address, folder, manifest, ParquetStore(root))
    root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".restore-", dir=root) as name:
        copy = Path(name) / _LEDGER
        shutil.copyfile(folder / _LEDGER, copy)
        source = Ledger(sqlite_url(copy))
        try:
            require_verified(verify_ledger(source.database), str(folder))
            if address.path is not None:
                HeadFile(address.path).path.unlink(missing_ok=True)  # left by a deleted ledger
            head = _fill(source.database, ledger_url, folder, manifest, root)
        finally:
            source.close()
    size = sum((folder / file).stat().st_size for file in manifest["files"])
    objects, missing = len(manifest["files"]) - 1, tuple(manifest["missing"])
    return Backup(head.sequence, head.hash, objects, size, missing)


def _fill(
    source: Database, ledger_url: str, folder: Path, manifest: Mapping[str, Any], root: Path
) -> LedgerHead:
    target = Ledger(ledger_url)
    try:
        # Objects first, so that the ledger never refers to a missing object.
        for file in manifest["files"]:
            if file != _LEDGER and not (root / file).exists():
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / file, root / file)
                flush_to_disk(root / file)
        head = copy_rows(source, target.database)
        require_verified(verify_ledger(target.database), target.database.address.shown)
    finally:
        target.close()
    return head


def _export(ledger_url: str, file: Path) -> LedgerHead:
    """Export a ledger on a database server to a new SQLite file."""
    source = Database(ledger_url, is_inspection=True)
    try:
        copy = Ledger(sqlite_url(file))
        try:
            head = copy_rows(source, copy.database)
            require_verified(verify_ledger(copy.database), source.address.shown)
        finally:
            copy.close()
    finally:
        source.close()
    make_single_file(file)
    HeadFile(file).path.unlink()
    return head


def _verified_head(file: Path, noted: tuple[int, str] | None) -> LedgerHead:
    """Verify a copied ledger and return its head.

    The copy must hold `noted`, the last entry (number, hash) of the side file before the copy.
    """
    with closing(sqlite3.connect(file)) as connection:
        has_log = connection.execute(_TABLES_WITH_LOG).fetchone()[0] > 0
    if not has_log:
        return LedgerHead(0, "", 0)
    copy = Database(sqlite_url(file), is_inspection=True)
    try:
        found = verify_ledger(copy, must_hold=() if noted is None else (noted,))
    finally:
        copy.close()
    make_single_file(file)
    require_verified(found, "the ledger")
    return found.head


def _copy_objects(
    file: Path, store: ParquetStore, folder: Path
) -> tuple[dict[str, str], list[str]]:
    """Copy the objects to which a ledger refers; return (hash by path, missing paths)."""
    files: dict[str, str] = {}
    missing: list[str] = []
    with closing(sqlite3.connect(file)) as connection:
        for kind, query in _REFERENCES.items():
            for (object_id,) in connection.execute(query):
                source = store.path(kind, object_id)
                relative = str(source.relative_to(store.root))
                target = folder / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    shutil.copyfile(source, target)
                except FileNotFoundError:
                    missing.append(relative)
                    continue
                files[relative] = _hash_of(target)
    return files, missing


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    try:
        found = json.loads(path.read_text())
        is_known = found["format"] == _FORMAT
        names = [*found["files"], *found["missing"]]
    except (OSError, ValueError, KeyError, TypeError):
        what, remedy = "there is no readable manifest", "name a folder of `margin ledger backup`"
        raise InvalidParameters(
            "this is not a backup", [Problem(str(path), what, remedy)]
        ) from None
    is_inside = all(not Path(n).is_absolute() and ".." not in Path(n).parts for n in names)
    if not is_known or not is_inside or _LEDGER not in found["files"]:
        what = f"the manifest's format {found.get('format')!r} is not known"
        raise InvalidParameters("this is not a backup", [Problem(str(path), what, "")])
    return found


def _require_intact(folder: Path, manifest: Mapping[str, Any]) -> None:
    problems: list[Problem] = []
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            problems.append(Problem(str(path), "the file is missing", "use another backup"))
        elif _hash_of(path) != expected:
            problems.append(Problem(str(path), "the file was modified", "use another backup"))
    if problems:
        raise LedgerDamaged(f"the backup {folder} is damaged", problems)


def _require_free(
    address: Address, folder: Path, manifest: Mapping[str, Any], store: ParquetStore
) -> None:
    problems: list[Problem] = []
    remedy = "restore into an empty folder or database"
    if address.path is not None and address.path.exists():
        problems.append(Problem(str(address.path), "there is a ledger already", remedy))
    for name, expected in manifest["files"].items():
        path = store.root / name
        if name != _LEDGER and path.exists() and _hash_of(path) != expected:
            what = f"differs from the backup's {folder / name}"
            problems.append(Problem(str(path), what, remedy))
    if problems:
        raise InvalidParameters("the target is not empty", problems)


def _hash_of(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _flush(folder: Path) -> int:
    """Flush all files of a folder to the disk; return their total size in bytes."""
    size = 0
    for path in folder.rglob("*"):
        flush_to_disk(path)
        size += path.stat().st_size if path.is_file() else 0
    flush_to_disk(folder)
    return size
