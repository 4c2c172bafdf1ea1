"""A write transaction: it locks the ledger's head first, appends to the log, and moves the head.

Statements are passed directly to the driver, because every calculation is written here, and
compiling and binding statements in SQLAlchemy took longer than SQLite takes to execute them.
"""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from functools import cache
from operator import itemgetter

from pg8000.exceptions import InterfaceError
from sqlalchemy import LargeBinary, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.interfaces import DBAPICursor

from margin_cluster.ledger.chain import content_hash, entry_to_row, following_entry
from margin_cluster.ledger.columns import Columns, DriverRow, Value, whole_number
from margin_cluster.ledger.packing import PACKED, packed
from margin_cluster.ledger.schema import LOGGED, entries

_HEAD = "SELECT sequence, hash, portfolio_version, generation_number FROM ledger_head WHERE id = 1"
_MOVE = (
    "UPDATE ledger_head SET sequence = ?, hash = ?, portfolio_version = ?, generation_number = ?"
    " WHERE id = 1"
)
_POSTGRES = postgresql.dialect()
_AS_JSON = frozenset({"entries", "clearing_events"})
"""Tables without floats whose rows are sent to PostgreSQL as one JSON text: binding a parameter for
each value took a quarter of the processor time of a commit."""
_RETRY_SECONDS = 0.0005
_PARAMETERS_MAX = 30_000
"""Values in one statement of several rows; PostgreSQL's protocol allows 65,535."""


class Writer:
    """One write transaction on one connection.

    Attributes
    ----------
    sequence, hash : int, str
        Number and hash of the last entry, including entries appended by this transaction.
    portfolio_version, generation_number : int
        The last numbers assigned; the caller increments them before it appends the row.
    """

    def __init__(self, cursor: DBAPICursor, *, is_sqlite: bool, busy_seconds: float) -> None:
        self._cursor = cursor
        self._is_sqlite = is_sqlite
        if is_sqlite:
            _begin(cursor, busy_seconds)
        row = self.first(_HEAD if is_sqlite else f"{_HEAD} FOR UPDATE")
        assert row is not None, "the head has no row"
        self.sequence, self.hash, self.portfolio_version, self.generation_number = row
        self._began = self._head

    @property
    def _head(self) -> tuple[int, str, int, int]:
        return self.sequence, self.hash, self.portfolio_version, self.generation_number

    @property
    def has_appended(self) -> bool:
        """True if the transaction has changed the head."""
        return self._head != self._began

    def execute(self, sql: str, values: Sequence[Value] = ()) -> None:
        """Execute a statement with ``?`` for each value."""
        if self._is_sqlite:
            self._cursor.execute(sql, tuple(values))
            return
        try:
            self._cursor.execute(sql.replace("?", "%s"), tuple(values))
        except OSError as error:  # the driver does not convert errors of its socket
            raise InterfaceError(f"network error: {error}") from error

    def all(self, sql: str, values: Sequence[Value] = ()) -> list[DriverRow]:
        """Return all rows of a query with ``?`` for each value."""
        self.execute(sql, values)
        return list(self._cursor.fetchall())

    def first(self, sql: str, values: Sequence[Value] = ()) -> DriverRow | None:
        """Return the first row of a query with ``?`` for each value, or None."""
        rows = self.all(sql, values)
        return rows[0] if rows else None

    def insert(self, table: Table, rows: Sequence[Columns]) -> None:
        """Insert rows, which must all have the same columns."""
        if not rows:
            return
        columns = tuple(c.name for c in table.columns if c.name in rows[0])
        take = itemgetter(*columns)
        values = [take(row) for row in rows]
        if self._is_sqlite:
            self._cursor.executemany(_insert(table.name, columns, 1), values)
            return
        if len(rows) > 1 and table.name in _AS_JSON:
            self.execute(_insert_json(table, columns), [_json(columns, values)])
            return
        # The driver's executemany sends one statement per row, so rows are combined.
        step = max(1, _PARAMETERS_MAX // len(columns))
        for begin in range(0, len(values), step):
            some = values[begin : begin + step]
            flat = [value for row in some for value in row]
            self.execute(_insert(table.name, columns, len(some)), flat)

    def append(
        self,
        kind: str,
        rows: Sequence[Columns],
        *,
        also_hashed: Mapping[str, object] | None = None,
        create_ms: int | None = None,
    ) -> None:
        """Insert rows of one kind and append an entry to the log for each.

        Parameters
        ----------
        kind : str
            A key of `LOGGED`.
        rows : sequence of dict
            Columns of the table except `sequence`, which is set here. The payload of a clearing
            event is given as text.
        also_hashed : mapping, optional
            Further content that the rows' content hash covers: the trades of a change.
        create_ms : int, optional
            Time of the entries, milliseconds since 1970 UTC; by default the column `create_ms`.
        """
        table, subject = LOGGED[kind]
        log: list[Columns] = []
        for row in rows:
            row["sequence"] = self.sequence + 1
            content = content_hash(kind, row if also_hashed is None else {**row, **also_hashed})
            created = whole_number(row, "create_ms") if create_ms is None else create_ms
            entry = following_entry(
                self.sequence, self.hash, kind, str(row[subject]), content, created
            )
            self.sequence, self.hash = entry.sequence, entry.hash
            log.append(entry_to_row(entry))
        self.insert(entries, log)
        self.insert(table, [packed(row) for row in rows] if kind in PACKED else rows)

    def finish(self) -> None:
        """Move the head to the last entry; the transaction can then be committed."""
        if self.has_appended:
            self.execute(_MOVE, self._head)
        # An open cursor whose query was not read to its end would keep SQLite's read lock.
        self._cursor.close()


def _begin(cursor: DBAPICursor, busy_seconds: float) -> None:
    """Take SQLite's write lock as soon as it is free.

    SQLite's own wait sleeps for up to 100 ms between two attempts. A process that commits without
    pause would then exclude all others for many seconds.
    """
    until = time.monotonic() + busy_seconds
    cursor.execute("PRAGMA busy_timeout = 0")
    while True:
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() >= until:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            break
    cursor.execute(f"PRAGMA busy_timeout = {round(1000 * busy_seconds)}")


def _json(columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> str:
    return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=bytes.hex)


@cache
def _insert_json(table: Table, columns: tuple[str, ...]) -> str:
    """Return a statement of PostgreSQL that inserts the rows of one JSON text; bytes are in hex."""
    read, form = list[str](), list[str]()
    for name in columns:
        kind = table.c[name].type
        is_bytes = isinstance(kind, LargeBinary)
        read.append(f"decode({name}, 'hex')" if is_bytes else name)
        form.append(f"{name} {'TEXT' if is_bytes else kind.compile(_POSTGRES)}")
    # Names of tables and columns come from the schema, never from input.
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)})"  # noqa: S608
        f" SELECT {', '.join(read)} FROM json_to_recordset(?) AS x({', '.join(form)})"
    )


@cache
def _insert(table: str, columns: tuple[str, ...], rows: int) -> str:
    one = f"({', '.join('?' * len(columns))})"
    # Names of tables and columns come from the schema, never from input.
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * rows)}"  # noqa: S608


__all__ = ["Writer"]
