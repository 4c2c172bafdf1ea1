"""Run by Alembic: migrates through the connection that the ledger passes, in its transaction."""

from alembic import context

_attributes = context.config.attributes
context.configure(connection=_attributes["connection"], version_table=_attributes["version_table"])
context.run_migrations()
