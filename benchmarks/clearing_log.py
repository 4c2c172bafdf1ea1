# pyright: basic, reportMissingImports=false
"""Speed of the log of the clearing house on SQLite and PostgreSQL; writes CLEARING.md.

Run as ``python benchmarks/clearing_log.py``. PostgreSQL is started from the installed binaries and
flushes every commit to disk, as SQLite does.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "tests"))

from margin_cluster.ledger import Ledger, sqlite_url  # noqa: E402
from margin_cluster.ledger.clearing_log import ClearingLog  # noqa: E402
from postgres_server import running_postgres  # noqa: E402
from small_house import SMALL_HOUSE, Deposit, Require  # noqa: E402

CALLERS = 50
PER_CALLER = 60
ACCOUNTS = 1_000
EVENTS = 100_000
MEASURED = 25_000
"""Events of the log that is read; its times are scaled to 100,000 events."""
TURNS = 5


def command(name: str, number: int) -> Deposit | Require:
    """A requirement of one of the accounts; every tenth command is a deposit of two events."""
    account = f"account-{number % ACCOUNTS}"
    if number % 10 == 9:
        return Deposit(name, account, 1_000_00)
    return Require(name, account, 1_000_000_00 + number % 7 * 500_000_00)


def transitions(name: str, count: int) -> list[Require]:
    return [
        Require(f"{name}-{i}", f"account-{i % ACCOUNTS}", i % 7 * 500_000_00) for i in range(count)
    ]


def grouped(log: ClearingLog, name: str) -> float:
    """Transitions per second with concurrent callers, each waiting for its own result."""
    commands = transitions(name, PER_CALLER * CALLERS)

    def call(caller: int) -> None:
        for one in commands[caller::CALLERS]:
            log.submit(one).result()

    with ThreadPoolExecutor(CALLERS) as pool:
        began = time.perf_counter()
        list(pool.map(call, range(CALLERS)))
        return len(commands) / (time.perf_counter() - began)


def single(log: ClearingLog, name: str) -> float:
    """Transitions per second of one caller, one transaction for each."""
    commands = transitions(name, 300)
    began = time.perf_counter()
    for one in commands:
        log.commit([one])
    return len(commands) / (time.perf_counter() - began)


def seconds(work: Callable[[], object], turns: int = 3) -> float:
    """Processor time of this process, which other work on the machine does not lengthen."""
    found = []
    for _ in range(turns):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return statistics.median(found)


def share_of_a_processor() -> float:
    """What a busy thread gets of a processor beside the other work on the machine."""
    wall, own = time.perf_counter(), time.process_time()
    while time.perf_counter() < wall + 0.2:
        pass
    return (time.process_time() - own) / (time.perf_counter() - wall)


def folding(log: ClearingLog) -> float:
    """Seconds of the pure fold of all events."""
    events, token = [], 0
    while page := log.events_after(token, limit=5_000):
        events += [(e.event, e.recorded_at) for e in page.events]
        token = page.token
        if len(page.events) < 5_000:
            break

    def fold() -> None:
        state = SMALL_HOUSE.empty
        for event, recorded_at in events:
            state = SMALL_HOUSE.fold(state, event, recorded_at)

    return seconds(fold, 1) * EVENTS / len(events)


def measured(url: str) -> dict[str, float]:
    """All figures of one database."""
    ledger, follower = Ledger(url), Ledger(url)
    log, behind = (ClearingLog(one.database, SMALL_HOUSE) for one in (ledger, follower))
    many, one, shares, used = [], [], [], []
    for turn in range(TURNS):
        shares.append(share_of_a_processor())
        own = time.process_time()
        many.append(grouped(log, f"grouped-{turn}"))
        used.append(1e6 * (time.process_time() - own) / (PER_CALLER * CALLERS))
        one.append(single(log, f"single-{turn}"))
    figures = {
        "committed transitions per second, 50 callers, median": statistics.median(many),
        "the same, best run": max(many),
        "processor time of a transition, µs, 50 callers": statistics.median(used),
        "committed transitions per second, one caller, median": statistics.median(one),
        "share of a processor that a busy thread received": statistics.median(shares),
    }
    behind.refresh()
    done = log.committed.at.number
    while log.committed.at.number < MEASURED:
        at = log.committed.at.number
        log.commit([command(f"fill-{at}-{i}", at + i) for i in range(200)])
    missed = log.committed.at.number - done
    share = EVENTS / log.committed.at.number
    figures |= {
        "processor seconds to catch up with 100,000 events": seconds(behind.refresh, 1)
        * EVENTS
        / missed,
        "processor seconds to start with 100,000 events": share
        * seconds(lambda: ClearingLog(ledger.database, SMALL_HOUSE)),
        "of which the fold itself": folding(log),
        "processor milliseconds for a past state": 1_000
        * seconds(lambda: log.state_at(log.committed.at.number // 3), 5),
    }
    assert behind.state == log.state
    log.close()
    ledger.close()
    follower.close()
    return figures


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def page(columns: Sequence[tuple[str, dict[str, float]]]) -> str:
    lines = [
        "# Benchmark results of the log of the clearing house",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `python benchmarks/clearing_log.py`: "
        f"{processor()}, {os.cpu_count()} processors,",
        f"Python {platform.python_version()}. Every commit is flushed to disk; clients, commits and"
        " PostgreSQL share the processors.",
        f"A transition is a requirement that changes the call of one of {ACCOUNTS:,} accounts"
        " (`tests/small_house.py`). Medians of",
        f"{TURNS} runs (commits) and 3 runs (start). Times of reading are processor times of the"
        f" process, scaled from {MEASURED:,} events.",
        "",
        f"| | {' | '.join(name for name, _ in columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for what in columns[0][1]:
        values = (figures[what] for _, figures in columns)
        lines.append(
            f"| {what} | {' | '.join(f'{v:,.0f}' if v > 50 else f'{v:.1f}' for v in values)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    columns = []
    with tempfile.TemporaryDirectory(prefix="clearing-log-") as folder:
        columns.append(("SQLite", measured(sqlite_url(Path(folder) / "ledger.sqlite"))))
    with running_postgres(flushes=True) as server:
        columns.append(("PostgreSQL", measured(server.new_database())))
    text = page(columns)
    results = HERE / "CLEARING.md"
    further = results.read_text().partition("\n## ")  # the sections of other benchmarks
    results.write_text(text + "".join(further[1:]))
    print(text)


if __name__ == "__main__":
    main()
