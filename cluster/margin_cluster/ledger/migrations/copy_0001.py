"""Copies the rows of version 0001 into the tables of version 0002 and writes their log.

Version 0001 kept no order across tables, so the log has one table after the other, each in the
order of its own sequence numbers. The order of listings and all versions of positions stay as they
were.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, column, insert, select, table, text

from margin_cluster.ledger.chain import FIRST_HASH, content_hash, entry_hash, trade_content
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
Row = dict[str, Any]


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
        target: Any,
        subject: str,
        rows: Sequence[Row],
        parts: Mapping[int, Any] | None = None,
    ) -> None:
        """Insert rows and their entries; `parts` holds the trades by version."""
        log: list[Row] = []
        for row in rows:
            self.sequence += 1
            row["sequence"] = self.sequence
            whole = row if parts is None else row | {"trades": parts.get(row["version"], [])}
            content, previous = content_hash(kind, whole), self.hash
            name, created = str(row[subject]), row["create_ms"]
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
    head: Row = {
        "id": 1,
        "sequence": log.sequence,
        "hash": log.hash,
        "portfolio_version": version,
        "generation_number": number,
        "checked_ms": 0,
    }
    connection.execute(insert(ledger_head), [head])


def _pages(connection: Connection, name: str, key: str, columns: Sequence[Any]) -> Iterator[Any]:
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
        last = rows[-1][key]
        yield rows


def _plain(row: Mapping[Any, Any]) -> Row:
    """Return a row without negative zeros, which only one of the databases keeps."""
    return {str(n): v + 0.0 if type(v) is float else v for n, v in row.items()}


def _copy(
    log: _Log,
    kind: str,
    target: Any,
    source: str,
    subject: str,
    change: Callable[[Row], Row] = lambda row: row,
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
    first: Row = {
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
        held = _trades_of(log.connection, rows[0]["version"], rows[-1]["version"])
        for row in rows:
            row |= {"request_id": "", "caller": ""}
        parts = {
            version: [
                trade_content(t["account_id"], t["member_id"], t["instrument_name"], t["quantity"])
                for t in some
            ]
            for version, some in held.items()
        }
        log.append("positions", changes, "version", rows, parts)
        flat = [t for some in held.values() for t in some]
        for begin in range(0, len(flat), _TOGETHER):
            log.connection.execute(insert(trades), flat[begin : begin + _TOGETHER])
        last = rows[-1]["version"]
    return last


def _trades_of(connection: Connection, first: int, last: int) -> dict[int, list[Row]]:
    kept = ("version", "account_id", "member_id", "instrument_name", "quantity")
    source = table("trades_0001", *(column(n, trades.c[n].type) for n in kept), column("id"))
    query = select(*(source.c[n] for n in kept)).order_by(source.c.id)
    query = query.where(source.c.version.between(first, last))
    held: dict[int, list[Row]] = {}
    for row in connection.execute(query).mappings():
        some = held.setdefault(row["version"], [])
        some.append(_plain(row) | {"number": len(some)})
    return held
