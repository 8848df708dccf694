"""The status that clients see, by which lists and counts find jobs

Revision: 0006; after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

REPORTED = "CASE WHEN status = 'accepted' AND stage = 'runs' THEN 'running' ELSE status END"


def upgrade() -> None:
    """Add a column that the database computes, and indices of lists by it. PostgreSQL rewrites the table for this.

    The indices by `status` stay: workers and the sweep use them to find jobs that can be claimed.
    """
    stored = op.get_bind().dialect.name == "postgresql"  # SQLite can only add columns that are computed when read
    derived = sa.Computed(REPORTED, persisted=stored)
    op.add_column("jobs", sa.Column("reported_status", sa.String(length=12), derived, nullable=False))
    op.create_index("ix_jobs_reported", "jobs", ["reported_status", "created", "id"])
    op.create_index("ix_jobs_reported_kind", "jobs", ["reported_status", "kind", "created", "id"])


def downgrade() -> None:
    """Drop the column, so that lists find jobs by `status` again."""
    op.drop_index("ix_jobs_reported_kind", "jobs")
    op.drop_index("ix_jobs_reported", "jobs")
    op.drop_column("jobs", "reported_status")
