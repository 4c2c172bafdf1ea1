# pyright: basic
"""The service under test in separate processes: `margin serve` on a synthetic market."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from made_book import Made, book, make
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import sqlite_url

HERE = Path(__file__).resolve().parent
MARGIN = Path(sys.executable).parent / "margin"
N_INSTRUMENTS, N_SCENARIOS = 1_500, 2_560
ONE, BIG = "A200", "A534"
"""Additional accounts with 200 and 534 positions."""


@dataclass
class Served:
    """A running service."""

    made: Made
    folder: Path
    target: str
    process: subprocess.Popen[bytes]
    log: Path

    peak_mib: float = 0.0
    """Peak memory of the gateway's process, MiB; set at the end."""


def made_market(*, n_accounts: int, n_positions: int, n_instruments: int = N_INSTRUMENTS) -> Made:
    """Return the synthetic market of the benchmarks with a book of the given size."""
    return make(
        n_accounts=n_accounts,
        n_positions=n_positions,
        n_instruments=n_instruments,
        n_scenarios=N_SCENARIOS,
    )


def single_accounts(made: Made) -> pa.Table:
    """Return the positions of the accounts `ONE` and `BIG`, which single calls use."""
    tables = []
    for account, n_positions, seed in ((ONE, 200, 11), (BIG, 534, 12)):
        table = book(made.snapshot, 1, n_positions, N_INSTRUMENTS, seed)
        column = pa.array([account] * table.num_rows)
        place = table.schema.get_field_index("account_id")
        tables.append(table.set_column(place, "account_id", column))
    return pa.concat_tables(tables)


def prepare(folder: Path, made: Made, *, singles: bool) -> None:
    """Write a state folder with the market, the scenarios and the file of the book."""
    folder.mkdir(parents=True)
    archive = StoreArchive(folder, sqlite_url(folder / "ledger.sqlite"))
    archive.save_scenarios(made.scenarios)
    origin = {"key": "", "request_id": "", "caller": "benchmark"}
    archive.activate_scenarios(made.scenarios.id, **origin)
    archive.publish_snapshot(made.snapshot, allow_older=True, **origin)
    tables = [made.book, single_accounts(made)] if singles else [made.book]
    pq.write_table(pa.concat_tables(tables), folder / "book.parquet")


@contextmanager
def serving(
    made: Made,
    *,
    options: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
    singles: bool = True,
) -> Iterator[Served]:
    """Run `margin serve` on a synthetic market until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="margin-bench-") as name:
        folder = Path(name) / "state"
        prepare(folder, made, singles=singles)
        log = Path(name) / "log"
        command = [MARGIN, "serve", "--state", folder, "--book", folder / "book.parquet"]
        command += ["--port", "0", "--health-port", "0", *options]
        env = os.environ | {"MARGIN_STORE": name, "COLUMNS": "200"} | (environment or {})
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [str(c) for c in command], stdout=subprocess.PIPE, stderr=sink, env=env
            )
        served = Served(made, folder, "", process, log)
        try:
            served.target = _wait_until_ready(process, log)
            yield served
        finally:
            served.peak_mib = peak_mib(process.pid)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=90)


def peak_mib(pid: int) -> float:
    """Return the peak resident memory of a running process, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def rss_mib(pid: int) -> float:
    """Return the current resident memory of a process, MiB, including shared pages."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(rb"Ready on (\S+)", line)
        if found:
            return found[1].decode()
    raise SystemExit(f"the service did not start:\n{log.read_text()[-3000:]}")


@contextmanager
def helper(script: str, *arguments: str) -> Iterator[str]:
    """Run a server script of this folder; yield the first line that it prints."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.terminate()
        process.wait(timeout=30)


def report(name: str, figures: object) -> None:
    """Print figures as JSON; also write them to the folder MARGIN_BENCH_OUT, if it is set."""
    text = json.dumps(figures, indent=1)
    print(text)
    folder = os.environ.get("MARGIN_BENCH_OUT")
    if folder:
        (Path(folder) / f"{name}.json").write_text(text)


def fresh_id() -> str:
    """Return a new unique id."""
    return f"bench-{uuid4().hex}-{time.monotonic_ns()}"
