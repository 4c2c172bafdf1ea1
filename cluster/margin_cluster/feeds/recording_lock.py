"""One process records into a folder: files are read, extended and replaced without transactions."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_NAME = ".recording.lock"


@contextmanager
def recording_lock(folder: Path) -> Generator[bool]:
    """Yield whether this process may record into a folder until the end of the block.

    False if another process records into it. The system releases the lock when the process that
    holds it ends, however it ends. The folder is created; OSError if that fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    opened = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_held = True
        except BlockingIOError:
            is_held = False
        yield is_held
    finally:
        os.close(opened)
