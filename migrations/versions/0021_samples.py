"""Samples of maps, and the answers of those who label their points

Revision: 0021; after 0020.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
ROOM = 33  # characters of a tenant's id and of what separates it from the name
SCOPE = "current_setting('canemap.tenant', true)"
OWN_ROWS = f"tenant = {SCOPE} OR {SCOPE} = '*'"


def upgrade() -> None:
    """Make the tables, in which PostgreSQL hides the rows of other tenants."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    id_ = sa.String(length=100 + (ROOM if postgresql else 0))
    op.create_table(
        "samples",
        sa.Column("tenant", sa.String(length=32), nullable=False, server_default="local"),
        sa.Column("id", id_, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("prediction", id_, sa.ForeignKey("predictions.id"), nullable=False),
        sa.Column("design", JSON, nullable=False),
        sa.Column("drawn", JSON),
        sa.Column("points", JSON),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("title", sa.String(length=200)),
    )
    op.create_index("ix_samples_created", "samples", ["tenant", "created", "id"])
    op.create_index("ix_samples_prediction", "samples", ["prediction"])
    op.create_table(
        "sample_answers",
        sa.Column("tenant", sa.String(length=32), nullable=False, server_default="local"),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("sample", id_, sa.ForeignKey("samples.id", ondelete="CASCADE"), nullable=False),
        sa.Column("point", sa.Integer(), nullable=False),
        sa.Column("labeller", sa.String(length=80), nullable=False),
        sa.Column("value", sa.Integer()),
        sa.Column("unusable", sa.String(length=200)),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_sample_answers", "sample_answers", ["sample", "id"])
    for table in ("samples", "sample_answers") if postgresql else ():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON {table} USING ({OWN_ROWS})")


def downgrade() -> None:
    """Delete all samples and answers. Their jobs go as well, since older versions do not know the kind."""
    op.drop_table("sample_answers")
    op.drop_table("samples")
    op.execute("DELETE FROM job_log WHERE job_id IN (SELECT id FROM jobs WHERE kind = 'sample')")
    op.execute("DELETE FROM jobs WHERE kind = 'sample'")
