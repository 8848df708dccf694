"""Samples of surveys: a sample is of the map of a prediction, or of the mosaic of a survey

Revision: 0026; after 0025.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

OF_ONE_MAP = "(prediction IS NULL) <> (survey IS NULL)"
CHILDREN = ("sample_answers", "sample_zones")


def upgrade() -> None:
    """All samples so far are of predictions."""
    length = 100 + (33 if _postgresql() else 0)  # for the tenant
    survey = sa.Column("survey", sa.String(length=length), nullable=True)
    with _children_kept(), op.batch_alter_table("samples") as samples:
        samples.alter_column("prediction", existing_type=sa.String(length=length), nullable=True)
        samples.add_column(survey)
        samples.create_foreign_key("fk_samples_survey", "surveys", ["survey"], ["id"])
        samples.create_check_constraint("ck_samples_map", OF_ONE_MAP)
    op.create_index("ix_samples_survey", "samples", ["survey"])


def downgrade() -> None:
    """Delete the samples of surveys, with their answers and jobs."""
    length = 100 + (33 if _postgresql() else 0)
    gone = op.get_bind().execute(sa.text("SELECT id FROM samples WHERE survey IS NOT NULL")).scalars().all()
    op.execute("DELETE FROM samples WHERE survey IS NOT NULL")
    for id_ in gone:
        op.get_bind().execute(sa.text("DELETE FROM job_log WHERE job_id = :id"), {"id": id_})
        op.get_bind().execute(sa.text("DELETE FROM jobs WHERE id = :id"), {"id": id_})
    op.drop_index("ix_samples_survey", "samples")
    with _children_kept(), op.batch_alter_table("samples") as samples:
        samples.drop_constraint("ck_samples_map", type_="check")
        samples.drop_constraint("fk_samples_survey", type_="foreignkey")
        samples.drop_column("survey")
        samples.alter_column("prediction", existing_type=sa.String(length=length), nullable=False)


def _postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


@contextmanager
def _children_kept() -> Iterator[None]:
    """A block in which SQLite makes the table of samples anew: without this it would delete what belongs to them."""
    children = () if _postgresql() else CHILDREN
    for table in children:
        op.execute(f"CREATE TEMPORARY TABLE kept_{table} AS SELECT * FROM {table}")
    yield
    for table in children:
        op.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")
        op.execute(f"DROP TABLE kept_{table}")
