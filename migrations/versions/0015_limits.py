"""Limits of tenants, what they have used, and the sizes of all files

Revision: 0015; after 0014.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SIZED = ("scenes", "labels", "datasets", "trainings", "model_versions", "predictions")
NOT_SIZED = ("datasets", "trainings", "predictions")  # before this
SCOPE = "current_setting('canemap.tenant', true)"
OWN_ROWS = f"tenant = {SCOPE} OR {SCOPE} = '*'"
# the files of a prediction stand in its row with their sizes; those of datasets and trainings have none there
SIZES = {
    "sqlite": "SELECT SUM(json_extract(value, '$.size_bytes')) FROM json_each(predictions.products)",
    "postgresql": "SELECT SUM((value ->> 'size_bytes')::bigint) FROM jsonb_each(predictions.products)",
}
OBJECT = {"sqlite": "json_type(products) = 'object'", "postgresql": "jsonb_typeof(products) = 'object'"}


def upgrade() -> None:
    """Give no tenant a limit of its own. Files of earlier datasets and trainings count as empty."""
    dialect = op.get_bind().dialect.name
    op.add_column("tenants", sa.Column("limits", JSON, nullable=False, server_default="{}"))
    op.add_column("tenants", sa.Column("pixels_day", sa.Date()))
    op.add_column("tenants", sa.Column("pixels", sa.BigInteger(), nullable=False, server_default="0"))
    for table in NOT_SIZED:
        op.add_column(table, sa.Column("size_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(f"UPDATE predictions SET size_bytes = COALESCE(({SIZES[dialect]}), 0) WHERE {OBJECT[dialect]}")
    for table in SIZED:
        op.create_index(f"ix_{table}_size", table, ["tenant", "size_bytes"])
    room = 33 if dialect == "postgresql" else 0  # characters of a tenant's id and of what follows it
    op.create_table(
        "incoming_files",
        sa.Column("tenant", sa.String(length=32), nullable=False, server_default="local"),
        sa.Column("name", sa.String(length=80 + room), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )
    if dialect == "postgresql":
        op.execute("ALTER TABLE incoming_files ENABLE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE incoming_files FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON incoming_files USING ({OWN_ROWS})")


def downgrade() -> None:
    """Forget all limits."""
    op.drop_table("incoming_files")
    for table in SIZED:
        op.drop_index(f"ix_{table}_size", table)
    for table in NOT_SIZED:
        op.drop_column(table, "size_bytes")
    for column in ("pixels", "pixels_day", "limits"):
        op.drop_column("tenants", column)
