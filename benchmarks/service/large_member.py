# pyright: basic
"""The largest member: 20,000 positions, 5,000 of them at bespoke strikes, × 100,000 scenarios.

Two services run at the same time, one with one worker and one with two, and are called in turn. The
same run measures the speed of two busy processes relative to one, because a second virtual
processor is not always a full one. The memory of all processes of both services is sampled.
"""

import statistics
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from margin_client import MarginClient, Progress
from serving import Made, Served, make, report, serving

N_LISTED, N_BESPOKE, N_SCENARIOS = 15_000, 5_000, 100_000
ROUNDS = 12
SPIN_SECONDS = 1.0
WHOLE_PROCESSOR = 1.9
"""Rounds are counted only if the ratio of two busy processes to one was at least this, before and
after the round."""
ACCOUNT = "LARGE"


SPIN = f"""
import time
until, count = time.perf_counter() + {SPIN_SECONDS}, 0
while time.perf_counter() < until:
    count += 1
print(count)
"""


def spinning(processes: int) -> int:
    """Return the sum of the counts that a number of busy processes reach.

    They are new interpreters, because a fork can block in a process that has used gRPC.
    """
    command = [sys.executable, "-I", "-S", "-c", SPIN]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(processes)]
    return sum(int(worker.communicate()[0]) for worker in workers)


def spinning_ratio() -> float:
    """Return the ratio of the counts of two busy processes and of one."""
    alone = spinning(1)
    return spinning(2) / alone


def large_book(made: Made) -> pa.Table:
    """Return a book with every listed contract once and strikes between the listed ones."""
    rng = np.random.default_rng(5)
    listed = made.book.column("instrument_name").to_pylist()
    known = set(listed) | set(made.snapshot.options.names)
    bespoke: list[str] = []
    for name in rng.permutation(sorted(made.snapshot.options.names)):
        underlying, expiry, strike, right = str(name).split("-")
        other = f"{underlying}-{expiry}-{int(strike) + 7}-{right}"
        if other not in known:
            bespoke.append(other)
        if len(bespoke) == N_BESPOKE:
            break
    names = listed + bespoke
    lots = rng.integers(1, 500, len(names)) * rng.choice([-1, 1], len(names))
    quantity = np.round(lots * np.where(np.char.find(names, "PERP") >= 0, 10.0, 0.1), 1)
    return pa.table(
        {
            "member_id": ["LARGEST"] * len(names),
            "account_id": [ACCOUNT] * len(names),
            "instrument_name": names,
            "quantity": quantity,
        }
    )


class Memory(threading.Thread):
    """Thread that samples the memory of process trees and keeps the maximum of their sum."""

    def __init__(self, roots: list[int]) -> None:
        super().__init__(daemon=True)
        self.roots, self.most_gib, self.ends = roots, 0.0, threading.Event()

    def run(self) -> None:
        while not self.ends.wait(0.25):
            self.most_gib = max(self.most_gib, sum(map(tree_gib, self.roots)))


def tree_gib(root: int) -> float:
    """Return the memory (PSS) of a process and its descendants, GiB; shared pages count once."""
    total = 0
    try:
        for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]:
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        pass
    return total / 2**20


def ask(served: Served, steps: list[Progress]) -> tuple[float, str]:
    """Return (seconds, digest) of one calculation; `steps` receives its progress."""
    steps.clear()
    with MarginClient(served.target) as client:
        begin = time.perf_counter()
        book = client.calculate_book(account_ids=[ACCOUNT], on_progress=steps.append)
        return time.perf_counter() - begin, book.digest


def main() -> None:
    made = make(n_accounts=1, n_positions=N_LISTED, n_instruments=N_LISTED, n_scenarios=N_SCENARIOS)
    made = Made(made.snapshot, made.scenarios, large_book(made), made.model)
    assert made.book.num_rows == N_LISTED + N_BESPOKE
    toml = Path(__file__).with_name("bespoke.toml")
    common = ("--model", str(toml))
    times: dict[int, list[float]] = {1: [], 2: []}
    steps: list[Progress] = []
    with (
        serving(made, options=(*common, "--cpus", "1"), singles=False) as one,
        serving(made, options=(*common, "--cpus", "2"), singles=False) as two,
    ):
        memory = Memory([one.process.pid, two.process.pid])
        memory.start()
        digests = {ask(one, steps)[1], ask(two, steps)[1]}
        memory.ends.set()  # sampling takes time, so it stops before the timed rounds
        memory.join()
        spins = [spinning_ratio()]
        for _ in range(ROUNDS):
            for workers, served in ((1, one), (2, two)):
                seconds, digest = ask(served, steps)
                times[workers].append(seconds)
                digests.add(digest)
                assert len(steps) > 10, steps
                assert steps[-1].done == steps[-1].total
            spins.append(spinning_ratio())
    assert len(digests) == 1
    ratios = [a / b for a, b in zip(times[1], times[2], strict=True)]
    spun = [min(pair) for pair in pairwise(spins)]
    judged = [r for r, s in zip(ratios, spun, strict=True) if s >= WHOLE_PROCESSOR]
    report(
        "large_member",
        {
            "one_worker_s": statistics.median(times[1]),
            "two_workers_s": statistics.median(times[2]),
            "speed_up": statistics.median(ratios),
            "judged_rounds": len(judged),
            "judged_speed_up": statistics.median(judged) if judged else None,
            "rounds": [
                {"speed_up": round(r, 3), "two_spinning": round(s, 3)}
                for r, s in zip(ratios, spun, strict=True)
            ],
            "progress_messages": len(steps),
            "most_memory_of_both_gib": memory.most_gib,
        },
    )


if __name__ == "__main__":
    main()
