"""The database behind the ledger, with its settings: SQLite in WAL mode, or PostgreSQL.

There is one writer at a time. Threads of a process exclude each other with a lock, processes with
SQLite's write lock or with PostgreSQL's row lock on the ledger's head. Readers take no lock.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import (
    Connection,
    Engine,
    NullPool,
    PoolProxiedConnection,
    create_engine,
    event,
    text,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection, IsolationLevel
from sqlalchemy.exc import DBAPIError, DisconnectionError

from margin_cluster.ledger.address import Address, address_from_url
from margin_cluster.ledger.columns import Value
from margin_cluster.ledger.failures import (
    BUSY_SECONDS,
    DRIVER_ERRORS,
    set_up_wrongly,
    translated,
    unavailable,
)
from margin_cluster.ledger.head_file import HeadFile
from margin_cluster.ledger.opening import (
    bring_up_to_date,
    require_file,
    require_no_loss,
    require_up_to_date,
)
from margin_cluster.ledger.postgres_socket import use_own_sockets
from margin_cluster.ledger.thread_connections import ThreadConnections
from margin_cluster.ledger.writer import Writer

_CHECKPOINT_SECONDS = 5
# The pool logs a traceback for every lost connection that it then fails to close properly. The loss
# itself is reported by the errors raised here.
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
_POSTGRES_SESSION = (
    # A writer that no longer answers loses the lock after 30 s if it is frozen, and after 9 s if it
    # is disconnected.
    "SET idle_in_transaction_session_timeout = '30s'",
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 2",
    # Floats are returned exactly, whatever the server's default is.
    "SET extra_float_digits = 1",
)


class Database:
    """Connections to one ledger. Safe to use from many threads.

    Parameters
    ----------
    url : str
        Address of the ledger.
    is_inspection : bool
        True for commands that report on a ledger as it is: it is neither created nor upgraded, and
        lost entries do not raise an error.

    Raises
    ------
    InvalidParameters
        If the URL is not valid, the login is refused, or the ledger's version is not supported.
    LedgerDamaged
        If committed entries are missing, or the file is not a ledger.
    LedgerUnavailable
        If the database does not answer.
    """

    def __init__(self, url: str, *, is_inspection: bool = False) -> None:
        self.address: Address = address_from_url(url)
        self.is_sqlite = self.address.is_sqlite
        self.head_file = HeadFile(self.address.path) if self.address.path else None
        self._is_closed, self._is_inspection = False, is_inspection
        self._writing = threading.Lock()
        self._readers = _engine(
            self.address, isolation="AUTOCOMMIT", overflow=-1, is_inspection=is_inspection
        )
        self._writers = _engine(self.address, isolation="READ COMMITTED", overflow=0)
        self._kept = ThreadConnections(lambda: self._raw(self._readers))
        try:
            self._open(is_inspection=is_inspection)
        except BaseException as error:
            self._release()
            ours = translated(error, self.address.shown, is_opening=True)
            if ours is None and isinstance(error, DBAPIError):
                ours = set_up_wrongly(self.address.shown, f"{error.orig}", "report this error")
            if ours is None or ours is error:
                raise
            raise ours from error

    def _open(self, *, is_inspection: bool) -> None:
        if is_inspection:
            require_file(self.address)
            with self._readers.connect() as connection:
                require_up_to_date(connection, self.address)
            return
        engine = _engine(self.address, isolation="READ COMMITTED", overflow=None)
        if self.is_sqlite:
            event.listen(engine, "begin", _begin_immediate)
        try:
            bring_up_to_date(engine, self._readers, self.address, self.head_file)
        finally:
            engine.dispose()
        if self.head_file is not None:
            noted = self.head_file.read()  # before the head, which another process may move
            with self._readers.connect() as connection:
                require_no_loss(connection, noted, self.address)

    @contextmanager
    def writing(self) -> Generator[Writer]:
        """Yield the writer of one transaction, which is committed at the end of the block.

        An exception in the block rolls the transaction back. The block may read through other
        connections of this ledger, which see the state before the transaction.

        Raises
        ------
        LedgerUnavailable
            If another writer does not finish within `BUSY_SECONDS`, or the database fails.
        """
        where = self.address.shown
        if not self._writing.acquire(timeout=BUSY_SECONDS):
            raise unavailable(where, f"another write has been running for {BUSY_SECONDS} s")
        try:
            with self._ours():
                connection = self._raw(self._writers)
            try:
                with self._ours():
                    writer = Writer(
                        connection.cursor(), is_sqlite=self.is_sqlite, busy_seconds=BUSY_SECONDS
                    )
                with self._ours(sockets=False):
                    yield writer
                with self._ours():
                    writer.finish()
                    connection.commit()
            except BaseException:
                _undo(connection)
                raise
            connection.close()
            if self.head_file is not None and writer.has_appended:
                self.head_file.note(writer.sequence, writer.hash)
        finally:
            self._writing.release()

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Yield a connection for single statements that take no lock."""
        with self._ours():
            self._require_open()
            with self._readers.connect() as connection:
                yield connection

    @contextmanager
    def snapshot(self) -> Generator[Connection]:
        """Yield a connection whose statements all see the same state of the ledger."""
        begin = "BEGIN" if self.is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with self.reading() as connection:
            connection.exec_driver_sql(begin)
            try:
                yield connection
            finally:
                with contextlib.suppress(Exception):
                    connection.exec_driver_sql("ROLLBACK")

    def scalar(self, sql: str) -> Value:
        """Return the single value of a small query, or None if it has no row.

        The query is made over a connection that is kept open for each thread. If the connection has
        been lost, another one is tried once.
        """
        try:
            return self._kept.scalar(sql)
        except DRIVER_ERRORS:
            self._kept.forget()
        with self._ours():
            return self._kept.scalar(sql)

    def _raw(self, engine: Engine) -> PoolProxiedConnection:
        self._require_open()
        return engine.raw_connection()

    def _require_open(self) -> None:
        if self._is_closed:
            raise unavailable(self.address.shown, "it was closed by this process")

    @contextmanager
    def _ours(self, *, sockets: bool = True) -> Generator[None]:
        """Convert database errors to the project's errors.

        PostgreSQL's driver raises errors of its socket as `OSError`. Without `sockets`, an
        `OSError` is left unchanged, because it may come from the caller's block.
        """
        try:
            yield
        except Exception as error:
            is_own = isinstance(error, OSError) and not sockets
            ours = None if is_own else translated(error, self.address.shown)
            if ours is None or ours is error:
                raise
            raise ours from error

    def close(self) -> None:
        """Close all connections; on SQLite, then move the write-ahead log into the file."""
        if self._is_closed:
            return
        with self._writing:
            self._is_closed = True
            self._release()
            if self.is_sqlite and not self._is_inspection:
                self._checkpoint()

    def _release(self) -> None:
        self._kept.close()
        self._writers.dispose()
        self._readers.dispose()
        if self.head_file is not None:
            self.head_file.close()

    def _checkpoint(self) -> None:
        # Otherwise rows would stay in the write-ahead log if another process has the ledger open,
        # or is killed later, and a copy of the file alone would lack them.
        engine = _engine(self.address, isolation="AUTOCOMMIT", overflow=None)
        with contextlib.suppress(Exception), engine.connect() as connection:
            connection.execute(text(f"PRAGMA busy_timeout = {_CHECKPOINT_SECONDS * 1000}"))
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        engine.dispose()


def _engine(
    address: Address,
    *,
    isolation: IsolationLevel,
    overflow: int | None,
    is_inspection: bool = False,
) -> Engine:
    """Return an engine with this ledger's settings; with `overflow` None it has no pool."""
    if address.is_sqlite:
        isolation = "AUTOCOMMIT"  # transactions begin with explicit statements
    arguments = address.driver_arguments(is_bounded=overflow is not None)
    if overflow is None:
        engine = create_engine(
            address.driver_url,
            isolation_level=isolation,
            connect_args=arguments,
            poolclass=NullPool,
        )
    else:
        engine = create_engine(
            address.driver_url,
            isolation_level=isolation,
            connect_args=arguments,
            pool_size=5 if overflow else 1,
            max_overflow=overflow,
            pool_timeout=BUSY_SECONDS,
        )
    if address.is_sqlite:
        event.listen(engine, "connect", _set_up_sqlite_reader if is_inspection else _set_up_sqlite)
    else:
        use_own_sockets(engine)
        event.listen(engine, "connect", _set_up_postgres)
        event.listen(engine, "checkout", _require_alive)
        event.listen(engine, "handle_error", _note_lost_socket)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _set_up_sqlite_reader(connection: sqlite3.Connection, _record: object) -> None:
    # Changes no setting of the file. The query reports a damaged file on connecting, and not in the
    # middle of a check.
    connection.isolation_level = None
    connection.execute("PRAGMA schema_version").close()


def _set_up_postgres(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
    for statement in _POSTGRES_SESSION:
        cursor.execute(statement)
    cursor.close()
    connection.commit()


def _require_alive(connection: DBAPIConnection, _record: object, _proxy: object) -> None:
    # Replaces SQLAlchemy's check before use (pre-ping), which does not handle the `OSError` that
    # the driver raises for its socket. A connection that fails is replaced by a new one.
    try:
        cursor = connection.cursor()
        cursor.execute(";")
        cursor.close()
    except DRIVER_ERRORS as error:
        raise DisconnectionError(str(error)) from error


def _note_lost_socket(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, OSError):
        context.is_disconnect = True


def _begin_immediate(connection: Connection) -> None:
    # Takes the write lock at once: a transaction that reads first cannot always be upgraded.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _undo(connection: PoolProxiedConnection) -> None:
    try:
        connection.rollback()
        connection.close()
    except Exception:  # the connection is lost, and its transaction with it
        with contextlib.suppress(Exception):
            connection.invalidate()


__all__ = ["Database"]
