"""Which scenes and labels the datasets use: the database keeps these while a dataset needs them."""

from collections.abc import Sequence

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.tables import DatasetLabels, DatasetScenes

Uses = type[DatasetScenes] | type[DatasetLabels]
FAILED = ("failed", "dismissed")


def keep(session: Session, table: Uses, dataset: str, names: Sequence[str]) -> None:
    """Record that a dataset uses these. Raises IntegrityError if one of them was deleted."""
    session.execute(insert(table), [{"dataset": dataset, "used": name} for name in dict.fromkeys(names)])
