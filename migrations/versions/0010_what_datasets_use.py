"""The scenes and labels of datasets, which cannot be deleted while a dataset uses them

Revision: 0010; after 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ITEMS = {  # the texts of a JSON array as rows, by dialect
    "sqlite": "SELECT datasets.id AS dataset, item.value AS used FROM datasets, json_each(datasets.{kind}) AS item",
    "postgresql": "SELECT datasets.id AS dataset, item.value AS used FROM datasets, "
    "jsonb_array_elements_text(datasets.{kind}) AS item(value)",
}
FILL = """
INSERT INTO dataset_{kind} (dataset, used)
SELECT DISTINCT items.dataset, items.used FROM ({items}) AS items
JOIN {kind} ON {kind}.id = items.used JOIN jobs ON jobs.id = items.dataset
WHERE jobs.status NOT IN ('failed', 'dismissed')
"""


def upgrade() -> None:
    """Create a table for each, and fill it from the lists in the datasets."""
    items = ITEMS[op.get_bind().dialect.name]
    for kind in ("scenes", "labels"):
        op.create_table(
            f"dataset_{kind}",
            sa.Column("dataset", sa.String(length=100), sa.ForeignKey("datasets.id"), primary_key=True),
            sa.Column("used", sa.String(length=80), sa.ForeignKey(f"{kind}.id"), primary_key=True),
        )
        op.create_index(f"ix_dataset_{kind}_used", f"dataset_{kind}", ["used"])
        op.execute(FILL.format(kind=kind, items=items.format(kind=kind)))


def downgrade() -> None:
    """Drop the tables: the datasets still have their lists."""
    for kind in ("scenes", "labels"):
        op.drop_table(f"dataset_{kind}")
