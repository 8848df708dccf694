"""Version numbers that are never given twice, although versions can be deleted."""

from collections.abc import Iterable
from typing import Literal

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.core.idempotency import INSERT
from app.tables import DeletedNumber

Numbered = Literal["dataset", "model"]


def newest(session: Session, kind: Numbered, name: str, largest: ColumnElement[int]) -> int:
    """The largest number that a version of `name` has or had; 0 if there was none.

    largest: An aggregate, the largest number of the versions that exist.
    """
    gone = session.get(DeletedNumber, (kind, name))
    return max(session.scalar(select(largest)) or 0, gone.number if gone else 0)


def retire(session: Session, kind: Numbered, versions: Iterable[tuple[str, int]]) -> None:
    """Remember the numbers of versions that are deleted. versions: the name and the number of each."""
    for name, number in versions:
        statement = INSERT[session.get_bind().dialect.name](DeletedNumber)
        statement = statement.values(kind=kind, name=name, number=number)
        larger = DeletedNumber.number < statement.excluded.number
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["kind", "name"], set_={"number": statement.excluded.number}, where=larger
            )
        )
