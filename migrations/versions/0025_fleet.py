"""How often a job was given back, and the form of what it leaves for its worker

Revision: 0025; after 0022.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0022"
branch_labels = None
depends_on = None

WAITS = sa.text("status = 'accepted' AND pause_s = 0")


def upgrade() -> None:
    """Begin to count with nothing. All jobs so far are of the first form."""
    op.add_column("jobs", sa.Column("returns", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("protocol", sa.Integer(), nullable=False, server_default="1"))
    op.create_index(
        "ix_jobs_waiting", "jobs", ["tenant", "created", "id", "kind"], postgresql_where=WAITS, sqlite_where=WAITS
    )


def downgrade() -> None:
    """Forget both."""
    op.drop_index("ix_jobs_waiting", "jobs")
    for column in ("protocol", "returns"):
        op.drop_column("jobs", column)
