"""Parts of predictions, so that several workers share a prediction

Revision: 0005; after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create a new table. Existing tables stay as they are."""
    op.create_table(
        "parts",
        sa.Column("id", sa.String(length=100), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("prediction", sa.String(length=100), sa.ForeignKey("predictions.id"), nullable=False),
        sa.Column("first_row", sa.Integer(), nullable=False),
        sa.Column("end_row", sa.Integer(), nullable=False),
        sa.Column("object", sa.Text(), nullable=True),
    )
    op.create_index("ix_parts_prediction", "parts", ["prediction"])


def downgrade() -> None:
    """Drop parts and their jobs. A prediction that still waits for parts is then made as a whole."""
    op.drop_table("parts")
    op.execute("DELETE FROM job_log WHERE job_id IN (SELECT id FROM jobs WHERE kind = 'part')")
    op.execute("DELETE FROM jobs WHERE kind = 'part'")
