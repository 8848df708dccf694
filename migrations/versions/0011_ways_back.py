"""Ways back: numbers of deleted versions are kept, and what needs a model version or a training is found by index

Revision: 0011; after 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of the numbers, and the indices."""
    op.create_table(
        "deleted_numbers",
        sa.Column("kind", sa.String(length=20), primary_key=True),
        sa.Column("name", sa.String(length=80), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
    )
    op.create_index("ix_model_versions_training", "model_versions", ["training"])
    op.create_index("ix_predictions_model", "predictions", ["model", "version"])


def downgrade() -> None:
    """Drop them: numbers of deleted versions may then be given again."""
    op.drop_index("ix_predictions_model", "predictions")
    op.drop_index("ix_model_versions_training", "model_versions")
    op.drop_table("deleted_numbers")
