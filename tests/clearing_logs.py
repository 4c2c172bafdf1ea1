"""Logs of the clearing house in empty ledgers, which are copied from one that exists already."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from margin_cluster.ledger import Ledger, sqlite_url
from margin_cluster.ledger.clearing_log import ClearingLog
from postgres_server import PostgresServer
from small_house import SMALL_HOUSE, Decided, Deposit, Logged, Require, State

Log = ClearingLog[State, Logged, Deposit | Require, Decided]
NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
_numbers = count()


@contextmanager
def opened(url: str, **options: Any) -> Iterator[Log]:
    """A log with a ledger of its own, as another process has it."""
    machine = options.pop("machine", SMALL_HOUSE)
    ledger = Ledger(url)
    try:
        log = ClearingLog(ledger.database, machine, **options)
        yield log
        log.close()
    finally:
        ledger.close()


def ticking(first: datetime = NOON) -> Callable[[], datetime]:
    """A wall clock that advances by a second with each reading."""
    readings = count()
    return lambda: first + next(readings) * SECOND


def all_events(log: Log) -> list[tuple[Logged, datetime]]:
    """Every committed event with its time, read in pages through the codec."""
    token: int | str = 0
    found: list[tuple[Logged, datetime]] = []
    while page := log.events_after(token, limit=500):
        token = page.token
        found += [(e.event, e.recorded_at) for e in page.events]
        if len(page.events) < 500:
            return found
    raise AssertionError


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "ledger.sqlite"
    Ledger(sqlite_url(path)).close()
    return path


@pytest.fixture(scope="session")
def empty_database(postgres_server: PostgresServer) -> str:
    url = postgres_server.new_database()
    Ledger(url).close()
    return url.rsplit("/", 1)[1]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty ledger, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_file"), tmp_path / "ledger.sqlite")
        return sqlite_url(tmp_path / "ledger.sqlite")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"log_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {request.getfixturevalue('empty_database')}")
    return server.url(name)
