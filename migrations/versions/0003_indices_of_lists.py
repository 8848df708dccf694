"""Indices with which each list finds its pages, even among a million rows

Revision: 0003; after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

HAS_PARENT = sa.text("parent IS NOT NULL")
# table, index, columns: as they were in 0002, and as they are now
BEFORE = (
    ("jobs", "ix_jobs_status", ["status", "kind", "created"]),
    ("jobs", "ix_jobs_parent", ["parent"]),
    ("scenes", "ix_scenes_created", ["created", "id"]),
    ("predictions", "ix_predictions_created", ["created", "id"]),
    ("predictions", "ix_predictions_scene", ["scene"]),
)
AFTER = (
    ("jobs", "ix_jobs_kind", ["kind", "created", "id"]),
    ("jobs", "ix_jobs_status", ["status", "created", "id"]),
    ("jobs", "ix_jobs_status_kind", ["status", "kind", "created", "id"]),
    ("scenes", "ix_scenes_created", ["created", "id", "west", "south", "east", "north", "acquired"]),
    ("predictions", "ix_predictions_created", ["created", "id", "scene"]),
    ("predictions", "ix_predictions_scene", ["scene", "created", "id"]),
)


def upgrade() -> None:
    """Replace the indices of lists. The tables stay as they are."""
    for table, name, _ in BEFORE:
        op.drop_index(name, table)
    for table, name, columns in AFTER:
        op.create_index(name, table, columns)
    op.create_index("ix_jobs_parent", "jobs", ["parent"], postgresql_where=HAS_PARENT, sqlite_where=HAS_PARENT)


def downgrade() -> None:
    """Restore the indices of 0002."""
    op.drop_index("ix_jobs_parent", "jobs")
    for table, name, _ in AFTER:
        op.drop_index(name, table)
    for table, name, columns in BEFORE:
        op.create_index(name, table, columns)
