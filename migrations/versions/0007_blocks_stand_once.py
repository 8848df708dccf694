"""The confusions of a model's test blocks stand in its details alone

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
    """Versions that are older than details keep their blocks there, as of one scene without a name, in a column."""
    connection = op.get_bind()
    for row in connection.execute(sa.select(VERSIONS).where(sa.text("details -> 'test' IS NULL"))).all():
        details, blocks = (json.loads(document or "null") for document in (row.details, row.test_blocks))
        if blocks:
            _change(connection, row, details={**(details or {}), "test": _unplaced(blocks)})
    op.drop_column("model_versions", "test_blocks")


def downgrade() -> None:
    """Copy the blocks out of the details again."""
    op.add_column("model_versions", sa.Column("test_blocks", JSON, nullable=False, server_default=sa.text("'[]'")))
    connection = op.get_bind()
    for row in connection.execute(sa.select(VERSIONS).where(sa.text("details -> 'test' IS NOT NULL"))).all():
        scenes = json.loads(row.details)["test"]["blocks"].values()
        _change(connection, row, test_blocks=[block["confusion"] for blocks in scenes for block in blocks])


def _change(connection: sa.Connection, row: Any, **documents: Any) -> None:
    """Write JSON, which the engine of `app.core.db` takes, and gives, as text."""
    here = (VERSIONS.c.name == row.name) & (VERSIONS.c.version == row.version)
    texts = {name: json.dumps(document) for name, document in documents.items()}
    connection.execute(VERSIONS.update().where(here).values(**texts))


def _unplaced(confusions: list[Any]) -> dict[str, Any]:
    """What `ml.evaluation.assessment.Assessment` says of blocks of which nothing else is known."""
    blocks = [{"row": 256 * number, "col": 0, "confusion": counts} for number, counts in enumerate(confusions)]
    return {"scenes": {}, "scene_mean": {}, "false_positives": {}, "blocks": {"": blocks}, "boundary_m": None}
