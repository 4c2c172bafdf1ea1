"""The socket of a connection to PostgreSQL, which sends small messages at once.

The driver sends a statement in several small messages. By default TCP holds back the second one
until the server has acknowledged the first, which the server delays by about 40 ms: a statement
with parameters took 44 ms instead of 1 ms. The option TCP_NODELAY prevents this.
"""

import socket
from typing import Any

from pg8000 import dbapi
from pg8000.exceptions import InterfaceError
from sqlalchemy import Dialect, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

_PORT = 5432


def use_own_sockets(engine: Engine) -> None:
    """Make an engine open its connections on sockets without delay."""
    event.listen(engine, "do_connect", _connected)


def _connected(
    _dialect: Dialect,
    _record: ConnectionPoolEntry,
    _positional: list[Any],
    arguments: dict[str, Any],
) -> dbapi.Connection:
    host, port = arguments.get("host") or "localhost", arguments.get("port") or _PORT
    try:
        opened = socket.create_connection((host, port), arguments.get("timeout"))
    except OSError as error:
        what = f"Can't create a connection to host {host} and port {port}: {error}"
        raise InterfaceError(what) from error
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    try:
        return dbapi.connect(sock=opened, **arguments)
    except BaseException:
        opened.close()
        raise


__all__ = ["use_own_sockets"]
