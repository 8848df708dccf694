"""How often a job was given back

Revision: 0025; after 0022.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Begin to count with nothing."""
    op.add_column("jobs", sa.Column("returns", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Forget the count."""
    op.drop_column("jobs", "returns")
