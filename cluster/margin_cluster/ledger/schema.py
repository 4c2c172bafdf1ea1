"""Tables of the ledger as the newest migration leaves them.

Rows are inserted and never changed or deleted; triggers reject updates and deletions. The only
exception is the head. Every write locks the head's row first, which makes the log gapless and puts
it in the order of commits.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

_IS_BOOK = text("kind = 'book'")
_NUMBER = BigInteger().with_variant(Integer, "sqlite")
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _key(name: str) -> Column[int]:
    return Column(name, _NUMBER, primary_key=True, autoincrement=False)


def _logged_key() -> Column[int]:
    return Column(
        "sequence",
        _NUMBER,
        ForeignKey("entries.sequence"),
        primary_key=True,
        autoincrement=False,
    )


def _logged() -> Column[int]:
    return Column("sequence", _NUMBER, ForeignKey("entries.sequence"), nullable=False, unique=True)


def _origin() -> tuple[Column[str], Column[str]]:
    return (
        Column("request_id", String(128), nullable=False),
        Column("caller", String(256), nullable=False),
    )


ledger_head = Table(
    "ledger_head",
    metadata,
    _key("id"),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("portfolio_version", BigInteger, nullable=False),
    Column("generation_number", BigInteger, nullable=False),
    Column("checked_ms", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

entries = Table(
    "entries",
    metadata,
    _key("sequence"),
    Column("kind", String(24), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("create_ms", BigInteger, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    _logged_key(),
    Column("snapshot_id", String(64), nullable=False, unique=True),
    Column("time_ms", BigInteger, nullable=False),
    Column("options", Integer, nullable=False),
    Column("is_synthetic", Boolean, nullable=False),
    Column("create_ms", BigInteger, nullable=False),
)

scenario_sets = Table(
    "scenario_sets",
    metadata,
    _logged_key(),
    Column("scenarios_id", String(64), nullable=False, unique=True),
    Column("engine", String(64), nullable=False),
    Column("underlyings", Text, nullable=False),
    Column("scenarios", Integer, nullable=False),
    Column("horizon_hours", Double, nullable=False),
    Column("first_end_ms", BigInteger, nullable=False),
    Column("last_end_ms", BigInteger, nullable=False),
    Column("is_synthetic", Boolean, nullable=False),
    Column("create_ms", BigInteger, nullable=False),
)

generations = Table(
    "generations",
    metadata,
    _key("number"),
    _logged(),
    Column("kind", String(16), nullable=False),
    Column("snapshot_id", String(64), nullable=False),
    Column("scenarios_id", String(64), nullable=False),
    Column("idempotency_key", String(160)),
    Column("content", String(64), nullable=False),
    *_origin(),
    Column("create_ms", BigInteger, nullable=False),
    UniqueConstraint("kind", "idempotency_key"),
)

unchanged_requests = Table(
    "unchanged_requests",
    metadata,
    _logged_key(),
    Column("kind", String(16), nullable=False),
    Column("idempotency_key", String(160), nullable=False),
    Column("content", String(64), nullable=False),
    Column("number", BigInteger, nullable=False),
    *_origin(),
    Column("create_ms", BigInteger, nullable=False),
    UniqueConstraint("kind", "idempotency_key"),
)

changes = Table(
    "portfolio_changes",
    metadata,
    _key("version"),
    _logged(),
    Column("kind", String(16), nullable=False),
    Column("idempotency_key", String(160)),
    Column("content", String(128), nullable=False),
    Column("accounts", Integer, nullable=False),
    Column("positions", BigInteger, nullable=False),
    *_origin(),
    Column("create_ms", BigInteger, nullable=False),
    UniqueConstraint("kind", "idempotency_key"),
)

trades = Table(
    "trades",
    metadata,
    Column(
        "version",
        _NUMBER,
        ForeignKey("portfolio_changes.version"),
        primary_key=True,
        autoincrement=False,
    ),
    _key("number"),
    Column("account_id", String(128), nullable=False),
    Column("member_id", String(128), nullable=False),
    Column("instrument_name", String(64), nullable=False),
    Column("quantity", Double, nullable=False),
)

calculations = Table(
    "calculations",
    metadata,
    _logged_key(),
    Column("calculation_id", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("create_ms", BigInteger, nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("account_id", String(128), nullable=False),
    Column("generation", Text, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("accounts", Integer, nullable=False),
    Column("positions", BigInteger, nullable=False),
    Column("initial_margin_usd", Double, nullable=False),
    Column("margin", Text, nullable=False),
    Column("portfolio_version", BigInteger, nullable=False),
    Column("accounts_failed", Integer, nullable=False),
    Column("expired_positions", BigInteger, nullable=False),
    Column("failures", Text, nullable=False),
    Column("idempotency_key", String(160)),
    Index(None, "account_id", "sequence"),
    # A partial index, because few calculations are of books.
    Index("ix_calculations_books", "sequence", sqlite_where=_IS_BOOK, postgresql_where=_IS_BOOK),
)

clearing_events = Table(
    "clearing_events",
    metadata,
    _key("number"),
    _logged(),
    Column("event_id", String(500), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("account", String(128), nullable=False),
    Column("actor", String(256), nullable=False),
    Column("payload", Text),
    Column("packed", LargeBinary),
    Column("payload_hash", String(128), nullable=False),
    Column("recorded_us", BigInteger, nullable=False),
    Column("clock_us", BigInteger, nullable=False),
    Index(None, "account", "number"),
    CheckConstraint("(payload IS NULL) <> (packed IS NULL)", name="one_payload"),
)

LOGGED: dict[str, tuple[Table, str]] = {
    "snapshot": (snapshots, "snapshot_id"),
    "scenario_set": (scenario_sets, "scenarios_id"),
    "generation": (generations, "number"),
    "unchanged_request": (unchanged_requests, "number"),
    "positions": (changes, "version"),
    "calculation": (calculations, "calculation_id"),
    "clearing_event": (clearing_events, "number"),
}
"""By kind of entry: the table of its rows, and the column that identifies a row."""
