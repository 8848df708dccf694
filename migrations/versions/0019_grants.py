"""Grants: a tenant can be given models of others, of which it keeps copies under a longer name

Revision: 0019; after 0018.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

NAMES = {"deleted_numbers": "name", "model_versions": "name", "evaluations": "model", "predictions": "model"}
LENGTH, ROOM = 113, 33  # of a name with its tenant, and of a second tenant


def upgrade() -> None:
    """Nothing is given yet."""
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("tenants", sa.Column("grants", json, nullable=False, server_default="[]"))
    _set_length(LENGTH + ROOM)


def downgrade() -> None:
    """Forget what is given. Raises on PostgreSQL if there are copies with longer names."""
    _set_length(LENGTH)
    op.drop_column("tenants", "grants")


def _set_length(length: int) -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite never limits a length
        for table, column in NAMES.items():
            op.alter_column(table, column, type_=sa.String(length=length))
