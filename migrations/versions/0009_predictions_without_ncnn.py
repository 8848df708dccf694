"""Predictions that asked for ncnn, which is no engine any more, ask for any

Revision: 0009; after 0008.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rows are read as what a request may be today: else one such prediction would fail the whole list."""
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
    """Any engine is one that older code knows, too."""
