"""Copies of whole ledgers: a SQLite file in use, or all rows into an empty database."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Table, select, tuple_

from margin_actors.errors import InvalidParameters, Problem
from margin_cluster.ledger.address import Address
from margin_cluster.ledger.columns import Columns, Value, columns_of
from margin_cluster.ledger.database import Database
from margin_cluster.ledger.failures import BUSY_SECONDS, translated
from margin_cluster.ledger.opening import require_file
from margin_cluster.ledger.records import LedgerHead
from margin_cluster.ledger.schema import ledger_head, metadata

_TOGETHER = 1_000


def copy_file(address: Address, target: Path) -> None:
    """Copy a SQLite ledger of any version as it is at one moment, even while others write to it.

    The copy is one file without a write-ahead log.

    Raises
    ------
    InvalidParameters
        If the file does not exist.
    LedgerDamaged, LedgerUnavailable
        If the file cannot be read.
    """
    require_file(address)
    assert address.path is not None
    try:
        with (
            closing(sqlite3.connect(address.path, timeout=BUSY_SECONDS)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            # All pages in one step, so that the copy is of one moment and writers are not blocked.
            source.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode=DELETE").close()
    except sqlite3.Error as error:
        ours = translated(error, address.shown)
        if ours is None:
            raise
        raise ours from error


def make_single_file(path: Path) -> None:
    """Switch a closed SQLite database out of WAL mode, so that it is a single file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE").close()


def copy_rows(source: Database, target: Database) -> LedgerHead:
    """Copy all rows of a ledger at one moment into an empty one, in one transaction.

    Raises
    ------
    InvalidParameters
        If the target is not empty.
    """
    with source.snapshot() as connection, target.writing() as writer:
        if writer.sequence > 0:
            what = f"the target holds {writer.sequence:,} entries"
            raise InvalidParameters(
                "the target is not empty",
                [Problem(target.address.shown, what, "name an empty database or folder")],
            )
        head = connection.execute(select(ledger_head)).one()
        for table in metadata.sorted_tables:
            if table is not ledger_head:
                for rows in _pages(connection, table):
                    writer.insert(table, rows)
        writer.sequence, writer.hash = head.sequence, head.hash
        writer.portfolio_version = head.portfolio_version
        writer.generation_number = head.generation_number
    return LedgerHead(head.sequence, head.hash, head.portfolio_version)


def _pages(connection: Connection, table: Table) -> Iterator[list[Columns]]:
    """Yield the rows of a table in the order of its primary key, in pages."""
    keys = list(table.primary_key.columns)
    query = select(table).order_by(*keys).limit(_TOGETHER)
    last: tuple[Value, ...] | None = None
    while True:
        page = query if last is None else query.where(tuple_(*keys) > tuple_(*last))
        rows = [columns_of(row) for row in connection.execute(page).mappings()]
        if not rows:
            return
        last = tuple(rows[-1][key.name] for key in keys)
        yield rows


__all__ = ["copy_file", "copy_rows", "make_single_file"]
