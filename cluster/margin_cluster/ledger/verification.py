"""Verification of a ledger: the hash chain, every row against its entry, and the head."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.exc import DBAPIError

from margin_actors.errors import LedgerDamaged, Problem
from margin_cluster.ledger.chain import (
    FIRST_HASH,
    LogEntry,
    content_hash,
    entry_from_row,
    trade_content,
)
from margin_cluster.ledger.columns import Columns, Value, columns_of, whole_number
from margin_cluster.ledger.database import Database
from margin_cluster.ledger.packing import PACKED, unpacked
from margin_cluster.ledger.records import LedgerHead
from margin_cluster.ledger.schema import (
    LOGGED,
    changes,
    entries,
    generations,
    ledger_head,
    trades,
)

FINDINGS_MAX = 100
"""Largest number of findings that are listed; further findings are only counted."""
_TOGETHER = 500
_Trades: TypeAlias = list[list[str | float]]


@dataclass(frozen=True)
class Finding:
    """One difference between the ledger and what was committed."""

    sequence: int
    """Number of the entry concerned; 0 if it concerns the ledger as a whole."""
    what: str


@dataclass(frozen=True)
class Verification:
    """The result of verifying a ledger."""

    head: LedgerHead
    findings: tuple[Finding, ...]
    """In the order of the log; at most `FINDINGS_MAX`."""
    findings_total: int

    @property
    def first_bad_sequence(self) -> int:
        """Number of the first entry that differs from what was committed; 0 if there is none."""
        return min((f.sequence for f in self.findings if f.sequence > 0), default=0)


@dataclass
class _Findings:
    kept: list[Finding] = field(default_factory=list[Finding])
    total: int = 0

    def add(self, sequence: int, what: str) -> None:
        self.total += 1
        if len(self.kept) < FINDINGS_MAX:
            self.kept.append(Finding(sequence, what))


def verify_ledger(
    database: Database, *, with_note: bool = True, must_hold: Sequence[tuple[int, str]] = ()
) -> Verification:
    """Verify a ledger and return its head and the findings; others may write at the same time.

    Parameters
    ----------
    database : Database
    with_note : bool
        True to compare also with the side file's note of the last commit, if there is one.
    must_hold : sequence of (int, str)
        Numbers and hashes of entries that were committed.

    Raises
    ------
    LedgerDamaged
        If the database cannot be read.
    """
    findings = _Findings()
    # Read before the state that is verified, which may then be newer than the note but not older.
    noted = database.head_file.read() if database.head_file is not None and with_note else None
    with database.snapshot() as connection:
        if database.is_sqlite:
            _check_file(connection, findings)
        row = connection.execute(select(ledger_head)).first()
        if row is None:
            findings.add(0, "the head has no row")
            head = LedgerHead(0, FIRST_HASH, 0)
        else:
            head = LedgerHead(row.sequence, row.hash, row.portfolio_version)
        last = _check_log(connection, findings)
        _check_head(connection, findings, head, last)
        if row is not None:
            number = connection.execute(select(func.max(generations.c.number))).scalar() or 0
            if row.generation_number != number:
                what = f"the head records generation {row.generation_number}, but the last one is"
                findings.add(0, f"{what} {number}")
        for sequence, known in (*must_hold, *(() if noted is None else (noted,))):
            _check_known(connection, findings, sequence, known, head)
    return Verification(head, tuple(findings.kept), findings.total)


def require_verified(found: Verification, where: str) -> None:
    """Check that a verification has no findings; `where` is the ledger's address for messages.

    Raises
    ------
    LedgerDamaged
        With the findings, if there are any.
    """
    if found.findings_total == 0:
        return
    count = f"{found.findings_total:,} finding{'' if found.findings_total == 1 else 's'}"
    raise LedgerDamaged(
        f"the ledger is not as it was committed ({count})",
        [
            Problem(
                f"{where}, entry {f.sequence}" if f.sequence else where, f.what, "restore a backup"
            )
            for f in found.findings
        ],
    )


def _check_file(connection: Connection, findings: _Findings) -> None:
    try:
        for (line,) in connection.exec_driver_sql("PRAGMA integrity_check(20)"):
            if line != "ok":
                findings.add(0, f"the database file: {line}")
    except DBAPIError as error:
        findings.add(0, f"the database file: {error.orig}")


def _check_log(connection: Connection, findings: _Findings) -> tuple[int, str]:
    """Check all entries and rows; return (sequence, hash) of the last entry."""
    sequence, previous, events = 0, FIRST_HASH, 0
    for log in _pages(connection):
        rows = _rows_between(connection, sequence + 1, log[-1].sequence)
        held = _trades_of(connection, rows["positions"].values())
        events = _check_numbers(findings, rows["clearing_event"], events)
        for entry in log:
            if entry.sequence != sequence + 1:
                lost = f"{sequence + 1} to {entry.sequence - 1}"
                findings.add(sequence + 1, f"entries are missing: {lost}")
            _check_entry(findings, entry, previous)
            row = rows[entry.kind].pop(entry.sequence, None) if entry.kind in rows else None
            _check_row(findings, entry, row, held)
            sequence, previous = entry.sequence, entry.hash
        for kind, left in rows.items():
            for number in left:
                findings.add(number, f"a row of {LOGGED[kind][0].name} has no entry")
    for table, _ in LOGGED.values():
        outside = (table.c.sequence > sequence) | (table.c.sequence < 1)
        for (number,) in connection.execute(select(table.c.sequence).where(outside).limit(5)):
            findings.add(number, f"a row of {table.name} is outside the log")
    versions = select(changes.c.version)
    lone = select(trades.c.version).where(trades.c.version.not_in(versions)).distinct().limit(5)
    for (version,) in connection.execute(lone):
        findings.add(0, f"trades belong to version {version} of the positions, which is missing")
    return sequence, previous


def _check_numbers(findings: _Findings, rows: Mapping[int, Columns], last: int) -> int:
    """Check that clearing events are numbered without gaps; return the last number."""
    for sequence, row in sorted(rows.items()):
        number = whole_number(row, "number")
        if number != last + 1:
            findings.add(sequence, f"clearing event {number} follows number {last}")
        last = number
    return last


def _check_entry(findings: _Findings, entry: LogEntry, previous: str) -> None:
    if entry.previous_hash != previous:
        findings.add(entry.sequence, "the entry's previous hash is not that of the preceding entry")
    if entry.hash != entry.expected_hash:
        findings.add(entry.sequence, "the entry was modified")


def _check_row(
    findings: _Findings, entry: LogEntry, row: Columns | None, held: Mapping[Value, _Trades]
) -> None:
    if entry.kind not in LOGGED:
        findings.add(entry.sequence, f"the entry is of an unknown kind, {entry.kind}")
        return
    if row is None:
        findings.add(entry.sequence, f"the row of {entry.kind} {entry.subject} is missing")
        return
    if _hash_of(entry.kind, row, held) != entry.content_hash:
        findings.add(entry.sequence, f"the row of {entry.kind} {entry.subject} was modified")


def _hash_of(kind: str, row: Columns, held: Mapping[Value, _Trades]) -> str:
    """Return the content hash of a row; empty if the row cannot be read."""
    if kind == "positions":
        return content_hash(kind, row | {"trades": held.get(row["version"], [])})
    if kind not in PACKED:
        return content_hash(kind, row)
    try:
        return content_hash(kind, unpacked(row))
    except ValueError:
        return ""


def _check_head(
    connection: Connection, findings: _Findings, head: LedgerHead, last: tuple[int, str]
) -> None:
    if head.sequence > last[0]:
        findings.add(last[0] + 1, f"entries are missing: {last[0] + 1} to {head.sequence}")
    elif (head.sequence, head.hash) != last:
        findings.add(head.sequence, f"the head is {head.sequence}, the last entry is {last[0]}")
    version = connection.execute(select(func.max(changes.c.version))).scalar() or 0
    if head.portfolio_version != version:
        what = f"the head records version {head.portfolio_version} of the positions"
        findings.add(0, f"{what}, but the last one is {version}")


def _check_known(
    connection: Connection, findings: _Findings, sequence: int, known: str, head: LedgerHead
) -> None:
    """Check that the ledger holds an entry that is known to have been committed."""
    if sequence > head.sequence:
        what = f"{sequence - head.sequence:,} committed entries are missing, up to {sequence}"
        findings.add(head.sequence + 1, what)
    elif sequence > 0:
        query = select(entries.c.hash).where(entries.c.sequence == sequence)
        if connection.execute(query).scalar() != known:
            findings.add(sequence, "the entry is not the one that was committed")


def _pages(connection: Connection) -> Iterator[list[LogEntry]]:
    last = -(2**63)
    while True:
        query = select(entries).where(entries.c.sequence > last).order_by(entries.c.sequence)
        rows = connection.execute(query.limit(_TOGETHER)).mappings()
        page = [entry_from_row(row) for row in rows]
        if not page:
            return
        last = page[-1].sequence
        yield page


def _rows_between(connection: Connection, first: int, last: int) -> dict[str, dict[int, Columns]]:
    return {
        kind: dict(_rows(connection, table, first, last)) for kind, (table, _) in LOGGED.items()
    }


def _rows(
    connection: Connection, table: Table, first: int, last: int
) -> Iterator[tuple[int, Columns]]:
    """Yield (sequence number, columns) of the rows of a range of entries."""
    query = select(table).where(table.c.sequence.between(first, last))
    for row in connection.execute(query).mappings():
        yield row["sequence"], columns_of(row)


def _trades_of(connection: Connection, rows: Iterable[Columns]) -> dict[Value, _Trades]:
    """Return the trades of changes of positions, by version, in the form that is hashed."""
    versions = [row["version"] for row in rows]
    held: dict[Value, _Trades] = {}
    if versions:
        query = select(trades).where(trades.c.version.in_(versions))
        for t in connection.execute(query.order_by(trades.c.version, trades.c.number)):
            content = trade_content(t.account_id, t.member_id, t.instrument_name, t.quantity)
            held.setdefault(t.version, []).append(content)
    return held


__all__ = ["FINDINGS_MAX", "Finding", "Verification", "require_verified", "verify_ledger"]
