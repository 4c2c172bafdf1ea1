"""The database behind the ledger: SQLite in WAL mode, or PostgreSQL; one place for its settings."""

import contextlib
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Executable, Table, create_engine, event, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from margin_actors.errors import InvalidParameters, Problem
from margin_cluster.ledger.schema import VERSION, about, metadata

_BUSY_SECONDS = 10


def sqlite_url(path: Path) -> str:
    """Return the address of a ledger in a file."""
    return f"sqlite:///{path}"


class Database:
    """Connections to one ledger. Safe to use from many threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        arguments: dict[str, Any] = {"timeout": _BUSY_SECONDS} if self.is_sqlite else {}
        self._engine: Engine = create_engine(url, connect_args=arguments, pool_pre_ping=True)
        if self.is_sqlite:
            event.listen(self._engine, "connect", _set_up_sqlite)
            event.listen(self._engine, "begin", _begin_immediate)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._kept = threading.local()
        self._all_kept: list[Connection] = []
        with self._engine.begin() as connection:
            metadata.create_all(connection)
            self._require_version(connection)

    def _require_version(self, connection: Connection) -> None:
        row = connection.execute(select(about.c.value).where(about.c.name == "schema")).first()
        if row is None:
            connection.execute(insert(about).values(name="schema", value=str(VERSION)))
        elif row[0] != str(VERSION):
            raise InvalidParameters(
                "the ledger was written by another version of this software",
                [Problem(self.url, f"schema {row[0]}", f"this version reads schema {VERSION}")],
            )

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """Yield a connection whose work is committed as a whole, or not at all."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Yield a connection for single statements that take no lock."""
        with self._reading.connect() as connection:
            yield connection

    def scalar(self, sql: str) -> Any:
        """Return a query's one value, through a connection that the thread keeps for it.

        Taking a connection from the pool and compiling the query cost many times what a small
        query does.
        """
        try:
            return self._kept_scalar(sql)
        except Exception:  # each driver has its own; the connection may have been lost: once more
            self._forget_kept()
            return self._kept_scalar(sql)

    def _kept_scalar(self, sql: str) -> Any:
        if not hasattr(self._kept, "connection"):
            self._kept.connection = self._reading.connect()
            self._all_kept.append(self._kept.connection)
        with contextlib.closing(self._kept.connection.connection.cursor()) as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
        return None if row is None else row[0]

    def _forget_kept(self) -> None:
        connection: Connection | None = self._kept.__dict__.pop("connection", None)
        if connection is not None:
            self._all_kept.remove(connection)
            connection.invalidate()
            connection.close()

    def insert_new(self, table: Table) -> Executable:
        """Return an INSERT that leaves rows that are there already as they are."""
        dialect = sqlite if self.is_sqlite else postgresql
        return dialect.insert(table).on_conflict_do_nothing()

    def close(self) -> None:
        """Close all connections."""
        while self._all_kept:
            self._all_kept.pop().close()
        self._engine.dispose()


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_immediate(connection: Connection) -> None:
    # Take the write lock at once: a transaction that only reads first cannot always be upgraded.
    # (The option is asked, not the connection: SQLite has no answer of its own to that.)
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


__all__ = ["Database", "sqlite_url"]
