"""What happened in a run: counts, latencies, violations with their log, progress lines."""

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

KEPT_STEPS = 400
KEPT_LATENCIES = 200
WARM_CALLS = 10
"""Calls of one kind before its usual time is known."""
LOGGED_PER_KIND = 3
"""Violations of one kind that are written with their log; the others are counted."""
PROGRESS_SECONDS = 10.0
TAIL_BYTES = 60_000


@dataclass
class Sample:
    """Memory and descriptors of one gateway process at one time."""

    process: int
    seconds: float
    rss_mib: float
    descriptors: int


@dataclass
class Record:
    """Safe to use from several threads."""

    folder: Path
    logs: Callable[[], list[Path]] = list
    """Log files of the service, whose ends are kept with each violation."""
    started: float = field(default_factory=time.monotonic)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (method, status)."""
    events: Counter[str] = field(default_factory=Counter)
    """Kills, restarts, cancellations and the like by kind."""
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    """Seconds until correct answers after a disturbance, by kind."""
    violations: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, deque[float]] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    """Ordinary calls by kind."""
    samples: list[Sample] = field(default_factory=list)
    steps: int = 0
    _recent: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_STEPS))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _printed: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = (self.folder / "steps.jsonl").open("a", buffering=1)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def step(self, what: str, **fields: Any) -> None:
        """Write one line of the step log."""
        line = json.dumps(
            {"s": round(self.seconds, 3), "step": self.steps, "what": what} | fields, default=str
        )
        with self._lock:
            self._recent.append(line)
            self._file.write(line + "\n")

    def call(self, method: str, code: str) -> None:
        with self._lock:
            self.calls[method, code] += 1

    def event(self, kind: str) -> None:
        with self._lock:
            self.events[kind] += 1
        self.step("event", kind=kind)

    def recovered(self, kind: str, seconds: float) -> None:
        self.recoveries.setdefault(kind, []).append(seconds)
        self.step("recovered", kind=kind, seconds=round(seconds, 3))

    def usual(self, kind: str) -> float | None:
        """Return the median seconds of recent ordinary calls; None until enough are known."""
        with self._lock:
            known = self.latencies.get(kind)
            return median(known) if known and len(known) >= WARM_CALLS else None

    def took(self, kind: str, seconds: float) -> None:
        with self._lock:
            self.latencies.setdefault(kind, deque(maxlen=KEPT_LATENCIES)).append(seconds)
            self.slowest[kind] = max(self.slowest.get(kind, 0.0), seconds)
            self.counted[kind] += 1

    def violation(self, title: str, **evidence: Any) -> None:
        """Note that an invariant does not hold; `title` names the kind."""
        self.step("VIOLATION", title=title, **evidence)
        with self._lock:
            self.violations[title] += 1
            count = self.violations[title]
            steps = list(self._recent)
        if count > LOGGED_PER_KIND:
            return
        print(f"VIOLATION {title}: {json.dumps(evidence, default=str)[:600]}", flush=True)
        name = "".join(c if c.isalnum() else "-" for c in title)[:60]
        folder = self.folder / "violations" / f"{sum(self.violations.values()):03d}-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evidence.json").write_text(json.dumps(evidence, default=str, indent=1))
        (folder / "steps.jsonl").write_text("\n".join(steps) + "\n")
        for log in self.logs():
            if log.exists():
                with log.open("rb") as file:
                    file.seek(max(0, log.stat().st_size - TAIL_BYTES))
                    (folder / f"tail-{log.name}").write_bytes(file.read())

    def progress(self, more: str = "") -> None:
        """Print a line every ten seconds."""
        now = time.monotonic()
        if now - self._printed < PROGRESS_SECONDS:
            return
        self._printed = now
        calls = sum(self.calls.values())
        events = ", ".join(f"{k} {n}" for k, n in sorted(self.events.items()))
        print(
            f"[{self.seconds:6.0f} s] step {self.steps:,}, {calls:,} calls, "
            f"{sum(self.violations.values())} violations; {events} {more}",
            flush=True,
        )

    def close(self) -> None:
        self._file.close()
