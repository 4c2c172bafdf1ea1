"""Tables of the ledger. Rows are added, never changed, but for the one row of what is in use."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

VERSION = 1
"""Of this schema; a ledger of another version is refused."""
_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
metadata = MetaData()

about = Table(
    "about",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(200), nullable=False),
)

heads = Table(
    "heads",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("snapshot_id", String(64), nullable=False),
    Column("scenarios_id", String(64), nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("snapshot_id", String(64), nullable=False, unique=True),
    Column("time_ms", BigInteger, nullable=False),
    Column("options", Integer, nullable=False),
    Column("is_synthetic", Boolean, nullable=False),
    Column("create_ms", BigInteger, nullable=False),
)

scenario_sets = Table(
    "scenario_sets",
    metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
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

changes = Table(
    "portfolio_changes",
    metadata,
    Column("version", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("idempotency_key", String(160), unique=True),
    Column("content", String(64), nullable=False),
    Column("accounts", Integer, nullable=False),
    Column("positions", BigInteger, nullable=False),
    Column("create_ms", BigInteger, nullable=False),
)

trades = Table(
    "trades",
    metadata,
    Column("id", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("version", BigInteger, nullable=False, index=True),
    Column("account_id", String(128), nullable=False),
    Column("member_id", String(128), nullable=False),
    Column("instrument_name", String(64), nullable=False),
    Column("quantity", Double, nullable=False),
)

calculations = Table(
    "calculations",
    metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
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
    Index("calculations_account", "account_id", "sequence"),
)
