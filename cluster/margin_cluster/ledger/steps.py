"""Steps of the ledger's transactions: read idempotency keys and the inputs in use, append rows."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import Column

from margin_actors.actors.inputs import ActiveInputs
from margin_actors.errors import (
    InvalidRequest,
    KeyReused,
    OutdatedSnapshot,
    Problem,
    UnknownScenarioSet,
)
from margin_cluster.ledger.chain import trade_content
from margin_cluster.ledger.columns import Columns, DriverRow, Value
from margin_cluster.ledger.records import ChangeResult, Origin, PositionChange, SnapshotRecord
from margin_cluster.ledger.rows import from_ms, origin_to_row, to_ms
from margin_cluster.ledger.schema import generations, trades, unchanged_requests
from margin_cluster.ledger.writer import Writer

First = Callable[[str, Sequence[Value]], DriverRow | None]
"""Returns the first row of a query with ``?`` for each value, or None."""

IN_USE = "SELECT number, snapshot_id, scenarios_id FROM generations ORDER BY number DESC LIMIT 1"
_GENERATION_OF_KEY = " UNION ALL ".join(
    f"SELECT number, content FROM {table.name} WHERE kind = ? AND idempotency_key = ?"  # noqa: S608
    for table in (generations, unchanged_requests)
)
_CHANGE_OF_KEY = (
    "SELECT version, content, accounts, positions FROM portfolio_changes"
    " WHERE kind = ? AND idempotency_key = ?"
)
_TOKEN_MAX = 2**63 - 1
_CLOCK = "%Y-%m-%d %H:%M:%S"


def active_inputs_of(row: DriverRow | None) -> ActiveInputs:
    """Return what is in use from a row of the query `IN_USE`, or nothing in use for None."""
    return ActiveInputs() if row is None else ActiveInputs(*row)


def number_of_key(first: First, kind: str, key: str, content: str) -> int | None:
    """Return the generation number that a key led to, or None if the key is new or empty.

    Raises
    ------
    KeyReused
        If the key was used with other content.
    """
    row = first(_GENERATION_OF_KEY, [kind, key] * 2) if key else None
    if row is None:
        return None
    _require_same(key, row[1], content)
    return row[0]


def change_of_key(first: First, kind: str, key: str, content: str) -> ChangeResult | None:
    """Return the change of positions that a key led to, or None if the key is new or empty.

    Raises
    ------
    KeyReused
        If the key was used with other content.
    """
    row = first(_CHANGE_OF_KEY, [kind, key]) if key else None
    if row is None:
        return None
    _require_same(key, row[1], content)
    return ChangeResult(row[0], True, row[2], row[3])


def _require_same(key: str, before: str, content: str) -> None:
    if before != content:
        raise KeyReused(
            "the idempotency key was used with other content",
            [Problem("idempotency_key", key, "use a new key for every new change")],
        )


def require_not_older(writer: Writer, before: ActiveInputs, record: SnapshotRecord) -> None:
    """Raise `OutdatedSnapshot` if a snapshot's time is before that of the one in use."""
    query = "SELECT time_ms FROM snapshots WHERE snapshot_id = ?"
    row = writer.first(query, [before.snapshot_id])
    if row is None or to_ms(record.time) >= row[0]:
        return
    raise OutdatedSnapshot(
        "the snapshot is older than the one in use",
        [
            Problem(
                "header.time",
                f"{record.time:{_CLOCK}}; the one in use is of {from_ms(row[0]):{_CLOCK}}",
                "publish a later one, or set allow_older",
            )
        ],
    )


def require_scenario_set(first: First, scenarios_id: str) -> None:
    """Raise `UnknownScenarioSet` if no such set is recorded."""
    if not has_scenario_set(first, scenarios_id):
        raise UnknownScenarioSet(
            "there is no such scenario set",
            [Problem("scenarios_id", scenarios_id[:80], "ListScenarioSets returns all")],
        )


def has_scenario_set(first: First, scenarios_id: str) -> bool:
    """Return whether a scenario set is recorded under an id."""
    query = "SELECT 1 FROM scenario_sets WHERE scenarios_id = ?"
    return first(query, [scenarios_id]) is not None


def add_once(writer: Writer, kind: str, name: Column[str], row: Columns) -> None:
    """Append a row unless a row with the same value in column `name` is recorded already."""
    query = f"SELECT 1 FROM {name.table} WHERE {name.name} = ?"  # noqa: S608
    if writer.first(query, [row[name.name]]) is None:
        writer.append(kind, [row])


def advance(
    writer: Writer,
    kind: Literal["publish", "activate"],
    before: ActiveInputs,
    after: ActiveInputs,
    *,
    key: str,
    content: str,
    origin: Origin,
    now: datetime,
) -> tuple[ActiveInputs, int]:
    """Put `after` in use and return (inputs in use, generation number).

    If `after` is in use already, only the key is recorded, so that repeating the call changes
    nothing even after something else has been put in use.
    """
    row: Columns = {
        "kind": kind,
        "idempotency_key": key or None,
        "content": content,
        **origin_to_row(origin),
        "create_ms": to_ms(now),
    }
    if after == before:
        if key:
            writer.append("unchanged_request", [row | {"number": before.number}])
        return before, before.number
    writer.generation_number += 1
    number = writer.generation_number
    in_use = {"snapshot_id": after.snapshot_id, "scenarios_id": after.scenarios_id}
    writer.append("generation", [row | in_use | {"number": number}])
    return ActiveInputs(number, after.snapshot_id, after.scenarios_id), number


def append_change(
    writer: Writer,
    kind: Literal["upload", "trades"],
    change: PositionChange,
    *,
    key: str,
    content: str,
    origin: Origin,
    now: datetime,
) -> int:
    """Append a change of the positions with its trades, and return the new version."""
    writer.portfolio_version += 1
    version = writer.portfolio_version
    row: Columns = {
        "version": version,
        "kind": kind,
        "idempotency_key": key or None,
        "content": content,
        "accounts": int(change.accounts),
        "positions": int(change.positions),
        **origin_to_row(origin),
        "create_ms": to_ms(now),
    }
    rows: list[Columns] = []
    held: list[list[str | float]] = []
    for number, trade in enumerate(change.trades):
        quantity = float(trade.quantity) + 0.0
        rows.append(
            {
                "version": version,
                "number": number,
                "account_id": trade.account_id,
                "member_id": trade.member_id,
                "instrument_name": trade.instrument_name,
                "quantity": quantity,
            }
        )
        held.append(
            trade_content(trade.account_id, trade.member_id, trade.instrument_name, quantity)
        )
    writer.append("positions", [row], also_hashed={"trades": held})
    writer.insert(trades, rows)
    return version


def sequence_of(token: str) -> int:
    """Return the sequence number that a page token holds.

    Raises
    ------
    InvalidRequest
        If the text is not a page token of this ledger.
    """
    is_ours = token.isascii() and token.isdecimal() and len(token) <= 19
    if not is_ours or not 0 < int(token) <= _TOKEN_MAX:
        raise InvalidRequest(
            "the page token is not valid",
            [Problem("page_token", token[:64], "return next_page_token unchanged")],
        )
    return int(token)
