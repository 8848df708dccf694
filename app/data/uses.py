"""Which scenes and labels the datasets use: the database keeps these while a dataset needs them."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from app.tables import DatasetLabels, DatasetScenes, Job

MOST_USERS = 5  # that a refusal names
Uses = type[DatasetScenes] | type[DatasetLabels]
FAILED = ("failed", "dismissed")


def keep(session: Session, table: Uses, dataset: str, names: Sequence[str]) -> None:
    """Record that a dataset uses these. Raises IntegrityError if one of them was deleted."""
    session.execute(insert(table), [{"dataset": dataset, "used": name} for name in dict.fromkeys(names)])


def users(session: Session, table: Uses, name: str) -> Sequence[str]:
    """The ids of some datasets that use `name` and whose job has not failed.

    The row of `name` must be locked, so that no other transaction makes such a dataset until this one ends.
    """
    using = select(table.dataset).join(Job, Job.id == table.dataset).where(table.used == name)
    return session.scalars(using.where(Job.status.not_in(FAILED)).order_by(Job.created).limit(MOST_USERS)).all()


def forget(session: Session, table: Uses, name: str) -> None:
    """Let `name` be deleted, which only failed datasets use: `users` has found no other."""
    session.execute(delete(table).where(table.used == name))
