"""Copies the rows of version 0001 into the tables of version 0002 and writes their log.

Version 0001 kept no order across tables, so the log has one table after the other, each in the
order of its own sequence numbers. The order of listings and all versions of positions stay as they
were.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Column, Connection, RowMapping, Table, column, insert, select, table, text

from margin_cluster.ledger.chain import FIRST_HASH, content_hash, entry_hash, trade_content
from margin_cluster.ledger.columns import Columns, Value, whole_number
from margin_cluster.ledger.migrations.tables_0002 import (
    calculations,
    changes,
    entries,
    generations,
    ledger_head,
    scenario_sets,
    snapshots,
    trades,
)

_TOGETHER = 500


@dataclass
class _Log:
    """Appends rows and their entries."""

    connection: Connection
    sequence: int = 0
    hash: str = FIRST_HASH
    numbers: dict[str, int] = field(default_factory=dict[str, int])

    def append(
        self,
        kind: str,
        target: Table,
        subject: str,
        rows: Sequence[Columns],
        trades_by_version: Mapping[Value, list[list[str | float]]] | None = None,
    ) -> None:
        """Insert rows and their entries; trades are hashed with their change of positions."""
        log: list[Columns] = []
        for row in rows:
            self.sequence += 1
            row["sequence"] = self.sequence
            whole: Mapping[str, object] = row
            if trades_by_version is not None:
                whole = row | {"trades": trades_by_version.get(row["version"], [])}
            content, previous = content_hash(kind, whole), self.hash
            name, created = str(row[subject]), whole_number(row, "create_ms")
            self.hash = entry_hash(self.sequence, kind, name, content, previous, created)
            log.append(
                {
                    "sequence": self.sequence,
                    "kind": kind,
                    "subject": name,
                    "content_hash": content,
                    "previous_hash": previous,
                    "hash": self.hash,
                    "create_ms": created,
                }
            )
        if rows:
            self.connection.execute(insert(entries), log)
            self.connection.execute(insert(target), list(rows))


def copy_rows(connection: Connection) -> None:
    """Copy everything and write the head."""
    log = _Log(connection)
    _copy(log, "snapshot", snapshots, "snapshots_0001", "snapshot_id")
    _copy(log, "scenario_set", scenario_sets, "scenario_sets_0001", "scenarios_id")
    number = _copy_heads(log)
    version = _copy_changes(log)
    others = {"portfolio_version": 0, "accounts_failed": 0, "expired_positions": 0}
    _copy(
        log,
        "calculation",
        calculations,
        "calculations_0001",
        "calculation_id",
        lambda row: row | others | {"failures": "[]", "idempotency_key": None},
    )
    head: Columns = {
        "id": 1,
        "sequence": log.sequence,
        "hash": log.hash,
        "portfolio_version": version,
        "generation_number": number,
        "checked_ms": 0,
    }
    connection.execute(insert(ledger_head), [head])


def _pages(
    connection: Connection, name: str, key: str, columns: Sequence[Column[object]]
) -> Iterator[list[Columns]]:
    """Yield lists of rows in the order of a key, few at a time: a ledger may be large."""
    source = table(name, *(column(c.name, c.type) for c in columns), column(key))
    last: int | None = None
    while True:
        query = select(source).order_by(source.c[key]).limit(_TOGETHER)
        if last is not None:
            query = query.where(source.c[key] > last)
        rows = [_plain(row) for row in connection.execute(query).mappings()]
        if not rows:
            return
        last = whole_number(rows[-1], key)
        yield rows


def _plain(row: RowMapping) -> Columns:
    """Return a row without negative zeros, which only one of the databases keeps."""
    return {str(n): v + 0.0 if type(v) is float else v for n, v in row.items()}


def _copy(
    log: _Log,
    kind: str,
    target: Table,
    source: str,
    subject: str,
    change: Callable[[Columns], Columns] = lambda row: row,
) -> None:
    added = {"portfolio_version", "accounts_failed", "expired_positions", "failures"}
    added |= {"idempotency_key", "sequence"}
    columns = [c for c in target.columns if c.name not in added]
    for rows in _pages(log.connection, source, "sequence", columns):
        log.append(kind, target, subject, [change(row) for row in rows])


def _copy_heads(log: _Log) -> int:
    row = log.connection.execute(
        text("SELECT number, snapshot_id, scenarios_id FROM heads")
    ).first()
    if row is None:
        return 0
    first: Columns = {
        "number": row.number,
        "kind": "import",
        "snapshot_id": row.snapshot_id,
        "scenarios_id": row.scenarios_id,
        "idempotency_key": None,
        "content": row.snapshot_id,
        "request_id": "",
        "caller": "",
        "create_ms": round(time.time() * 1000),
    }
    log.append("generation", generations, "number", [first])
    return row.number


def _copy_changes(log: _Log) -> int:
    kept = ("kind", "idempotency_key", "content", "accounts", "positions", "create_ms")
    columns = [changes.c[name] for name in kept]
    last = 0
    for rows in _pages(log.connection, "portfolio_changes_0001", "version", columns):
        last = whole_number(rows[-1], "version")
        held = _trades_of(log.connection, whole_number(rows[0], "version"), last)
        for row in rows:
            row |= {"request_id": "", "caller": ""}
        log.append("positions", changes, "version", rows, held.contents)
        for begin in range(0, len(held.rows), _TOGETHER):
            log.connection.execute(insert(trades), held.rows[begin : begin + _TOGETHER])
    return last


@dataclass
class _Trades:
    """Trades of some changes of positions."""

    rows: list[Columns] = field(default_factory=list[Columns])
    """In the order of versions, and within a version in the order of the trades."""
    contents: dict[Value, list[list[str | float]]] = field(
        default_factory=dict[Value, list[list[str | float]]]
    )
    """By version: the trades in the form that is hashed."""


def _trades_of(connection: Connection, first: int, last: int) -> _Trades:
    kept = ("version", "account_id", "member_id", "instrument_name", "quantity")
    source = table("trades_0001", *(column(n, trades.c[n].type) for n in kept), column("id"))
    query = select(*(source.c[n] for n in kept)).order_by(source.c.version, source.c.id)
    query = query.where(source.c.version.between(first, last))
    held = _Trades()
    for row in connection.execute(query).mappings():
        some = held.contents.setdefault(row["version"], [])
        held.rows.append(_plain(row) | {"number": len(some)})
        some.append(
            trade_content(
                row["account_id"], row["member_id"], row["instrument_name"], row["quantity"] + 0.0
            )
        )
    return held
