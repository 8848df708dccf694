"""Ways back: numbers of deleted versions, what became of each attempt at a job, pauses before the next one

Revision: 0011; after 0010.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Add the table of the numbers, pauses and attempts of jobs, what schedules always do, and indices."""
    op.create_table(
        "deleted_numbers",
        sa.Column("kind", sa.String(length=20), primary_key=True),
        sa.Column("name", sa.String(length=80), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
    )
    op.create_table(
        "damaged_files",
        sa.Column("key", sa.String(length=500), primary_key=True),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("fault", sa.String(length=20), nullable=False),
        sa.Column("found", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "scrub",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("thing", sa.String(length=100), nullable=False),
        sa.Column("began", sa.DateTime(timezone=True)),
        sa.Column("ended", sa.DateTime(timezone=True)),
    )
    op.add_column("jobs", sa.Column("pause_s", sa.Double(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("next_attempt", sa.DateTime(timezone=True)))
    op.add_column("jobs", sa.Column("attempts", JSON, nullable=False, server_default="[]"))
    op.add_column("schedules", sa.Column("always", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_model_versions_training", "model_versions", ["training"])
    op.create_index("ix_predictions_model", "predictions", ["model", "version"])


def downgrade() -> None:
    """Drop them: numbers of deleted versions may then be given again."""
    op.drop_index("ix_predictions_model", "predictions")
    op.drop_index("ix_model_versions_training", "model_versions")
    op.drop_column("schedules", "always")
    for column in ("attempts", "next_attempt", "pause_s"):
        op.drop_column("jobs", column)
    for table in ("scrub", "damaged_files", "deleted_numbers"):
        op.drop_table(table)
