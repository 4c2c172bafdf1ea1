"""One open connection per thread, for a small query that is made with almost every call.

SQLAlchemy takes about twenty-five times as long for such a query: it takes a connection from the
pool, returns it, and builds a result object. A connection that is kept open, with the driver's own
cursor, avoids all three.
"""

import contextlib
import threading
from collections.abc import Callable

from sqlalchemy import PoolProxiedConnection

from margin_cluster.ledger.columns import Value


class ThreadConnections:
    """Open connections by thread.

    Parameters
    ----------
    connect : callable
        Returns a new connection in autocommit mode.
    """

    def __init__(self, connect: Callable[[], PoolProxiedConnection]) -> None:
        self._connect = connect
        self._own = threading.local()
        self._all: list[PoolProxiedConnection] = []

    def scalar(self, sql: str) -> Value:
        """Return the single value of a query, or None if it has no row.

        Raises errors of the driver; the caller then calls `forget`.
        """
        connection: PoolProxiedConnection | None = getattr(self._own, "connection", None)
        if connection is None or not connection.is_valid:
            connection = self._own.connection = self._connect()
            self._all.append(connection)
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
        return None if row is None else row[0]

    def forget(self) -> None:
        """Close this thread's connection, which may be lost; the next query opens a new one."""
        connection: PoolProxiedConnection | None = self._own.__dict__.pop("connection", None)
        if connection is not None:
            with contextlib.suppress(ValueError):
                self._all.remove(connection)
            with contextlib.suppress(Exception):  # it may be lost already
                connection.invalidate()

    def close(self) -> None:
        """Close the connections of all threads."""
        while self._all:
            with contextlib.suppress(Exception):  # it may be lost already
                self._all.pop().close()


__all__ = ["ThreadConnections"]
