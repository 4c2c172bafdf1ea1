"""Watches for the exit of Ray's processes, after which Ray ends its drivers without a message."""

import contextlib
import os
import select
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread


def raylet_pid(node_id: str) -> int | None:
    """Return the process id of the raylet of a node on this machine, or None if there is none."""
    wanted = f"--node_id={node_id}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "cmdline").read_bytes().split(b"\0"):
                arguments = (folder / "cmdline").read_bytes().split(b"\0", 1)
                if arguments[0].endswith(b"raylet"):
                    return int(folder.name)
    return None


def child_pid(name: str) -> int | None:
    """Return the process id of this process's child with a given name, or None."""
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{child}/comm").read_text().strip() == name:
                        return int(child)
    return None


@contextmanager
def watching(pid: int, on_exit: Callable[[], None]) -> Generator[None]:
    """Call `on_exit` from a thread if the process exits before the end of the block."""
    process = os.pidfd_open(pid)
    stop_read, stop_write = os.pipe()

    def wait() -> None:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.register(stop_read, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll()}
        if stop_read not in ready:
            on_exit()

    thread = Thread(target=wait, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.write(stop_write, b"x")
        thread.join()
        for descriptor in (process, stop_read, stop_write):
            os.close(descriptor)
