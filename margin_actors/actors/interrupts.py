"""Ray cancels a running task by an interrupt, which a worker must not take while it loads kernels.

An interrupt in the middle of an import leaves half of a module behind, and Ray goes on using that
worker: every later task in it fails (numba: "duplicate registration"). The tasks of this package
take tenths of a second, so a worker finishes the one that it has begun; queued ones are cancelled.
"""

import contextlib
import signal
import sys
from pathlib import Path

_WORKER = "default_worker.py"
"""Name of the program that Ray runs as a worker."""


def is_ray_worker() -> bool:
    """Return whether this process was started by Ray to run tasks and actors."""
    return Path(sys.argv[0]).name == _WORKER


def ignore_interrupts_in_workers() -> None:
    """Ignore SIGINT in workers of Ray; other processes keep their way of handling it."""
    if is_ray_worker():
        with contextlib.suppress(ValueError):  # not in the main thread, which Ray interrupts
            signal.signal(signal.SIGINT, signal.SIG_IGN)
