"""A real PostgreSQL server for tests: one per session, with a separate database per test.

The server is started from the installed binaries on a free port of 127.0.0.1, with a temporary data
folder and password authentication. If the binaries are missing, tests on PostgreSQL are skipped; in
CI (``CI=true``) they fail.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pg8000.dbapi
import pytest
from margin_cluster.ledger import sqlite_url

PASSWORD = "only-for-tests"
_START_SECONDS = 60
_INITDB = ("--auth=scram-sha-256", "--no-locale", "--encoding=UTF8", "--no-sync")
_MISSING = (
    "PostgreSQL is not installed: the tests of the ledger on PostgreSQL do not run. "
    "Install the Debian package `postgresql` to run them."
)


def binaries() -> Path | None:
    """Return the folder with the binaries of an installed server, or None; `PATH` has priority."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    if found is not None:
        folders.append(Path(found).resolve().parent)
    complete = [f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()]
    return complete[-1] if complete else None


def ordinary_user() -> dict[str, object]:
    """Return arguments of `subprocess` that run a program as an unprivileged user."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError("there is no ordinary user to run PostgreSQL as")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass
class PostgresServer:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]
    folder: Path
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str, *, password: str = PASSWORD) -> str:
        return f"postgresql://margin:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"ledger_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the superuser; returns its rows."""
        connection = self.connect(database)
        try:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def connect(self, database: str) -> pg8000.dbapi.Connection:
        connection = pg8000.dbapi.connect(
            "margin", host="127.0.0.1", port=self.port, database=database, password=PASSWORD
        )
        connection.autocommit = True
        return connection


@contextmanager
def running_postgres(*, flushes: bool = False) -> Iterator[PostgresServer]:
    """Run a server until the end of the block; skip or fail the test if none is installed.

    It flushes commits to disk only for benchmarks: a failure of the machine itself is not tested.
    """
    tools = binaries()
    if tools is None:
        if os.environ.get("CI") == "true":
            pytest.fail(_MISSING)
        pytest.skip(_MISSING)
    as_user = ordinary_user()
    folder = Path(tempfile.mkdtemp(prefix="margin-postgres-"))
    data, secret = folder / "data", folder / "password"
    secret.write_text(PASSWORD)
    if as_user:
        for path in (folder, secret):
            os.chown(path, as_user["user"], as_user["group"])
    try:
        subprocess.run(
            [tools / "initdb", "-D", data, "-U", "margin", f"--pwfile={secret}", *_INITDB],
            check=True,
            capture_output=True,
            cwd=folder,
            **as_user,
        )
        yield from _served(tools, folder, as_user, flushes=flushes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _served(
    tools: Path, folder: Path, as_user: dict[str, object], *, flushes: bool
) -> Iterator[PostgresServer]:
    port = free_port()
    options = ["listen_addresses=127.0.0.1", "unix_socket_directories="]
    options += [f"fsync={'on' if flushes else 'off'}"]
    command = [tools / "postgres", "-D", folder / "data", "-p", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *(part for option in options for part in ("-c", option))],
            stdout=log,
            stderr=log,
            cwd=folder,
            **as_user,
        )
    try:
        server = PostgresServer(port, process, folder)
        _wait(server)
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # ends connections, then stops
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: PostgresServer) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.execute("SELECT 1")
        except (pg8000.dbapi.InterfaceError, pg8000.dbapi.DatabaseError):
            log = (server.folder / "log").read_text()
            assert server.process.poll() is None, log
            assert time.monotonic() < until, log
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server of the session."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """An empty database on the server."""
    return postgres_server.new_database()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address for a new ledger, once on SQLite and once on PostgreSQL."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return sqlite_url(tmp_path / "ledger.sqlite")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report at the end of the session, not only as reasons of skips, if PostgreSQL is missing."""
    skipped = terminalreporter.stats.get("skipped", [])
    if any(_MISSING in str(report.longrepr) for report in skipped):
        terminalreporter.section("PostgreSQL is missing", sep="!", red=True, bold=True)
        terminalreporter.line(_MISSING, red=True)
