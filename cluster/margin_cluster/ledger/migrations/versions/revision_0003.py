"""The log of the clearing house: one row per event, in the order of commits."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
_TABLE = "clearing_events"
_REFUSAL = "rows of the ledger are never changed"
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the table and the triggers that refuse changes of its rows."""
    op.create_table(
        _TABLE,
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("sequence", _NUMBER, nullable=False),
        sa.Column("event_id", sa.String(500), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("account", sa.String(128), nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("payload", sa.Text),
        sa.Column("packed", sa.LargeBinary),
        sa.Column("payload_hash", sa.String(128), nullable=False),
        sa.Column("recorded_us", sa.BigInteger, nullable=False),
        sa.Column("clock_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number", name=f"pk_{_TABLE}"),
        sa.ForeignKeyConstraint(["sequence"], ["entries.sequence"], f"fk_{_TABLE}_sequence"),
        sa.UniqueConstraint("sequence", name=f"uq_{_TABLE}_sequence"),
        sa.UniqueConstraint("event_id", name=f"uq_{_TABLE}_event_id"),
        sa.CheckConstraint(
            "(payload IS NULL) <> (packed IS NULL)", name=f"ck_{_TABLE}_one_payload"
        ),
    )
    op.create_index(f"ix_{_TABLE}_account_number", _TABLE, ["account", "number"])
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {_TABLE}_no_{action} BEFORE {action.upper()} ON {_TABLE} "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
        return
    op.execute(
        f"CREATE TRIGGER {_TABLE}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {_TABLE} "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()"
    )
