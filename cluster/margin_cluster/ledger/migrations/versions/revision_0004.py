"""Models and their signatures; the caller and the portfolio of each calculation."""

import sqlalchemy as sa
from alembic import op

from margin_cluster.ledger.migrations.append_only import refuse_changes

revision = "0004"
down_revision = "0003"
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add two columns, which are null in existing rows, and two tables.

    Hashes of rows leave out columns without a value, so that the entries of existing calculations
    stay valid.
    """
    op.add_column("calculations", sa.Column("caller", sa.String(256)))
    op.add_column("calculations", sa.Column("portfolio", sa.Text))
    op.create_table(
        "model_versions",
        _logged(),
        sa.Column("model_id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("create_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_model_versions"),
        sa.ForeignKeyConstraint(
            ["sequence"], ["entries.sequence"], name="fk_model_versions_sequence"
        ),
        sa.UniqueConstraint("name", "version", name="uq_model_versions_name_version"),
    )
    op.create_table(
        "model_signatures",
        _logged(),
        sa.Column("model_id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("person", sa.String(128), nullable=False),
        sa.Column("create_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_model_signatures"),
        sa.ForeignKeyConstraint(
            ["sequence"], ["entries.sequence"], name="fk_model_signatures_sequence"
        ),
        sa.UniqueConstraint(
            "name", "version", "role", name="uq_model_signatures_name_version_role"
        ),
    )
    refuse_changes(op.get_bind(), ("model_versions", "model_signatures"))


def _logged() -> sa.Column[int]:
    return sa.Column("sequence", _NUMBER, autoincrement=False, nullable=False)
