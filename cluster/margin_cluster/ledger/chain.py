"""The hash chain over the ledger's rows: any changed, lost or inserted row breaks it.

An entry of the log covers one row through the row's content hash, and all entries before it
through the previous entry's hash. Hashes are taken over values as both databases return them:
integers, strings, booleans, and floats in the shortest decimal form that reads back to the same
bits. A negative zero is recorded as zero, because SQLite does not keep its sign.
"""

from dataclasses import dataclass

from sqlalchemy import RowMapping

from margin_actors.hash_chain import FIRST_HASH, content_hash, lines_hash
from margin_cluster.ledger.columns import Columns


def entry_hash(
    sequence: int, kind: str, subject: str, content: str, previous: str, create_ms: int
) -> str:
    """Return the hash of an entry: sha256 of its columns, one per line."""
    return lines_hash((sequence, kind, subject, content, previous, create_ms))


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the log."""

    sequence: int
    kind: str
    """A key of `schema.LOGGED`."""
    subject: str
    """What identifies the row, for example a calculation's id."""
    content_hash: str
    """Hash of the row."""
    previous_hash: str
    """Hash of the preceding entry."""
    hash: str
    """Hash of this entry as recorded."""
    create_ms: int
    """Time of the entry, milliseconds since 1970-01-01 UTC."""

    @property
    def expected_hash(self) -> str:
        """The hash that the other columns give; it differs from `hash` if one was modified."""
        return entry_hash(
            self.sequence,
            self.kind,
            self.subject,
            self.content_hash,
            self.previous_hash,
            self.create_ms,
        )


def following_entry(
    sequence: int, previous: str, kind: str, subject: str, content: str, create_ms: int
) -> LogEntry:
    """Return the entry after entry `sequence`, whose hash is `previous`; `content` is a hash."""
    number = sequence + 1
    own = entry_hash(number, kind, subject, content, previous, create_ms)
    return LogEntry(number, kind, subject, content, previous, own, create_ms)


def entry_to_row(entry: LogEntry) -> Columns:
    """Return the columns of the table `entries`."""
    return {
        "sequence": entry.sequence,
        "kind": entry.kind,
        "subject": entry.subject,
        "content_hash": entry.content_hash,
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
        "create_ms": entry.create_ms,
    }


def entry_from_row(row: RowMapping) -> LogEntry:
    """Return the entry of a row of the table `entries`."""
    return LogEntry(
        row["sequence"],
        row["kind"],
        row["subject"],
        row["content_hash"],
        row["previous_hash"],
        row["hash"],
        row["create_ms"],
    )


def trade_content(account: str, member: str, instrument: str, quantity: float) -> list[str | float]:
    """Return a trade in the form that the content hash of its change covers."""
    return [account, member, instrument, quantity]


__all__ = [
    "FIRST_HASH",
    "LogEntry",
    "content_hash",
    "entry_from_row",
    "entry_hash",
    "entry_to_row",
    "following_entry",
    "trade_content",
]
