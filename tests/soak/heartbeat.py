"""How busy the machine is, by which the time bounds of a run are scaled."""

import itertools
import os
import threading
import time
from collections import deque
from pathlib import Path

_BEAT_SECONDS = 0.02
_PROCESSORS = len(os.sched_getaffinity(0))


class Heartbeat:
    """Measures how busy the machine is: on a busy machine everything takes longer.

    Fifty times per second, a thread records by how much it is late itself, and how many threads of
    the machine are ready to run.
    """

    def __init__(self) -> None:
        self._beats: deque[tuple[float, float, int]] = deque(maxlen=60_000)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            time.sleep(_BEAT_SECONDS)
            late = time.monotonic() - started - _BEAT_SECONDS
            running = int(Path("/proc/loadavg").read_text().split()[3].split("/")[0])
            self._beats.append((started, late, running))

    def allowed(self, seconds: float, begin: float, end: float) -> float:
        """Return a bound of so many seconds as it is on the machine as busy as it was.

        Up to two threads a processor are the service's own.
        """
        beats = list(itertools.takewhile(lambda b: b[0] + 1.0 >= begin, reversed(self._beats)))
        beats = [b for b in beats if b[0] <= end + 1.0]
        if not beats:
            return seconds
        late = sum(late for _, late, _ in beats if late > 0.005)
        share = sum(running for _, _, running in beats) / len(beats) / (2 * _PROCESSORS)
        return seconds * max(1.0, share) + 2 * late

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
