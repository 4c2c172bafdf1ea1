"""The tables of the first version, as they were before migrations existed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _sequence(name: str) -> sa.Column[int]:
    return sa.Column(name, _SEQUENCE, primary_key=True, autoincrement=True)


def upgrade() -> None:
    """Create the tables."""
    about = op.create_table(
        "about",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.String(200), nullable=False),
    )
    op.bulk_insert(about, [{"name": "schema", "value": "1"}])
    op.create_table(
        "heads",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("snapshot_id", sa.String(64), nullable=False),
        sa.Column("scenarios_id", sa.String(64), nullable=False),
    )
    op.create_table(
        "snapshots",
        _sequence("sequence"),
        sa.Column("snapshot_id", sa.String(64), nullable=False, unique=True),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("options", sa.Integer, nullable=False),
        sa.Column("is_synthetic", sa.Boolean, nullable=False),
        sa.Column("create_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "scenario_sets",
        _sequence("sequence"),
        sa.Column("scenarios_id", sa.String(64), nullable=False, unique=True),
        sa.Column("engine", sa.String(64), nullable=False),
        sa.Column("underlyings", sa.Text, nullable=False),
        sa.Column("scenarios", sa.Integer, nullable=False),
        sa.Column("horizon_hours", sa.Double, nullable=False),
        sa.Column("first_end_ms", sa.BigInteger, nullable=False),
        sa.Column("last_end_ms", sa.BigInteger, nullable=False),
        sa.Column("is_synthetic", sa.Boolean, nullable=False),
        sa.Column("create_ms", sa.BigInteger, nullable=False),
    )
    _create_changes()
    op.create_table(
        "calculations",
        _sequence("sequence"),
        sa.Column("calculation_id", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("create_ms", sa.BigInteger, nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("account_id", sa.String(128), nullable=False),
        sa.Column("generation", sa.Text, nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("accounts", sa.Integer, nullable=False),
        sa.Column("positions", sa.BigInteger, nullable=False),
        sa.Column("initial_margin_usd", sa.Double, nullable=False),
        sa.Column("margin", sa.Text, nullable=False),
    )
    op.create_index("calculations_account", "calculations", ["account_id", "sequence"])


def _create_changes() -> None:
    op.create_table(
        "portfolio_changes",
        _sequence("version"),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("idempotency_key", sa.String(160), unique=True),
        sa.Column("content", sa.String(64), nullable=False),
        sa.Column("accounts", sa.Integer, nullable=False),
        sa.Column("positions", sa.BigInteger, nullable=False),
        sa.Column("create_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "trades",
        _sequence("id"),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("account_id", sa.String(128), nullable=False),
        sa.Column("member_id", sa.String(128), nullable=False),
        sa.Column("instrument_name", sa.String(64), nullable=False),
        sa.Column("quantity", sa.Double, nullable=False),
    )
    op.create_index("ix_trades_version", "trades", ["version"])
