"""The software that made each part of a prediction, which several machines may share

Revision: 0008; after 0007.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column, which is null in existing parts."""
    op.add_column("parts", sa.Column("software", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("parts", "software")
