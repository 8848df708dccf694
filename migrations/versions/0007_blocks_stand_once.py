"""The confusion matrices of a model's test blocks are stored only in its details

Revision: 0007; after 0006.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
VERSIONS = sa.table(
    "model_versions",
    sa.column("name", sa.String),
    sa.column("version", sa.Integer),
    sa.column("details", JSON),
    sa.column("test_blocks", JSON),
)


def upgrade() -> None:
    """Move the blocks of versions without details into details, as of one scene without a name, and drop the column."""
    connection = op.get_bind()
    for row in connection.execute(sa.select(VERSIONS).where(sa.text("details -> 'test' IS NULL"))).all():
        details, blocks = (json.loads(document or "null") for document in (row.details, row.test_blocks))
        if blocks:
            _change(connection, row, details={**(details or {}), "test": _unplaced(blocks)})
    op.drop_column("model_versions", "test_blocks")


def downgrade() -> None:
    """Add the column again and copy the blocks from the details into it."""
    op.add_column("model_versions", sa.Column("test_blocks", JSON, nullable=False, server_default=sa.text("'[]'")))
    connection = op.get_bind()
    for row in connection.execute(sa.select(VERSIONS).where(sa.text("details -> 'test' IS NOT NULL"))).all():
        scenes = json.loads(row.details)["test"]["blocks"].values()
        _change(connection, row, test_blocks=[block["confusion"] for blocks in scenes for block in blocks])


def _change(connection: sa.Connection, row: Any, **documents: Any) -> None:
    """Write JSON columns of a row. The engine of `app.core.db` passes JSON on as text."""
    here = (VERSIONS.c.name == row.name) & (VERSIONS.c.version == row.version)
    texts = {name: json.dumps(document) for name, document in documents.items()}
    connection.execute(VERSIONS.update().where(here).values(**texts))


def _unplaced(confusions: list[Any]) -> dict[str, Any]:
    """An `ml.evaluation.assessment.Assessment` as JSON, of blocks of which only the confusion matrices are known."""
    blocks = [{"row": 256 * number, "col": 0, "confusion": counts} for number, counts in enumerate(confusions)]
    return {"scenes": {}, "scene_mean": {}, "false_positives": {}, "blocks": {"": blocks}, "boundary_m": None}
