"""Run the state machine for some time: `python -m soak.run --seconds 60 --seed 7`."""

import argparse
import os
import random
import shutil
import sys
import tempfile
import traceback
from contextlib import ExitStack
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test
from soak.checks import check_positions, check_status
from soak.machine import RunIsOver, ServiceMachine
from soak.rules_faults import right_again
from soak.rules_hostile import release
from soak.rules_margin import calculate_book
from soak.session import Session, Setting

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
    session.gateways[0].start()
    session.restarting.discard(0)
    right_again(session, "restart of everything", session.record.started + session.record.seconds)
    check_status(session)
    check_positions(session)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    seconds = float(os.environ.get("MARGIN_SOAK_SECONDS", "60"))
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, printed")
    parser.add_argument("--gateways", type=int, default=2, help="0: one with Ray inside")
    parser.add_argument("--out", type=Path, default=None, help="folder of the record")
    parser.add_argument("--store", type=Path, default=None, help="store shared between runs")
    parser.add_argument("--ledger", default="", help="database URL; default SQLite")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(2**31)
    with ExitStack() as ends:
        folder = given.out
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="margin-soak-"))
            ends.callback(shutil.rmtree, folder, ignore_errors=True)
        setting = Setting(
            folder=folder.resolve(),
            ledger_url=given.ledger,
            gateways=given.gateways,
            store=given.store.resolve() if given.store else None,
            seconds=given.seconds,
        )
        session = soak(setting, seed)
        found = session.record.violations
        for title, count in found.most_common():
            print(f"{count:5d}  {title}")
        print(f"{sum(session.record.calls.values()):,} calls, {sum(found.values())} violations")
        if found:
            ends.pop_all()
            print(f"evidence in {folder}; repeat with --seed {seed}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
