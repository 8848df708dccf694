"""A job remembers the span of the trace that asked for it

Revision: 0022; after 0021.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No job so far has a trace."""
    op.add_column("jobs", sa.Column("traceparent", sa.String(55), nullable=True))


def downgrade() -> None:
    """Forget the traces."""
    op.drop_column("jobs", "traceparent")
