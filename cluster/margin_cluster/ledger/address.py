"""Addresses of ledgers: a SQLite file, or a database of a PostgreSQL server."""

import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from margin_cluster.ledger.failures import BUSY_SECONDS, set_up_wrongly

_ANSWER_SECONDS = 30
"""Longest time that a PostgreSQL server may take for a connection or for one statement."""
_SSL_MODES = ("disable", "require", "verify-ca", "verify-full")
_QUERY = ("sslmode", "sslrootcert", "application_name")
_EXAMPLES = "give sqlite:////folder/ledger.sqlite or postgresql://user:password@host:5432/database"


def sqlite_url(path: Path) -> str:
    """Return the URL of a ledger in a SQLite file."""
    return f"sqlite:///{path}"


@dataclass(frozen=True)
class Address:
    """The location of a ledger."""

    url: URL

    @cached_property
    def shown(self) -> str:
        """The address for messages: the file, or the URL without its password."""
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)

    @cached_property
    def path(self) -> Path | None:
        """The file of a SQLite ledger; None for PostgreSQL."""
        if self.url.get_backend_name() != "sqlite" or self.url.database is None:
            return None
        return Path(self.url.database)

    @property
    def is_sqlite(self) -> bool:
        """True for a SQLite file, False for PostgreSQL."""
        return self.path is not None

    def driver_arguments(self, *, is_bounded: bool = True) -> dict[str, object]:
        """Return the arguments of the driver's `connect` besides the URL.

        Without `is_bounded` a PostgreSQL statement has no time limit, which migrations of large
        ledgers need.

        Raises
        ------
        InvalidParameters
            If the file of `sslrootcert` cannot be read.
        """
        if self.is_sqlite:
            return {"timeout": BUSY_SECONDS}
        arguments: dict[str, object] = {"timeout": _ANSWER_SECONDS if is_bounded else None}
        query = {name: str(value) for name, value in self.url.query.items()}
        arguments["application_name"] = query.get("application_name", "margin")
        if "sslmode" in query:
            arguments["ssl_context"] = self._ssl_context(query)
        return arguments

    def _ssl_context(self, query: dict[str, str]) -> ssl.SSLContext | bool:
        mode = query["sslmode"]
        if mode == "disable":
            return False
        try:
            context = ssl.create_default_context(cafile=query.get("sslrootcert"))
        except OSError as error:
            what = f"sslrootcert {query.get('sslrootcert')} cannot be read"
            raise set_up_wrongly(self.shown, what, str(error)) from None
        context.check_hostname = mode == "verify-full"
        if mode == "require":
            context.verify_mode = ssl.CERT_NONE
        return context

    @cached_property
    def driver_url(self) -> URL:
        """The URL for SQLAlchemy, with the driver's name and without the options."""
        if self.is_sqlite:
            return self.url
        return self.url.set(drivername="postgresql+pg8000", query={})


def address_from_url(text: str) -> Address:
    """Return the address that a URL names.

    Raises
    ------
    InvalidParameters
        If the text is not a URL, names neither a SQLite file nor a PostgreSQL database, or has
        unknown options.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The text may hold a password, so it is not repeated.
        raise set_up_wrongly("--ledger", "the text is not a URL", _EXAMPLES) from None
    shown = url.render_as_string(hide_password=True)
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if not url.database or url.database == ":memory:" or url.query:
            raise set_up_wrongly(shown, "the URL does not name a file", _EXAMPLES)
        return Address(url)
    if url.drivername not in ("postgresql", "postgres", "postgresql+pg8000"):
        raise set_up_wrongly(shown, f"{url.drivername} is not supported", _EXAMPLES)
    unknown = sorted(set(url.query) - set(_QUERY))
    if unknown:
        known = ", ".join(_QUERY)
        raise set_up_wrongly(shown, f"unknown option {unknown[0]}", f"options are {known}")
    if url.query.get("sslmode", "disable") not in _SSL_MODES:
        what = f"sslmode {url.query['sslmode']} is not supported"
        raise set_up_wrongly(shown, what, f"modes are {', '.join(_SSL_MODES)}")
    if not url.username or not url.database:
        raise set_up_wrongly(shown, "the URL has no user or no database", _EXAMPLES)
    return Address(url)


__all__ = ["Address", "address_from_url", "sqlite_url"]
