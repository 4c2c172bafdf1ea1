"""Conversion of database errors: unavailable, damaged, wrongly configured, or an invalid value."""

import sqlite3

from pg8000 import exceptions as pg
from sqlalchemy import exc

from margin_actors.errors import (
    InvalidParameters,
    InvalidRequest,
    LedgerDamaged,
    LedgerUnavailable,
    MarginError,
    Problem,
)

BUSY_SECONDS = 10
"""Longest time that a writer waits for another writer."""

DRIVER_ERRORS = (sqlite3.Error, pg.Error, exc.SQLAlchemyError, OSError)
"""Errors of a statement: of either driver, of SQLAlchemy, and of a socket."""

_DAMAGED = "the ledger is damaged"
_UNAVAILABLE = "the ledger is not available"
_SET_UP = "the ledger cannot be opened"
_RESTORE = "restore a backup with `margin ledger restore`"
_LOCKED = f"locked for {BUSY_SECONDS} s by another process"

_SQLITE: dict[int, str] = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the file or its folder cannot be written",
    sqlite3.SQLITE_IOERR: "reading or writing the disk failed",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; its folder must exist and be writable",
    sqlite3.SQLITE_PERM: "access to the file is denied",
    sqlite3.SQLITE_AUTH: "access to the file is denied",
    sqlite3.SQLITE_NOMEM: "memory is exhausted",
    sqlite3.SQLITE_INTERRUPT: "the operation was interrupted",
    sqlite3.SQLITE_PROTOCOL: _LOCKED,
}
_SQLITE_DAMAGED: dict[int, str] = {
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database",
}

_PG_STATES: dict[str, str] = {
    "25006": "the server accepts no writes (a standby, or default_transaction_read_only)",
    "53100": "the server's disk is full",
    "53300": "the server has no free connections",
    "55P03": _LOCKED,
    "57P01": "the server is stopping",
    "57P03": "the server is starting",
    "25P03": "the server ended a transaction that was idle for too long",
}
_PG_UNAVAILABLE = ("08", "25", "40", "53", "55", "57", "58")
"""Classes of SQLSTATEs: connection, transaction, conflict, resources, locks, operator, system."""
_PG_SET_UP: dict[str, str] = {
    "28P01": "the password is wrong",
    "28000": "the server refuses this user",
    "3D000": "the database does not exist; create it first",
    "42501": "the user lacks a privilege; it must own the database's tables",
}


def translated(error: BaseException, where: str, *, is_opening: bool = False) -> MarginError | None:
    """Return the project's error for a database error, or None for a fault of this program.

    Parameters
    ----------
    error : BaseException
        Raised by SQLAlchemy, a driver or a socket.
    where : str
        Address of the ledger without its password.
    is_opening : bool
        True while the ledger is being opened. A refused login (for example a wrong password) is
        then converted to `InvalidParameters`, later to `LedgerUnavailable`.
    """
    if isinstance(error, MarginError):
        return error
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error, where)
    if isinstance(error, pg.Error):
        return _of_postgres(error, where, is_opening=is_opening)
    if isinstance(error, (OSError, exc.TimeoutError, exc.ResourceClosedError)):
        return unavailable(where, f"{error}")
    return None


def unavailable(where: str, what: str) -> LedgerUnavailable:
    """Return the error for a ledger that cannot be read or written at the moment."""
    return LedgerUnavailable(f"{_UNAVAILABLE}: {what}", [Problem(where, what, "try again later")])


def damaged(where: str, what: str, remedy: str = _RESTORE) -> LedgerDamaged:
    """Return the error for a ledger that does not hold what was committed."""
    return LedgerDamaged(f"{_DAMAGED}: {what}", [Problem(where, what, remedy)])


def set_up_wrongly(where: str, what: str, remedy: str) -> InvalidParameters:
    """Return the error for an address or database that this software cannot use as a ledger."""
    return InvalidParameters(f"{_SET_UP}: {what}", [Problem(where, what, remedy)])


def _of_sqlite(error: sqlite3.Error, where: str) -> MarginError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _SQLITE_DAMAGED:
        return damaged(where, _SQLITE_DAMAGED[code])
    if code in _SQLITE:
        return unavailable(where, _SQLITE[code])
    text = str(error)
    if "no such table" in text or "no such column" in text:
        return damaged(where, text)
    if "closed database" in text:
        return unavailable(where, "the connection was closed")
    return None


def _of_postgres(error: pg.Error, where: str, *, is_opening: bool) -> MarginError | None:
    fields: object = error.args[0] if error.args else ""
    if not isinstance(fields, dict):
        # An error without SQLSTATE is not the server's: the network failed, or the connection is
        # closed.
        return unavailable(where, str(error))
    state, message = str(fields.get("C", "")), str(fields.get("M", ""))
    if state in _PG_SET_UP:
        what = _PG_SET_UP[state]
        if is_opening:
            return set_up_wrongly(where, what, f"the server says: {message}")
        return unavailable(where, what)
    if state.startswith("XX00") or state == "42P01":
        return damaged(where, message)
    if state in _PG_STATES or state[:2] in _PG_UNAVAILABLE:
        return unavailable(where, _PG_STATES.get(state, message))
    if state.startswith("22"):
        return InvalidRequest(
            "the ledger cannot hold a value of the request",
            [Problem("request", message, "shorten the text; leave out control characters")],
        )
    return None


__all__ = [
    "BUSY_SECONDS",
    "DRIVER_ERRORS",
    "damaged",
    "set_up_wrongly",
    "translated",
    "unavailable",
]
