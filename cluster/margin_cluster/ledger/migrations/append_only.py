"""Triggers that reject changes of rows, for the migrations after the one that introduced them."""

from collections.abc import Sequence

import sqlalchemy as sa

_REFUSAL = "rows of the ledger are never changed"


def refuse_changes(connection: sa.Connection, tables: Sequence[str]) -> None:
    """Create triggers that reject updates and deletions of the rows of new tables.

    PostgreSQL's triggers call the function that migration 0002 created.
    """
    for table in tables:
        if connection.dialect.name == "sqlite":
            for action in ("update", "delete"):
                connection.exec_driver_sql(
                    f"CREATE TRIGGER {table}_no_{action} BEFORE {action.upper()} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
                )
        else:
            connection.exec_driver_sql(
                f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()"
            )
