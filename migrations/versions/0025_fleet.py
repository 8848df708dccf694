"""What a fleet knows of jobs: how often they were given back, their form, whether they need a GPU; workers in trouble

Revision: 0025; after 0024.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

WAITS = sa.text("status = 'accepted' AND pause_s = 0")


def upgrade() -> None:
    """Begin to count with nothing. All jobs so far are of the first form, and need no GPU."""
    op.add_column("jobs", sa.Column("returns", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("protocol", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("needs_gpu", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("workers", sa.Column("trouble", sa.Text(), nullable=True))
    op.create_index(
        "ix_jobs_waiting", "jobs", ["tenant", "created", "id", "kind"], postgresql_where=WAITS, sqlite_where=WAITS
    )


def downgrade() -> None:
    """Forget all of it."""
    op.drop_index("ix_jobs_waiting", "jobs")
    op.drop_column("workers", "trouble")
    for column in ("needs_gpu", "protocol", "returns"):
        op.drop_column("jobs", column)
