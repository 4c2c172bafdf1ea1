"""The side file of a SQLite ledger, which notes the entry that was committed last.

SQLite reads a write-ahead log up to its first damaged frame and ignores the rest without an error,
and a copy of the database without that log is an older state that passes every check. The side file
reveals both. It is written after each commit, so it is never ahead of what was committed. It is not
flushed to disk: after a power failure it may be old, which can hide a loss but never report a false
one.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

_FORMAT = "{:020d} {:64s}\n"
_SIZE = len(_FORMAT.format(0, ""))


class HeadFile:
    """Sequence and hash of the last committed entry, in a file beside the database."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".head")
        self._descriptor = -1
        self._lock = Lock()

    def read(self) -> tuple[int, str] | None:
        """Return (sequence number, hash) of the noted entry, or None if there is no valid note."""
        try:
            with self.path.open("rb") as file:
                text = file.read(_SIZE + 1)
        except FileNotFoundError:
            return None
        return _parsed(text)

    def note(self, sequence: int, entry: str, *, force: bool = False) -> None:
        """Note the last entry of a commit unless a later one is noted; `force` notes it anyway.

        A failed write is ignored, because the commit itself has succeeded.
        """
        with suppress(OSError), self.locked():
            kept = _parsed(os.pread(self._descriptor, _SIZE + 1, 0))
            if force or kept is None or kept[0] < sequence:
                os.pwrite(self._descriptor, _FORMAT.format(sequence, entry).encode(), 0)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the file's lock, with which one process at a time creates, upgrades or notes."""
        with self._lock:
            if self._descriptor < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self.path, flags, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


def _parsed(text: bytes) -> tuple[int, str] | None:
    parts = text.split()
    if len(text) != _SIZE or len(parts) != 2 or not parts[0].isdigit() or len(parts[1]) != 64:
        return None
    return int(parts[0]), parts[1].decode("ascii", "replace")


__all__ = ["HeadFile"]
