"""Uploads in pieces, which every API can continue

Revision: 0016; after 0015.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

SCOPE = "current_setting('canemap.tenant', true)"
OWN_ROWS = f"tenant = {SCOPE} OR {SCOPE} = '*'"
ROOM = 33  # characters of a tenant's id and of what separates it from the name, on PostgreSQL


def upgrade() -> None:
    """Create new tables. Uploads in pieces that have begun before must be begun again."""
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    id_ = sa.String(length=32 + (ROOM if on_postgresql else 0))
    op.create_table(
        "uploads",
        _tenant(),
        sa.Column("id", id_, primary_key=True),
        sa.Column("total", sa.BigInteger()),
        sa.Column("metadata_header", sa.Text(), nullable=False),
        sa.Column("digests", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("made", sa.Text()),
        sa.Column("touched", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_uploads_touched", "uploads", ["touched"])
    op.create_table(
        "upload_pieces",
        _tenant(),
        sa.Column("upload", id_, sa.ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("offset", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
    )
    if on_postgresql:
        for table in ("uploads", "upload_pieces"):
            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
            op.execute(f"CREATE POLICY own_rows ON {table} USING ({OWN_ROWS})")


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.String(length=32), nullable=False, server_default="local")


def downgrade() -> None:
    """Forget the unfinished uploads."""
    op.drop_table("upload_pieces")
    op.drop_table("uploads")
