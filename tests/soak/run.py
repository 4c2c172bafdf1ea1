"""Run the state machine for some time.

With the folder `tests` on the path: `python -m soak.run --seconds 60 --seed 7`.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test
from postgres_server import running_postgres
from soak.checks import check_positions, check_status
from soak.machine import RunIsOver, ServiceMachine
from soak.record import Record
from soak.report import memory_of, page, summary_of, write
from soak.rules_faults import right_again
from soak.rules_hostile import release
from soak.rules_margin import calculate_book
from soak.service import MARGIN, environment
from soak.session import Session, Setting

RSS_FACTOR_MAX, RSS_MORE_MIB_MAX, DESCRIPTORS_MORE_MAX = 1.5, 256.0, 200
"""How much more a gateway may use at the end of its life than at its start."""
EXAMPLES_A_ROUND, STEPS_AN_EXAMPLE = 20, 60
SETTINGS = settings(
    deadline=None,
    database=None,
    derandomize=False,
    max_examples=EXAMPLES_A_ROUND,
    stateful_step_count=STEPS_AN_EXAMPLE,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    verbosity=Verbosity.quiet,
)


def soak(setting: Setting, seed: int) -> Session:
    """Drive a service until the time is up; returns the session with everything it found."""
    session = Session(setting)
    print(f"seed {seed}, output in {setting.folder}", flush=True)
    try:
        session.start()
        print(f"started after {session.record.seconds:.0f} s", flush=True)
        _drive(session, seed)
        _end(session)
    except Exception as error:
        traceback.print_exc()
        session.record.violation("the run broke off", error=repr(error)[-3000:])
    finally:
        session.stop()
    return session


def _drive(session: Session, seed: int) -> None:
    """Run rounds of examples, each with its own seed, until the time is up."""
    machine = type("SeededMachine", (ServiceMachine,), {"session": session})
    number = 0
    while True:
        number += 1
        session.record.step("round begins", number=number, seed=seed)
        chosen = seeded(f"{seed}-{number}")(machine)
        try:
            run_state_machine_as_test(chosen, settings=SETTINGS)
        except RunIsOver:
            return


def _end(session: Session) -> None:
    """Check everything once more, stop cleanly, start again, and check that nothing changed."""
    session.until = float("inf")
    while session.stalled:
        release(session)
    for number in range(len(session.gateways)):
        check_status(session, number)
        check_positions(session, number)
    calculate_book(session)
    session.is_disturbed = True
    session.restarting.update(range(len(session.gateways)))
    for gateway in session.gateways:
        status, seconds = gateway.terminate()
        if status != 0:
            session.record.violation(
                "the last stop failed", status=status, seconds=seconds, tail=gateway.tail()
            )
    verify_ledger(session)
    session.gateways[0].start()
    session.restarting.discard(0)
    right_again(session, "restart of everything", session.record.started + session.record.seconds)
    check_status(session)
    check_positions(session)
    check_memory(session.record)


def verify_ledger(session: Session) -> None:
    """Check the stored log against its rows with the command that operators use."""
    url = session.setting.ledger_url
    where = ("--ledger", url) if url else ("--state", str(session.state))
    done = subprocess.run(
        [MARGIN, "ledger", "verify", *where],
        capture_output=True,
        text=True,
        env=environment(session.store),
        check=False,
    )
    session.record.step("ledger verify", status=done.returncode, out=done.stdout[-2000:])
    if "No such command" in done.stderr:
        session.record.event("ledger verify is missing")
    elif done.returncode != 0:
        session.record.violation(
            "the ledger does not verify", out=done.stdout[-2000:], err=done.stderr[-2000:]
        )


def check_memory(record: Record) -> None:
    """Memory and descriptors of a gateway must not grow without bound."""
    for life in memory_of(record.samples):
        grown = life["rss_last"] > RSS_FACTOR_MAX * life["rss_first"] + RSS_MORE_MIB_MAX
        if grown or life["descriptors_last"] > life["descriptors_first"] + DESCRIPTORS_MORE_MAX:
            record.violation("memory or descriptors of a gateway grow", **life)


@contextmanager
def ledger_of(database: str) -> Generator[str]:
    """Yield the URL of a new ledger; empty for SQLite."""
    if database == "sqlite":
        yield ""
    elif database == "postgresql":
        with running_postgres() as server:
            yield server.new_database()
    else:
        yield database


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    seconds = float(os.environ.get("MARGIN_SOAK_SECONDS", "60"))
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, printed")
    parser.add_argument("--gateways", type=int, default=2, help="0: one with Ray inside")
    parser.add_argument("--out", type=Path, default=None, help="folder of the record")
    parser.add_argument("--store", type=Path, default=None, help="store shared between runs")
    parser.add_argument(
        "--database",
        action="append",
        help="sqlite (default), postgresql, or a URL; give it twice to run both in turn",
    )
    parser.add_argument("--report", type=Path, default=None, help="page to write")
    return parser.parse_args()


def run_one(given: argparse.Namespace, database: str, folder: Path) -> dict[str, Any]:
    """Run one database and return the numbers of its run."""
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(2**31)
    with ledger_of(database) as url:
        setting = Setting(
            folder=folder,
            ledger_url=url,
            gateways=given.gateways,
            store=given.store.resolve() if given.store else folder.parent / "store",
            seconds=given.seconds,
        )
        record = soak(setting, seed).record
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(database, "another database")
    summary = summary_of(record, database=name, seed=seed, gateways=given.gateways)
    write(folder, summary)
    for title, count in record.violations.most_common():
        print(f"{count:5d}  {title}")
    found = sum(record.violations.values())
    print(f"{name}: {sum(record.calls.values()):,} calls, {found} violations, seed {seed}")
    return summary


def main() -> int:
    given = arguments()
    databases = given.database or ["sqlite"]
    with ExitStack() as ends:
        folder = given.out
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="margin-soak-"))
            ends.callback(shutil.rmtree, folder, ignore_errors=True)
        folder = folder.resolve()
        runs = [run_one(given, d, folder / f"run{i}") for i, d in enumerate(databases)]
        is_good = not any(run["violations"] for run in runs)
        if given.report is not None:
            given.report.write_text(page(runs))
        if not is_good:
            ends.pop_all()
            print(f"evidence in {folder}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
