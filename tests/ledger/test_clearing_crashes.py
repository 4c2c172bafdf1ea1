"""Writers of the log in real processes: killed at any point, and many at the same time."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from clearing_logs import all_events, opened
from clearing_writers import Writer, command, nursery
from ledger_records import sqlite_path
from margin_cluster.ledger.verification import verify_ledger
from small_house import fold_all

EACH = 60


def kill(writer: Writer) -> None:
    os.kill(writer.pid, signal.SIGKILL)
    writer.drain()


@pytest.mark.slow
def test_killed_writers_lose_nothing_that_they_acknowledged(log_url: str, tmp_path: Path) -> None:
    """Two processes are killed in each round, 60 on SQLite and 20 on PostgreSQL."""
    chance = random.Random(5)
    rounds = 30 if log_url.startswith("sqlite") else 10
    acknowledged: list[str] = []
    with opened(log_url) as log, nursery(tmp_path) as source:
        for number in range(rounds):
            gate = tmp_path / f"gate-{number}"
            writers = [
                source.start(log_url, f"{name}{number}", threads=3, each=100_000, gate=str(gate))
                for name in "ab"
            ]
            gate.touch()
            time.sleep(chance.uniform(0.0, 0.04))
            for writer in writers:
                kill(writer)
                acknowledged += writer.committed
            # What has no reply is repeated, as a caller would, and has one effect.
            open_ids = [name for w in writers for name in w.submitted if name not in w.committed]
            for name in dict.fromkeys(open_ids):
                log.commit([command(name)])
            acknowledged += dict.fromkeys(open_ids)
        assert len(acknowledged) > 3 * rounds
        events = all_events(log)
        counts = Counter(event.id for event, _ in events)
        assert set(counts.values()) == {1}
        assert set(acknowledged) <= set(counts)
        assert log.state == fold_all(events)
        with opened(log_url) as fresh:
            assert fresh.state.digest == log.state.digest
            assert fresh.committed.at == log.committed.at
        assert verify_ledger(log._database).findings == ()


@pytest.mark.slow
def test_processes_and_threads_commit_in_one_order(log_url: str, tmp_path: Path) -> None:
    names = {f"{p}-{t}-{i}" for p in "xy" for t in range(8) for i in range(EACH)}
    events_expected = sum(1 if int(n.rsplit("-", 1)[1]) % 3 else 2 for n in names)
    gate = tmp_path / "gate"
    with opened(log_url) as log, nursery(tmp_path) as source:
        writers = [
            source.start(
                log_url, name, threads=8, each=EACH, target=events_expected, gate=str(gate)
            )
            for name in "xy"
        ]
        gate.touch()
        for writer in writers:
            writer.drain()
        assert {name for w in writers for name in w.committed} == names
        log.refresh()
        page = log.events_after(limit=10_000)
        assert [e.number for e in page.events] == list(range(1, events_expected + 1))
        times = [e.recorded_at for e in page.events]
        assert times == sorted(times)
        assert [e.sequence for e in page.events] == sorted(e.sequence for e in page.events)
        assert log.state == fold_all((e.event, e.recorded_at) for e in page.events)
        expected = f"{log.committed.at.token} {log.state.digest}"
        assert [w.state for w in writers] == [expected, expected]
        # Both processes took part in the order, and not one after the other.
        turns = [e.event.id[0] for e in page.events]
        assert sum(a != b for a, b in pairwise(turns)) > 3
        assert verify_ledger(log._database).findings == ()


LIMITED = """
import resource, sys
from clearing_logs import opened
from clearing_writers import command
from margin_actors.errors import LedgerUnavailable
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
with opened(sys.argv[1]) as log:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), most))
    for i in range(100_000):
        before = log.committed
        try:
            log.commit([command(f"n-{i}")])
        except LedgerUnavailable as error:
            assert log.committed is before
            break
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert log.refresh() is before
    log.commit([command(f"n-{i}")])
    print(i, flush=True)
"""


@pytest.mark.slow
def test_a_write_that_the_system_refuses_changes_nothing(tmp_path: Path) -> None:
    """The largest size of a file is limited, so that a real write fails, and then lifted."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with opened(url) as log:
        log.commit([command("first-0")])
    limit = 3 * sqlite_path(url).stat().st_size
    assert limit < resource.getrlimit(resource.RLIMIT_FSIZE)[1] % 2**63
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, url, str(limit)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    last = int(done.stdout)
    assert 10 < last < 99_999
    with opened(url) as log:
        names = {event.id.removesuffix("/paid") for event, _ in all_events(log)}
        assert names == {"first-0"} | {f"n-{i}" for i in range(last + 1)}
        assert log.state == fold_all(all_events(log))
        assert verify_ledger(log._database).findings == ()
