"""Titles: names for people, which every resource can have beside its id."""

from typing import Any

from sqlalchemy.orm import Session

from app.core.columns import now
from app.core.preconditions import ANY, IfMatch
from app.data import datasets
from app.tables import Job, ModelTitle, ModelVersion
from app.upkeep import deletion
from app.upkeep.references import TABLES, WITH_JOBS, Thing, versions_in


def change(session: Session, thing: Thing, title: str | None, if_match: IfMatch = ANY) -> None:
    """Give a resource another title, or none. Its ETag changes.

    Raises `NotFound`, `PreconditionFailed` if the resource has changed, `Invalid` for a dataset without a version.
    """
    if thing.kind == "dataset":
        datasets.exactly(session, thing.id)
    deletion.lock_rows(session, [thing])
    session.expire_all()  # what was read before the rows were locked
    if_match.check(deletion.tag(session, thing))
    row = _row(session, thing)
    row.title = title
    changed = row
    if thing.kind in WITH_JOBS:  # of which the ETag, and the time of the last change, are those of the job
        changed = session.get_one(Job, thing.id)
        changed.updated = now()
    changed.revision += 1
    session.flush()


def _row(session: Session, thing: Thing) -> Any:
    """The row that holds the title of a resource which exists."""
    if thing.kind == "model":
        row = session.get(ModelTitle, thing.id) or ModelTitle(name=thing.id, revision=0)
        session.add(row)
        return row
    if thing.kind == "version":
        return session.get_one(ModelVersion, versions_in([thing.id])[0])
    return session.get_one(TABLES[thing.kind], thing.id)
