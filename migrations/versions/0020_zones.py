"""Zones, and what maps have in each of them

Revision: 0020; after 0019.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SCOPE = "current_setting('canemap.tenant', true)"
OWN_ROWS = f"tenant = {SCOPE} OR {SCOPE} = '*'"


def upgrade() -> None:
    """Create the tables. PostgreSQL hides their rows from other tenants."""
    room = 33 if op.get_bind().dialect.name == "postgresql" else 0  # for the tenant
    name, prediction = sa.String(length=80 + room), sa.String(length=100 + room)
    op.create_table(
        "zones",
        _tenant(),
        sa.Column("id", name, primary_key=True),
        sa.Column("title", sa.String(length=200)),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("features", sa.Text(), nullable=False),
        sa.Column("options", JSON, nullable=False),
        sa.Column("report", JSON, nullable=False),
        sa.Column("zones", JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
    )
    op.create_index("ix_zones_created", "zones", ["tenant", "created", "id"])
    op.create_index("ix_zones_size", "zones", ["tenant", "size_bytes"])
    op.create_table(
        "zone_areas",
        _tenant(),
        sa.Column("prediction", prediction, sa.ForeignKey("predictions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("zones", name, sa.ForeignKey("zones.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("classes", JSON, nullable=False),
    )
    op.create_index("ix_zone_areas_zones", "zone_areas", ["zones"])
    if room:
        for table in ("zones", "zone_areas"):
            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
            op.execute(f"CREATE POLICY own_rows ON {table} USING ({OWN_ROWS})")


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.String(length=32), nullable=False, server_default="local")


def downgrade() -> None:
    """Delete the zones."""
    op.drop_table("zone_areas")
    op.drop_table("zones")
