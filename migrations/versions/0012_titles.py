"""Titles of all resources, and the revision of those that only a title changes

Revision: 0012; after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TITLED = (
    *("scenes", "labels", "datasets", "trainings", "experiments"),
    *("evaluations", "predictions", "model_versions", "schedules"),
)


def upgrade() -> None:
    """Add the columns. What was stored before has no title."""
    for table in TITLED:
        op.add_column(table, sa.Column("title", sa.String(length=200)))
    for table in ("labels", "model_versions"):
        op.add_column(table, sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
    op.create_table(
        "model_titles",
        sa.Column("name", sa.String(length=80), primary_key=True),
        sa.Column("title", sa.String(length=200)),
        sa.Column("revision", sa.Integer(), nullable=False),
    )


def downgrade() -> None:
    """Drop them: titles are lost."""
    op.drop_table("model_titles")
    for table in ("model_versions", "labels"):
        op.drop_column(table, "revision")
    for table in reversed(TITLED):
        op.drop_column(table, "title")
