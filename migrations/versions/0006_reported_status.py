"""The status that clients are told, by which lists and counts find jobs

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
    """A column that the database derives, for which PostgreSQL writes the table anew, and the indices of lists by it.

    Those by `status` stay: workers and the sweep find what they can claim by them.
    """
    stored = op.get_bind().dialect.name == "postgresql"  # SQLite adds only columns that are derived at each reading
    derived = sa.Computed(REPORTED, persisted=stored)
    op.add_column("jobs", sa.Column("reported_status", sa.String(length=12), derived, nullable=False))
    op.create_index("ix_jobs_reported", "jobs", ["reported_status", "created", "id"])
    op.create_index("ix_jobs_reported_kind", "jobs", ["reported_status", "kind", "created", "id"])


def downgrade() -> None:
    """Lists find jobs by the other status again."""
    op.drop_index("ix_jobs_reported_kind", "jobs")
    op.drop_index("ix_jobs_reported", "jobs")
    op.drop_column("jobs", "reported_status")
