"""One hash-chained log of all rows, a history of what was in use, and triggers on all rows."""

import sqlalchemy as sa
from alembic import op

from margin_cluster.ledger.migrations.copy_0001 import copy_rows
from margin_cluster.ledger.migrations.tables_0002 import APPEND_ONLY, metadata

revision = "0002"
down_revision = "0001"
_OLD = ("snapshots", "scenario_sets", "portfolio_changes", "trades", "calculations")
_REFUSAL = "rows of the ledger are never changed"


def upgrade() -> None:
    """Create the new tables beside the old ones, copy every row, and drop the old ones."""
    connection = op.get_bind()
    for name in _OLD:
        op.rename_table(name, f"{name}_0001")
    metadata.create_all(connection, checkfirst=False)
    copy_rows(connection)
    for name in ("about", "heads", *(f"{name}_0001" for name in _OLD)):
        op.drop_table(name)
    _refuse_changes(connection)


def _refuse_changes(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        for table in APPEND_ONLY:
            for action in ("update", "delete"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{action} BEFORE {action.upper()} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()"
        )
