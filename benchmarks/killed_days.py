# pyright: basic, reportMissingImports=false
"""Kill a small simulated day at random points, continue it, and compare with an undisturbed one.

Each point is a ledger of its own: a process runs the day and is killed after a random time; another
run continues it to the end. The hash of the last entry must be that of the undisturbed day, which
covers every entry, so that every balance, position and call is equal to the cent.

    python benchmarks/killed_days.py --points 200
"""

import argparse
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from simulated_days import killed_day, opened_day, small_plan, whole_day


def main() -> int:
    """Run the points and print a summary; return 1 if a day ended differently."""
    parser = argparse.ArgumentParser(description="Kill simulated days and continue them.")
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1_200.0, help="longest duration")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    # The settlement at 08:00, with expiries and funding, is in the middle of the day.
    plan = small_plan(hours=1.0, before=7.5)
    draw = random.Random(arguments.seed)
    found: Counter[str] = Counter()
    minutes: set[int] = set()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        undisturbed = whole_day(Path(folder) / "undisturbed.sqlite", plan)
        longest = time.perf_counter() - began
        for number in range(arguments.points):
            if time.perf_counter() - began > arguments.seconds:
                break
            path = Path(folder) / f"{number}.sqlite"
            found["killed" if killed_day(path, plan, draw.uniform(0.0, longest)) else "done"] += 1
            with opened_day(path, plan) as day:
                minutes.add(int((day.run.resumes_at() - plan.start).total_seconds() // 60))
            after = whole_day(path, plan)
            is_equal = after.head_hash == undisturbed.head_hash and after.is_sound
            found["equal" if is_equal else "different"] += 1
            path.unlink()
    print(
        f"{sum((found['equal'], found['different']))} points in {time.perf_counter() - began:.0f} "
        f"s: {found['killed']} killed before the end, in {len(minutes)} different minutes of "
        f"{plan.hours * 60:.0f}; {found['equal']} ended with the hashes of the undisturbed day, "
        f"{found['different']} differently"
    )
    return 1 if found["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
