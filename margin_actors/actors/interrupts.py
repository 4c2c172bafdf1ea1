"""Ray workers ignore SIGINT, with which Ray cancels a running task.

An interrupt during an import leaves a partly initialised module behind, and Ray continues to use
the worker: every later task in it fails (numba: "duplicate registration"). The tasks of this
package take tenths of a second, so a worker completes the task it has started; queued tasks are
cancelled.
"""

import contextlib
import signal
import sys
from pathlib import Path

_WORKER = "default_worker.py"
"""File name of the script that Ray runs as a worker process."""


def is_ray_worker() -> bool:
    """Return True if Ray started this process to run tasks or actors."""
    return Path(sys.argv[0]).name == _WORKER


def ignore_interrupts_in_workers() -> None:
    """Ignore SIGINT in Ray workers; the handler of other processes is left unchanged."""
    if is_ray_worker():
        with contextlib.suppress(ValueError):  # raised outside the main thread; Ray interrupts that
            signal.signal(signal.SIGINT, signal.SIG_IGN)
