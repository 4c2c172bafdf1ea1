"""The ledger: what was published, what is in use, who holds what, what was calculated.

Every write is one transaction, and repeating it changes nothing: calculations and stored things are
named by what they hold, changes of positions by the caller's idempotency key. So an answer that was
lost on its way may be asked for again by anyone, through any gateway.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, func, insert, select, update

from margin_actors.actors.plan import Heads
from margin_actors.errors import InvalidRequest, KeyReused, Problem, UnknownCalculation
from margin_cluster.ledger.database import Database
from margin_cluster.ledger.records import (
    CalculationKind,
    CalculationRecord,
    Change,
    ScenarioSetRecord,
    SnapshotRecord,
    Trade,
)
from margin_cluster.ledger.schema import (
    calculations,
    changes,
    heads,
    scenario_sets,
    snapshots,
    trades,
)

_VERSION = str(select(func.max(changes.c.version)))


_NEVER_MS = -1
"""Stands for no time where a column cannot be empty."""


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _ms_or_never(time: datetime | None) -> int:
    return _NEVER_MS if time is None else _ms(time)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


class Ledger:
    """A ledger in one database. Methods block; call them from a thread."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._new_calculation = self._database.insert_new(calculations)
        self.reads_at_once = self._database.is_sqlite
        """True where a small read takes microseconds: from a file in memory, not over a network."""

    @property
    def url(self) -> str:
        """Its address."""
        return self._database.url

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    # -- what is in use ------------------------------------------------------------------------

    def heads(self) -> Heads:
        """Return what is in use."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(heads.c.number, heads.c.snapshot_id, heads.c.scenarios_id)
            ).first()
        return Heads() if row is None else Heads(row[0], row[1], row[2])

    def note_heads(self, value: Heads) -> None:
        """Keep what is in use; an older number than the one kept changes nothing."""
        fields = {
            "number": value.number,
            "snapshot_id": value.snapshot_id,
            "scenarios_id": value.scenarios_id,
        }
        with self._database.writing() as connection:
            kept = connection.execute(select(heads.c.number)).scalar()
            if kept is None:
                connection.execute(insert(heads).values(id=1, **fields))
            elif kept < value.number:
                connection.execute(update(heads).values(**fields))

    # -- market data and scenario sets ---------------------------------------------------------

    def add_snapshot(self, record: SnapshotRecord) -> None:
        """Note a stored snapshot; one that is noted already stays as it is."""
        self._add_once(
            snapshots,
            snapshot_id=record.snapshot_id,
            time_ms=_ms(record.time),
            options=record.options,
            is_synthetic=record.is_synthetic,
            create_ms=_ms(record.create_time),
        )

    def list_snapshots(self, size: int, token: str) -> tuple[list[SnapshotRecord], str]:
        """Return a page of snapshots, the latest first, and the token of the next."""
        rows, following = self._page(select(snapshots), snapshots, size, token)
        return [
            SnapshotRecord(
                r.snapshot_id, _time(r.time_ms), r.options, r.is_synthetic, _time(r.create_ms)
            )
            for r in rows
        ], following

    def add_scenario_set(self, record: ScenarioSetRecord) -> None:
        """Note a stored scenario set; one that is noted already stays as it is."""
        self._add_once(
            scenario_sets,
            scenarios_id=record.scenarios_id,
            engine=record.engine,
            underlyings=json.dumps(record.underlyings),
            scenarios=record.scenarios,
            horizon_hours=record.horizon_hours,
            first_end_ms=_ms_or_never(record.first_window_end),
            last_end_ms=_ms_or_never(record.last_window_end),
            is_synthetic=record.is_synthetic,
            create_ms=_ms(record.create_time),
        )

    def list_scenario_sets(self, size: int, token: str) -> tuple[list[ScenarioSetRecord], str]:
        """Return a page of scenario sets, the latest first, and the token of the next."""
        rows, following = self._page(select(scenario_sets), scenario_sets, size, token)
        return [
            ScenarioSetRecord(
                r.scenarios_id,
                r.engine,
                tuple(json.loads(r.underlyings)),
                r.scenarios,
                r.horizon_hours,
                None if r.first_end_ms == _NEVER_MS else _time(r.first_end_ms),
                None if r.last_end_ms == _NEVER_MS else _time(r.last_end_ms),
                r.is_synthetic,
                _time(r.create_ms),
            )
            for r in rows
        ], following

    # -- positions -----------------------------------------------------------------------------

    def portfolio_version(self) -> int:
        """Return the version of the positions; 0 before the first."""
        return self._database.scalar(_VERSION) or 0

    def changes_since(self, version: int) -> list[Change]:
        """Return all changes after a version, from the last upload on."""
        with self._database.reading() as connection:
            start = connection.execute(
                select(func.max(changes.c.version)).where(
                    changes.c.kind == "upload", changes.c.version > version
                )
            ).scalar()
            first = version + 1 if start is None else start
            rows = connection.execute(
                select(changes).where(changes.c.version >= first).order_by(changes.c.version)
            ).all()
            # Nothing newer than the changes just read, whatever is committed meanwhile.
            last = rows[-1].version if rows else version
            held: dict[int, list[Trade]] = {}
            for t in connection.execute(
                select(trades)
                .where(trades.c.version >= first, trades.c.version <= last)
                .order_by(trades.c.id)
            ):
                trade = Trade(t.account_id, t.member_id, t.instrument_name, t.quantity)
                held.setdefault(t.version, []).append(trade)
        return [Change(r.version, r.kind, r.content, tuple(held.get(r.version, ()))) for r in rows]

    def repeated(self, key: str, content: str) -> tuple[int, int, int] | None:
        """Return (version, accounts, positions) of the change made under a key, if there is one.

        Raises
        ------
        KeyReused
            If it was made with other content.
        """
        if not key:
            return None
        with self._database.reading() as connection:
            return _repeated(connection, key, content)

    def add_upload(
        self, *, key: str, content: str, accounts: int, positions: int, now: datetime
    ) -> int:
        """Replace all positions by a stored book and return the new version."""
        return self._change("upload", key, content, accounts, positions, (), now)[0]

    def add_trades(
        self, items: Sequence[Trade], *, key: str, content: str, now: datetime
    ) -> tuple[int, bool]:
        """Add trades and return (version, whether the key had been used for them before)."""
        return self._change("trades", key, content, 0, 0, items, now)

    def _change(
        self,
        kind: str,
        key: str,
        content: str,
        accounts: int,
        positions: int,
        items: Sequence[Trade],
        now: datetime,
    ) -> tuple[int, bool]:
        with self._database.writing() as connection:
            before = _repeated(connection, key, content) if key else None
            if before is not None:
                return before[0], True
            result = connection.execute(
                insert(changes).values(
                    kind=kind,
                    idempotency_key=key or None,
                    content=content,
                    accounts=accounts,
                    positions=positions,
                    create_ms=_ms(now),
                )
            )
            version = int(result.inserted_primary_key[0])  # pyright: ignore[reportOptionalSubscript]
            if items:
                connection.execute(
                    insert(trades),
                    [
                        {
                            "version": version,
                            "account_id": t.account_id,
                            "member_id": t.member_id,
                            "instrument_name": t.instrument_name,
                            "quantity": t.quantity,
                        }
                        for t in items
                    ],
                )
        return version, False

    # -- calculations --------------------------------------------------------------------------

    def add_calculations(self, records: Sequence[CalculationRecord]) -> None:
        """Note calculations in one transaction; those noted already stay as they are."""
        rows = [_calculation_row(r) for r in records]
        if not rows:
            return
        with self._database.writing() as connection:
            connection.execute(self._new_calculation, rows)

    def calculation(self, calculation_id: str) -> CalculationRecord:
        """Return a calculation.

        Raises
        ------
        UnknownCalculation
            If none is recorded under the id.
        """
        with self._database.reading() as connection:
            row = connection.execute(
                select(calculations).where(calculations.c.calculation_id == calculation_id)
            ).first()
        if row is None:
            raise UnknownCalculation(
                "there is no such calculation",
                [Problem("calculation_id", calculation_id, "ListCalculations returns those kept")],
            )
        return _calculation(row)

    def list_calculations(
        self, size: int, token: str, *, account_id: str = "", kind: CalculationKind | None = None
    ) -> tuple[list[CalculationRecord], str]:
        """Return a page of calculations, the latest first, and the token of the next."""
        query = select(calculations)
        if account_id:
            query = query.where(calculations.c.account_id == account_id)
        if kind is not None:
            query = query.where(calculations.c.kind == kind)
        rows, following = self._page(query, calculations, size, token)
        return [_calculation(r) for r in rows], following

    # ------------------------------------------------------------------------------------------

    def _add_once(self, table: Table, **values: Any) -> None:
        # Named by its content: what is there already is the same.
        with self._database.writing() as connection:
            connection.execute(self._database.insert_new(table), values)

    def _page(
        self, query: Select[Any], table: Table, size: int, token: str
    ) -> tuple[Sequence[Any], str]:
        if token:
            if not token.isdecimal():
                raise InvalidRequest(
                    "the page token is not one of ours",
                    [Problem("page_token", token[:64], "give back next_page_token unchanged")],
                )
            query = query.where(table.c.sequence < int(token))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(table.c.sequence.desc()).limit(size + 1)).all()
        following = str(rows[size - 1].sequence) if len(rows) > size else ""
        return rows[:size], following


def _repeated(connection: Connection, key: str, content: str) -> tuple[int, int, int] | None:
    row = connection.execute(
        select(changes.c.version, changes.c.content, changes.c.accounts, changes.c.positions).where(
            changes.c.idempotency_key == key
        )
    ).first()
    if row is None:
        return None
    if row.content != content:
        raise KeyReused(
            "the idempotency key was used with other content",
            [Problem("idempotency_key", key, "use a new key for every new change")],
        )
    return row.version, row.accounts, row.positions


def _calculation_row(record: CalculationRecord) -> dict[str, Any]:
    return {
        "calculation_id": record.calculation_id,
        "kind": record.kind,
        "create_ms": _ms(record.create_time),
        "request_id": record.request_id,
        "account_id": record.account_id,
        "generation": json.dumps(record.generation),
        "inputs": json.dumps(record.inputs),
        "digest": record.digest,
        "accounts": record.accounts,
        "positions": record.positions,
        "initial_margin_usd": record.initial_margin_usd,
        "margin": json.dumps(record.margin),
    }


def _calculation(row: Any) -> CalculationRecord:
    return CalculationRecord(
        calculation_id=row.calculation_id,
        kind=row.kind,
        create_time=_time(row.create_ms),
        request_id=row.request_id,
        account_id=row.account_id,
        generation=json.loads(row.generation),
        inputs=json.loads(row.inputs),
        digest=row.digest,
        accounts=row.accounts,
        positions=row.positions,
        initial_margin_usd=row.initial_margin_usd,
        margin=json.loads(row.margin),
    )
