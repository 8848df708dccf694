"""Approval: a model can ask that only some may move its aliases

Revision: 0017; after 0016.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No model asks for approval yet."""
    op.rename_table("model_titles", "models")
    op.add_column("models", sa.Column("approval", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """No model asks for approval any more."""
    op.drop_column("models", "approval")
    op.rename_table("models", "model_titles")
