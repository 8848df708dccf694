"""Which points of a sample lie in which zones

Revision: 0024; after 0023.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SCOPE = "current_setting('canemap.tenant', true)"
OWN_ROWS = f"tenant = {SCOPE} OR {SCOPE} = '*'"


def upgrade() -> None:
    """Create the table. PostgreSQL hides its rows from other tenants."""
    room = 33 if op.get_bind().dialect.name == "postgresql" else 0  # for the tenant
    sample, zones = sa.String(length=100 + room), sa.String(length=80 + room)
    op.create_table(
        "sample_zones",
        sa.Column("tenant", sa.String(length=32), nullable=False, server_default="local"),
        sa.Column("sample", sample, sa.ForeignKey("samples.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("zones", zones, sa.ForeignKey("zones.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("places", JSON, nullable=False),
    )
    op.create_index("ix_sample_zones_zones", "sample_zones", ["zones"])
    if room:
        op.execute("ALTER TABLE sample_zones ENABLE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE sample_zones FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON sample_zones USING ({OWN_ROWS})")


def downgrade() -> None:
    """Delete what was found; it is found again when it is asked for."""
    op.drop_table("sample_zones")
