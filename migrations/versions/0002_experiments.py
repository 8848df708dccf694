"""Experiments, and details of trainings, models and predictions

Revision: 0002; after 0001.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
COLUMNS = (
    ("jobs", "parent", sa.String(length=100)),
    ("datasets", "figures", sa.Text()),
    ("trainings", "experiment", sa.String(length=100)),
    ("trainings", "variant", sa.String(length=80)),
    ("trainings", "header", JSON),
    ("trainings", "figures", sa.Text()),
    ("model_versions", "details", JSON),
    ("model_versions", "report", JSON),
    ("model_versions", "dataset_sha256", sa.String(length=64)),
    ("predictions", "software", JSON),
)
INDICES = (
    ("jobs", "parent"),
    ("trainings", "experiment"),
)


def upgrade() -> None:
    """Add a table and columns. The columns are null in existing rows, so no row has to be changed."""
    for table, name, type_ in COLUMNS:
        op.add_column(table, sa.Column(name, type_, nullable=True))
    for table, name in INDICES:
        op.create_index(f"ix_{table}_{name}", table, [name])
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(length=100), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("dataset", sa.String(length=100), sa.ForeignKey("datasets.id"), nullable=False),
        sa.Column("request", JSON, nullable=False),
        sa.Column("comparison", JSON, nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_experiments_dataset", "experiments", ["dataset"])
    op.create_index("ix_experiments_created", "experiments", ["created", "id"])


def downgrade() -> None:
    """Drop experiments and the new columns."""
    op.drop_table("experiments")
    for table, name in INDICES:
        op.drop_index(f"ix_{table}_{name}", table)
    for table, name, _ in COLUMNS:
        op.drop_column(table, name)
