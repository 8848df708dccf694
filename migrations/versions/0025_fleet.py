"""How often a job was given back, and the form of what it leaves for its worker

Revision: 0025; after 0022.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Begin to count with nothing. All jobs so far are of the first form."""
    op.add_column("jobs", sa.Column("returns", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("protocol", sa.Integer(), nullable=False, server_default="1"))


def downgrade() -> None:
    """Forget both."""
    for column in ("protocol", "returns"):
        op.drop_column("jobs", column)
