"""Verification of a service's state: the ledger and every stored object to which it refers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import select

from margin_actors.engine.scenarios import scenario_set_from_table
from margin_actors.errors import InvalidParameters, MarginError, Problem
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.snapshot_table import snapshot_from_table
from margin_cluster.archive import book_in_stored_order
from margin_cluster.ledger.database import Database
from margin_cluster.ledger.schema import calculations, changes, scenario_sets, snapshots
from margin_cluster.ledger.verification import Verification, require_verified, verify_ledger
from margin_cluster.sources import ParquetStore

OBJECT_FINDINGS_MAX = 100
"""Maximum number of faulty objects that are listed; further ones are only counted."""


@dataclass(frozen=True)
class ServiceVerification:
    """The result of verifying a ledger and the objects to which it refers."""

    ledger: Verification
    objects: int
    """Number of objects to which the ledger refers."""
    object_findings: tuple[str, ...]
    """One sentence per missing or damaged object; at most `OBJECT_FINDINGS_MAX`."""
    object_findings_total: int
    """Number of missing or damaged objects."""

    @property
    def is_intact(self) -> bool:
        """True if the ledger and all objects are as they were committed."""
        return self.ledger.findings_total == 0 and self.object_findings_total == 0


def verify_service(
    ledger_url: str, root: Path, *, expected: tuple[int, str] | None = None
) -> ServiceVerification:
    """Verify a ledger and all objects to which it refers; the service may be running.

    Parameters
    ----------
    ledger_url : str
    root : Path
        State folder, which holds the objects.
    expected : (int, str), optional
        Number and hash of an entry that the ledger must hold.

    Raises
    ------
    LedgerDamaged, LedgerUnavailable, InvalidParameters
        If the ledger cannot be read at all.
    """
    database = Database(ledger_url, is_inspection=True)
    try:
        found = verify_ledger(database, must_hold=() if expected is None else (expected,))
        references = list(_references(database))
    finally:
        database.close()
    store, problems = ParquetStore(root), list[str]()
    for kind, object_id, facts in references:
        problem = _problem(store, kind, object_id, facts)
        if problem:
            problems.append(f"{store.path(kind, object_id)}: {problem}")
    shown = tuple(problems[:OBJECT_FINDINGS_MAX])
    return ServiceVerification(found, len(references), shown, len(problems))


def accept_loss(ledger_url: str) -> tuple[int, int]:
    """Allow a SQLite ledger that lost its last entries to be opened again.

    Returns
    -------
    kept : int
        Number of the last entry that the ledger still holds.
    lost : int
        How many later entries are lost.

    Raises
    ------
    LedgerDamaged
        If the remaining entries differ from what was committed.
    InvalidParameters
        If the ledger is not a SQLite file.
    """
    database = Database(ledger_url, is_inspection=True)
    try:
        if database.head_file is None:
            what = "only SQLite ledgers have a side file that reveals a loss"
            where = database.address.shown
            raise InvalidParameters(
                "--accept-loss applies only to SQLite ledgers", [Problem(where, what)]
            )
        found = verify_ledger(database, with_note=False)
        require_verified(found, database.address.shown)
        noted = database.head_file.read() or (found.head.sequence, "")
        database.head_file.note(found.head.sequence, found.head.hash, force=True)
    finally:
        database.close()
    return found.head.sequence, max(0, noted[0] - found.head.sequence)


def _references(database: Database) -> Iterator[tuple[str, str, Any]]:
    """Yield (kind, id, facts) of every object to which a ledger refers.

    The facts of a calculation are (accounts, sum of initial margins in US dollars), else None.
    """
    uploads = select(changes.c.content).where(changes.c.kind == "upload").distinct()
    c = calculations.c
    books = select(c.calculation_id, c.accounts, c.initial_margin_usd).where(c.kind == "book")
    with database.snapshot() as connection:
        for (name,) in connection.execute(select(snapshots.c.snapshot_id)):
            yield "market_snapshots", name, None
        for (name,) in connection.execute(select(scenario_sets.c.scenarios_id)):
            yield "scenarios", name, None
        for (name,) in connection.execute(uploads):
            yield "books", name, None
        for name, accounts, margin_usd in connection.execute(books):
            yield "calculations", name, (accounts, margin_usd)


def _problem(store: ParquetStore, kind: str, object_id: str, facts: Any) -> str:
    """Return the fault of a stored object; empty if it matches the ledger."""
    if not store.has(kind, object_id):
        return "the object is missing"
    try:
        table = store.get(kind, object_id)
        if kind == "calculations":
            return _calculation_problem(table, *facts)
        found = _content_id(kind, table, object_id)
    except MarginError as error:
        return error.summary
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        return f"the object cannot be read: {error}"
    return "" if found == object_id else f"its content is that of {found}"


def _content_id(kind: str, table: pa.Table, object_id: str) -> str:
    if kind == "market_snapshots":
        return snapshot_from_table(table, where=object_id).id
    if kind == "scenarios":
        return scenario_set_from_table(table, where=object_id).id
    found = book_from_table(table, where=object_id).id
    return found if found == object_id else book_in_stored_order(table).id


def _calculation_problem(table: pa.Table, accounts: int, margin_usd: float) -> str:
    if table.num_rows != accounts:
        return f"it has {table.num_rows:,} accounts, {accounts:,} were margined"
    total = float(table.column("initial_margin_usd").to_numpy().sum())
    if total != margin_usd:
        return f"its margins add up to {total!r}, {margin_usd!r} was recorded"
    return ""
