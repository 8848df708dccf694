"""Tenants: every row of a resource belongs to one, and PostgreSQL hides it from the others

Revision: 0013; after 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ROOM = 33  # characters of a tenant's id and of what separates it from the name
# table: its columns with names or ids, and the length of each before
IDS = {
    "aliases": {"model": 80},
    "alias_moves": {"model": 80},
    "dataset_labels": {"dataset": 100, "used": 80},
    "dataset_scenes": {"dataset": 100, "used": 80},
    "datasets": {"id": 100, "name": 80},
    "deleted_numbers": {"name": 80},
    "evaluations": {"id": 100, "model": 80, "dataset": 100},
    "experiments": {"id": 100, "dataset": 100},
    "idempotency_keys": {"key": 255},
    "job_log": {"job_id": 100},
    "jobs": {"id": 100, "parent": 100},
    "labels": {"id": 80},
    "model_titles": {"name": 80},
    "model_versions": {"name": 80, "training": 100, "dataset": 100},
    "parts": {"id": 100, "prediction": 100},
    "predictions": {"id": 100, "scene": 80, "model": 80},
    "scenes": {"id": 80},
    "schedule_runs": {"id": 100, "schedule": 80, "training": 100},
    "schedules": {"id": 80},
    "series": {"training": 100},
    "trainings": {"id": 100, "dataset": 100, "register_as": 80, "experiment": 100},
}
# indices of lists: a page has the rows of one tenant
LISTS = (
    ("scenes", "ix_scenes_created", ["created", "id", "west", "south", "east", "north", "acquired"]),
    ("labels", "ix_labels_created", ["created", "id"]),
    ("jobs", "ix_jobs_created", ["created", "id"]),
    ("jobs", "ix_jobs_kind", ["kind", "created", "id"]),
    ("jobs", "ix_jobs_reported", ["reported_status", "created", "id"]),
    ("jobs", "ix_jobs_reported_kind", ["reported_status", "kind", "created", "id"]),
    ("datasets", "ix_datasets_created", ["created", "id"]),
    ("trainings", "ix_trainings_created", ["created", "id"]),
    ("experiments", "ix_experiments_created", ["created", "id"]),
    ("schedules", "ix_schedules_created", ["created", "id"]),
    ("predictions", "ix_predictions_created", ["created", "id", "scene"]),
)
SCOPE = "current_setting('canemap.tenant', true)"
OWN_ROWS = f"tenant = {SCOPE} OR {SCOPE} = '*'"


def upgrade() -> None:
    """Give all rows to the tenant "local", whose ids stay as they are."""
    _make_tables()
    for table in IDS:
        op.add_column(table, sa.Column("tenant", sa.String(length=32), nullable=False, server_default="local"))
    for table, name, columns in LISTS:
        op.drop_index(name, table)
        op.create_index(name, table, ["tenant", *columns])
    if op.get_bind().dialect.name == "postgresql":
        _set_lengths(ROOM)
        for table in (*IDS, "keys"):
            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
            op.execute(f"CREATE POLICY own_rows ON {table} USING ({OWN_ROWS})")


def _set_lengths(room: int) -> None:
    for table, columns in {**IDS, "scrub": {"thing": 100}}.items():
        for column, length in columns.items():
            op.alter_column(table, column, type_=sa.String(length=length + room))


def _make_tables() -> None:
    tenants = op.create_table(
        "tenants",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("title", sa.String(length=200)),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
    )
    op.execute(tenants.insert().values(id="local", created=sa.func.current_timestamp(), revision=1))
    op.create_table(
        "keys",
        sa.Column("tenant", sa.String(length=32), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.String(length=8), primary_key=True),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("scope", sa.String(length=10), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True)),
        sa.Column("revoked", sa.DateTime(timezone=True)),
        sa.Column("last_used", sa.DateTime(timezone=True)),
        sa.Column("revision", sa.Integer(), nullable=False),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=40), primary_key=True),
        sa.Column("value", sa.String(length=64), nullable=False),
    )
    op.create_index("ix_keys_created", "keys", ["tenant", "created", "id"])


def downgrade() -> None:
    """Delete the tenants. Raises if there is one beside "local": its rows could not be told from those of "local"."""
    bind = op.get_bind()
    if bind.execute(sa.text("SELECT 1 FROM tenants WHERE id <> 'local'")).first():
        raise RuntimeError('there are other tenants than "local"')
    if bind.dialect.name == "postgresql":
        for table in (*IDS, "keys"):
            op.execute(f"DROP POLICY own_rows ON {table}")
            op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
            op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        _set_lengths(0)
    for table, name, columns in reversed(LISTS):
        op.drop_index(name, table)
        op.create_index(name, table, columns)
    for table in reversed(IDS):
        op.drop_column(table, "tenant")
    op.drop_table("secrets")
    op.drop_table("keys")
    op.drop_table("tenants")
