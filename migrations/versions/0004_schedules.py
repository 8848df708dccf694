"""Schedules with their runs, and evaluations of models on any dataset

Revision: 0004; after 0003.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
IS_OPEN = sa.text("finished IS NULL")


def upgrade() -> None:
    """Create new tables. Existing tables stay as they are."""
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(length=100), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("model", sa.String(length=80), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.String(length=100), sa.ForeignKey("datasets.id"), nullable=False),
        sa.Column("split", sa.String(length=5), nullable=False),
        sa.Column("metrics", JSON, nullable=True),
        sa.Column("details", JSON, nullable=True),
        sa.Column("software", JSON, nullable=True),
        sa.Column("created", TIME, nullable=False),
        sa.ForeignKeyConstraint(["model", "version"], ["model_versions.name", "model_versions.version"]),
    )
    op.create_index("ix_evaluations_dataset", "evaluations", ["dataset"])
    op.create_index("ix_evaluations_model", "evaluations", ["model", "version", "created", "id"])
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(length=80), primary_key=True),
        sa.Column("cron", sa.String(length=200), nullable=False),
        sa.Column("timezone", sa.String(length=80), nullable=False),
        sa.Column("training", JSON, nullable=False),
        sa.Column("promote", JSON, nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("due", TIME, nullable=True),
        sa.Column("created", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
    )
    op.create_index("ix_schedules_due", "schedules", ["due"])
    op.create_index("ix_schedules_created", "schedules", ["created", "id"])
    _create_runs()


def _create_runs() -> None:
    op.create_table(
        "schedule_runs",
        sa.Column("id", sa.String(length=100), primary_key=True),
        sa.Column("schedule", sa.String(length=80), sa.ForeignKey("schedules.id", ondelete="CASCADE"), nullable=False),
        sa.Column("due", TIME, nullable=False),
        sa.Column("trigger", sa.String(length=10), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("promote", JSON, nullable=True),
        sa.Column("training", sa.String(length=100), sa.ForeignKey("trainings.id"), nullable=True),
        sa.Column("evaluations", JSON, nullable=False),
        sa.Column("verdict", JSON, nullable=True),
        sa.Column("error", JSON, nullable=True),
        sa.Column("created", TIME, nullable=False),
        sa.Column("finished", TIME, nullable=True),
    )
    op.create_index("ux_schedule_runs_due", "schedule_runs", ["schedule", "due"], unique=True)
    op.create_index("ix_schedule_runs_training", "schedule_runs", ["training"])
    op.create_index("ix_schedule_runs_created", "schedule_runs", ["schedule", "created", "id"])
    op.create_index(
        "ix_schedule_runs_open", "schedule_runs", ["schedule"], postgresql_where=IS_OPEN, sqlite_where=IS_OPEN
    )


def downgrade() -> None:
    """Drop schedules and evaluations, and delete the jobs of evaluations."""
    op.drop_table("schedule_runs")
    op.drop_table("schedules")
    op.drop_table("evaluations")
    op.execute("DELETE FROM job_log WHERE job_id IN (SELECT id FROM jobs WHERE kind = 'evaluation')")
    op.execute("DELETE FROM jobs WHERE kind = 'evaluation'")
