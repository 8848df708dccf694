"""Predictions that requested the engine ncnn, which does not exist any more, request any engine

Revision: 0009; after 0008.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the engine in these rows: a config is validated when it is read, so one row would fail a whole list."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "UPDATE predictions SET config = config || '{\"engine\": \"auto\"}' WHERE config ->> 'engine' = 'ncnn'"
        )
    else:
        op.execute(
            "UPDATE predictions SET config = json_set(config, '$.engine', 'auto') "
            "WHERE json_extract(config, '$.engine') = 'ncnn'"
        )


def downgrade() -> None:
    """Change nothing: older code also knows the value for any engine."""
