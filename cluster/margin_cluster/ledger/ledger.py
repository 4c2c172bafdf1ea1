"""The ledger: what was published, what is in use, all positions, and every calculation.

Every write is one transaction that holds the ledger's only write lock, and its rows are appended to
one hash-chained log in the order of commits. Repeating a write changes nothing: stored objects and
calculations are identified by their content, changes by the caller's idempotency key. So a request
whose response was lost can be sent again, through any gateway.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from sqlalchemy import RowMapping, Select, Table, select

from margin_actors.actors.inputs import ActiveInputs
from margin_actors.errors import Problem, UnknownCalculation
from margin_cluster.ledger import steps
from margin_cluster.ledger.columns import DriverRow, Value
from margin_cluster.ledger.database import Database
from margin_cluster.ledger.failures import damaged
from margin_cluster.ledger.models import ModelVersions
from margin_cluster.ledger.queries import calculations_between, changes_between
from margin_cluster.ledger.records import (
    CalculationKind,
    CalculationRecord,
    Change,
    ChangeResult,
    GenerationRecord,
    LedgerHead,
    Origin,
    PositionChange,
    ScenarioSetRecord,
    SnapshotRecord,
)
from margin_cluster.ledger.rows import (
    calculation_from_row,
    calculation_to_row,
    generation_from_row,
    scenario_set_from_row,
    scenario_set_to_row,
    snapshot_from_row,
    snapshot_to_row,
)
from margin_cluster.ledger.schema import (
    calculations,
    generations,
    ledger_head,
    scenario_sets,
    snapshots,
)

_VERSION = "SELECT portfolio_version FROM ledger_head WHERE id = 1"


class Ledger:
    """A ledger in one database. Methods block, so an event loop calls them in a thread.

    Opening creates the tables of a new ledger and upgrades those of an older one; with
    `is_inspection` it changes nothing, and the ledger is only read. Every method raises
    `LedgerUnavailable` if the database does not answer, and `LedgerDamaged` if it is found to be
    damaged.

    Raises
    ------
    LedgerDamaged
        If committed entries are missing, or the file is not a ledger.
    LedgerUnavailable
        If the database does not answer.
    InvalidParameters
        If the URL is not valid, the password is wrong, or the ledger's version is not supported.
    """

    def __init__(self, url: str, *, is_inspection: bool = False) -> None:
        self._url = url
        self._database = Database(url, is_inspection=is_inspection)
        self.models = ModelVersions(self._database)
        """Versions of models, with their registrations and approvals."""
        self.reads_at_once = self._database.is_sqlite
        """True if a small read takes microseconds, as from a local file (SQLite)."""

    @property
    def url(self) -> str:
        """The address as given, including a password if there is one."""
        return self._url

    @property
    def database(self) -> Database:
        """The database, for verification and copies."""
        return self._database

    def close(self) -> None:
        """Close all connections; a SQLite file is then complete without its write-ahead log."""
        self._database.close()

    def head(self) -> LedgerHead:
        """Return the end of the log."""
        with self._database.reading() as connection:
            row = connection.execute(select(ledger_head)).first()
        if row is None:
            raise damaged(self._database.address.shown, "the head has no row")
        return LedgerHead(row.sequence, row.hash, row.portfolio_version)

    def check_writable(self) -> None:
        """Write and commit the time of this check.

        Raises
        ------
        LedgerUnavailable
            If the ledger cannot be written at the moment.
        """
        with self._database.writing() as writer:
            writer.execute("UPDATE ledger_head SET checked_ms = ?", [round(time.time() * 1000)])

    # -- what is in use ------------------------------------------------------------------------

    def active_inputs(self) -> ActiveInputs:
        """Return the snapshot, scenario set and generation number in use."""
        with self._database.reading() as connection:
            return steps.active_inputs_of(connection.exec_driver_sql(steps.IN_USE).first())

    def repeated_generation(
        self, kind: Literal["publish", "activate"], key: str, content: str
    ) -> int | None:
        """Return the generation number that a key led to, or None if the key is new or empty.

        Raises
        ------
        KeyReused
            If the key was used with other content.
        """
        return steps.number_of_key(self._first, kind, key, content)

    def publish_snapshot(
        self,
        record: SnapshotRecord,
        *,
        key: str,
        origin: Origin,
        allow_older: bool,
        now: datetime,
    ) -> tuple[ActiveInputs, int]:
        """Record a stored snapshot, put it in use, and return (inputs, number).

        The inputs are those in use after the call; the number is that of the generation that the
        snapshot started. If the snapshot was in use already, or the key is repeated, nothing in use
        changes, and the number is the current one or the first call's, respectively.

        Raises
        ------
        OutdatedSnapshot
            If a later snapshot is in use and `allow_older` is False.
        KeyReused
            If the key was used with another snapshot.
        """
        with self._database.writing() as writer:
            number = steps.number_of_key(writer.first, "publish", key, record.snapshot_id)
            before = steps.active_inputs_of(writer.first(steps.IN_USE))
            if number is not None:
                return before, number
            if not allow_older:
                steps.require_not_older(writer, before, record)
            steps.add_once(writer, "snapshot", snapshots.c.snapshot_id, snapshot_to_row(record))
            after = replace(before, snapshot_id=record.snapshot_id)
            content = record.snapshot_id
            return steps.advance(
                writer, "publish", before, after, key=key, content=content, origin=origin, now=now
            )

    def activate_scenarios(
        self, scenarios_id: str, *, key: str, origin: Origin, now: datetime
    ) -> tuple[ActiveInputs, int]:
        """Put a recorded scenario set in use; return values as `publish_snapshot`.

        Raises
        ------
        UnknownScenarioSet
            If no such set is recorded.
        KeyReused
            If the key was used with another set.
        """
        with self._database.writing() as writer:
            number = steps.number_of_key(writer.first, "activate", key, scenarios_id)
            before = steps.active_inputs_of(writer.first(steps.IN_USE))
            if number is not None:
                return before, number
            steps.require_scenario_set(writer.first, scenarios_id)
            after = replace(before, scenarios_id=scenarios_id)
            content = scenarios_id
            return steps.advance(
                writer, "activate", before, after, key=key, content=content, origin=origin, now=now
            )

    def list_generations(self, size: int, token: str) -> tuple[list[GenerationRecord], str]:
        """Return (up to `size` generations, latest first; token of the next page).

        As in all listings, an empty token requests the first page, and the returned token is empty
        after the last page.

        Raises
        ------
        InvalidRequest
            If the token is not valid.
        """
        rows, following = self._page(select(generations), generations, size, token)
        return [generation_from_row(r) for r in rows], following

    # -- market data and scenario sets ---------------------------------------------------------

    def list_snapshots(self, size: int, token: str) -> tuple[list[SnapshotRecord], str]:
        """Return (up to `size` snapshots, latest first; token); see `list_generations`."""
        rows, following = self._page(select(snapshots), snapshots, size, token)
        return [snapshot_from_row(r) for r in rows], following

    def add_scenario_set(self, record: ScenarioSetRecord) -> None:
        """Record a stored scenario set; does nothing if it is recorded already."""
        row = scenario_set_to_row(record)
        with self._database.writing() as writer:
            steps.add_once(writer, "scenario_set", scenario_sets.c.scenarios_id, row)

    def has_scenario_set(self, scenarios_id: str) -> bool:
        """Return whether a scenario set is recorded under an id."""
        return steps.has_scenario_set(self._first, scenarios_id)

    def list_scenario_sets(self, size: int, token: str) -> tuple[list[ScenarioSetRecord], str]:
        """Return (up to `size` scenario sets, latest first; token); see `list_generations`."""
        rows, following = self._page(select(scenario_sets), scenario_sets, size, token)
        return [scenario_set_from_row(r) for r in rows], following

    # -- positions -----------------------------------------------------------------------------

    def portfolio_version(self) -> int:
        """Return the version of the positions; 0 before the first change."""
        version = self._database.scalar(_VERSION)
        if not isinstance(version, int):
            raise damaged(self._database.address.shown, "the head has no row")
        return version

    def changes_since(self, version: int, *, until: int | None = None) -> list[Change]:
        """Return the changes after a version, beginning with the latest upload if there is one.

        `until` is the last version to be returned, by default the current one. Versions become
        visible in order, so no change before the last one returned is missing.
        """
        with self._database.reading() as connection:
            return changes_between(connection, version, until)

    def repeated_change(
        self, kind: Literal["upload", "trades"], key: str, content: str
    ) -> ChangeResult | None:
        """Return the change that a key led to, or None if the key is new or empty; takes no lock.

        Raises
        ------
        KeyReused
            If the key was used with other content.
        """
        return steps.change_of_key(self._first, kind, key, content)

    def change_positions(
        self,
        kind: Literal["upload", "trades"],
        *,
        key: str,
        content: str,
        origin: Origin,
        now: datetime,
        decide: Callable[[], PositionChange],
    ) -> ChangeResult:
        """Record a change of the positions and return its version.

        Parameters
        ----------
        kind : {"upload", "trades"}
        key : str
            Idempotency key of the caller; empty for none. A repeated key returns the first result.
        content : str
            Content id of the uploaded book, under which it is stored, or of the trades.
        origin : Origin
        now : aware datetime
        decide : callable
            Called with the writer's lock held, so that no other change can occur between what it
            reads and what is written. It may read this ledger and must not write to it. An
            exception that it raises aborts the change.

        Raises
        ------
        KeyReused
            If the key was used with other content.
        """
        with self._database.writing() as writer:
            before = steps.change_of_key(writer.first, kind, key, content)
            if before is not None:
                return before
            change = decide()
            version = steps.append_change(
                writer, kind, change, key=key, content=content, origin=origin, now=now
            )
        return ChangeResult(version, False, change.accounts, change.positions)

    # -- calculations --------------------------------------------------------------------------

    def add_calculations(self, records: Sequence[CalculationRecord]) -> None:
        """Record calculations in one transaction, except those that are recorded already."""
        rows = {r.calculation_id: calculation_to_row(r) for r in reversed(records)}
        if not rows:
            return
        marks = ", ".join("?" * len(rows))
        query = f"SELECT calculation_id FROM calculations WHERE calculation_id IN ({marks})"  # noqa: S608
        with self._database.writing() as writer:
            for (known,) in writer.all(query, list(rows)):
                del rows[known]
            writer.append("calculation", list(reversed(rows.values())))

    def calculation(self, calculation_id: str) -> CalculationRecord:
        """Return a calculation.

        Raises
        ------
        UnknownCalculation
            If no calculation is recorded under the id.
        """
        with self._database.reading() as connection:
            found = connection.execute(
                select(calculations).where(calculations.c.calculation_id == calculation_id)
            )
            row = found.mappings().first()
        if row is None:
            raise UnknownCalculation(
                "there is no such calculation",
                [
                    Problem(
                        "calculation_id",
                        calculation_id,
                        "ListCalculations returns the recorded ones",
                    )
                ],
            )
        return calculation_from_row(row)

    def list_calculations(
        self, size: int, token: str, *, account_id: str = "", kind: CalculationKind | None = None
    ) -> tuple[list[CalculationRecord], str]:
        """Return (up to `size` calculations, latest first; token); see `list_generations`.

        An empty `account_id` and a `kind` of None select all.
        """
        query = select(calculations)
        if account_id:
            query = query.where(calculations.c.account_id == account_id)
        if kind is not None:
            query = query.where(calculations.c.kind == kind)
        rows, following = self._page(query, calculations, size, token)
        return [calculation_from_row(r) for r in rows], following

    def calculations_between(
        self, start: datetime | None, end: datetime | None, *, account_id: str = ""
    ) -> Iterator[CalculationRecord]:
        """Yield the calculations of times in [start, end], oldest first; None is an open end."""
        return calculations_between(self._database, start, end, account_id=account_id)

    # ------------------------------------------------------------------------------------------

    def _first(self, sql: str, values: Sequence[Value] = ()) -> DriverRow | None:
        if not self._database.is_sqlite:
            sql = sql.replace("?", "%s")
        with self._database.reading() as connection:
            return connection.exec_driver_sql(sql, tuple(values)).first()

    def _page(
        self, query: Select[tuple[object, ...]], table: Table, size: int, token: str
    ) -> tuple[Sequence[RowMapping], str]:
        if token:
            query = query.where(table.c.sequence < steps.sequence_of(token))
        with self._database.reading() as connection:
            page = query.order_by(table.c.sequence.desc()).limit(size + 1)
            rows = connection.execute(page).mappings().all()
        following = str(rows[size - 1]["sequence"]) if len(rows) > size else ""
        return rows[:size], following
