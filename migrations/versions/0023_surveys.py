"""Surveys: the maps of many scenes as one mosaic

Revision: 0023; after 0022.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
ROOM = 33  # characters of a tenant's id and of what separates it from the name
SCOPE = "current_setting('canemap.tenant', true)"
OWN_ROWS = f"tenant = {SCOPE} OR {SCOPE} = '*'"
TABLES = ("surveys", "survey_scenes", "survey_zone_areas", "survey_changes")


def upgrade() -> None:
    """Create the tables. PostgreSQL hides their rows from other tenants."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    room = ROOM if postgresql else 0
    id_, name = sa.String(length=100 + room), sa.String(length=80 + room)
    op.create_table(
        "surveys",
        _tenant(),
        sa.Column("id", id_, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("model", sa.String(length=80 + 2 * room), nullable=False),  # it may be a copy of another tenant's
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("options", JSON, nullable=False),
        sa.Column("products", JSON),
        sa.Column("mosaic", JSON),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("title", sa.String(length=200)),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(["model", "version"], ["model_versions.name", "model_versions.version"]),
    )
    op.create_index("ix_surveys_created", "surveys", ["tenant", "created", "id"])
    op.create_index("ix_surveys_model", "surveys", ["model", "version"])
    op.create_index("ix_surveys_size", "surveys", ["tenant", "size_bytes"])
    op.create_table(
        "survey_scenes",
        _tenant(),
        _of_survey(id_, primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("prediction", id_, sa.ForeignKey("predictions.id"), nullable=False),
        sa.Column("pixels", sa.BigInteger()),
        sa.Column("area_ha", sa.Double()),
    )
    op.create_index("ix_survey_scenes_prediction", "survey_scenes", ["prediction"])
    op.create_table(
        "survey_zone_areas",
        _tenant(),
        _of_survey(id_, primary_key=True),
        sa.Column("zones", name, sa.ForeignKey("zones.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("classes", JSON, nullable=False),
    )
    op.create_index("ix_survey_zone_areas_zones", "survey_zone_areas", ["zones"])
    op.create_table(
        "survey_changes",
        _tenant(),
        sa.Column("id", sa.Integer(), primary_key=True),
        _of_survey(id_),
        _of_survey(id_, "earlier"),
        sa.Column("zones", name, sa.ForeignKey("zones.id", ondelete="CASCADE")),
        sa.Column("transitions", JSON, nullable=False),
    )
    op.create_index("ix_survey_changes", "survey_changes", ["survey", "earlier"])
    op.create_index("ix_survey_changes_earlier", "survey_changes", ["earlier"])
    op.create_index("ix_survey_changes_zones", "survey_changes", ["zones"])
    for table in TABLES if postgresql else ():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON {table} USING ({OWN_ROWS})")


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.String(length=32), nullable=False, server_default="local")


def _of_survey(id_: sa.String, column: str = "survey", *, primary_key: bool = False) -> sa.Column[str]:
    survey = sa.ForeignKey("surveys.id", ondelete="CASCADE")
    return sa.Column(column, id_, survey, primary_key=primary_key, nullable=False)


def downgrade() -> None:
    """Delete all surveys. Their jobs go as well, since older versions do not know the kind; their predictions stay."""
    for table in reversed(TABLES):
        op.drop_table(table)
    op.execute("UPDATE jobs SET parent = NULL WHERE parent IN (SELECT id FROM jobs WHERE kind = 'survey')")
    op.execute("DELETE FROM job_log WHERE job_id IN (SELECT id FROM jobs WHERE kind = 'survey')")
    op.execute("DELETE FROM jobs WHERE kind = 'survey'")
