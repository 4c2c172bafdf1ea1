"""Queries of the ledger over ranges: changes of positions, and calculations."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, func, select

from margin_cluster.ledger.database import Database
from margin_cluster.ledger.records import CalculationRecord, Change, Trade
from margin_cluster.ledger.rows import calculation_from_row, to_ms
from margin_cluster.ledger.schema import calculations, changes, trades

_PAGE = 200
"""Calculations of one query."""


def changes_between(connection: Connection, version: int, until: int | None = None) -> list[Change]:
    """Return the changes of positions after `version`, beginning with the latest upload if any.

    `until` is the last version to be returned; None for all.
    """
    upload = select(func.max(changes.c.version)).where(
        changes.c.kind == "upload", changes.c.version > version
    )
    if until is not None:
        upload = upload.where(changes.c.version <= until)
    start = connection.execute(upload).scalar()
    first = version + 1 if start is None else start
    query = select(changes).where(changes.c.version >= first)
    if until is not None:
        query = query.where(changes.c.version <= until)
    rows = connection.execute(query.order_by(changes.c.version)).all()
    # Trades of changes that were committed after the first query are left out.
    last = rows[-1].version if rows else version
    held: dict[int, list[Trade]] = {}
    for t in connection.execute(
        select(trades)
        .where(trades.c.version >= first, trades.c.version <= last)
        .order_by(trades.c.version, trades.c.number)
    ):
        trade = Trade(t.account_id, t.member_id, t.instrument_name, t.quantity)
        held.setdefault(t.version, []).append(trade)
    return [Change(r.version, r.kind, r.content, tuple(held.get(r.version, ()))) for r in rows]


def calculations_between(
    database: Database, start: datetime | None, end: datetime | None, *, account_id: str = ""
) -> Iterator[CalculationRecord]:
    """Yield the calculations of times in [start, end], in the order of the log.

    None is an open end of the interval; an empty `account_id` selects all. Calculations that are
    recorded meanwhile may be included.
    """
    c = calculations.c
    query = select(calculations).order_by(c.sequence).limit(_PAGE)
    if start is not None:
        query = query.where(c.create_ms >= to_ms(start))
    if end is not None:
        query = query.where(c.create_ms <= to_ms(end))
    if account_id:
        query = query.where(c.account_id == account_id)
    last = 0
    while True:
        with database.reading() as connection:
            rows = connection.execute(query.where(c.sequence > last)).mappings().all()
        if not rows:
            return
        last = rows[-1]["sequence"]
        yield from map(calculation_from_row, rows)


__all__ = ["calculations_between", "changes_between"]
