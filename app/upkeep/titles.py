"""Titles: names for people, which every resource can have beside its id; and what else is said of a model."""

from typing import Any

from sqlalchemy.orm import Session

from app.core import acting
from app.core.columns import now
from app.core.preconditions import ANY, IfMatch
from app.data import datasets
from app.requests.learning import ModelPatch
from app.tables import Job, Model, ModelVersion
from app.upkeep import deletion
from app.upkeep.references import TABLES, WITH_JOBS, Thing, versions_in


def change(session: Session, thing: Thing, title: str | None, if_match: IfMatch = ANY) -> None:
    """Give a resource another title, or none. Its ETag changes.

    Raises `NotFound`, `PreconditionFailed` if the resource has changed, `Invalid` for a dataset without a version.
    """
    if thing.kind == "dataset":
        datasets.exactly(session, thing.id)
    _lock(session, thing, if_match)
    row = _row(session, thing)
    row.title = title
    changed = row
    if thing.kind in WITH_JOBS:  # of which the ETag, and the time of the last change, are those of the job
        changed = session.get_one(Job, thing.id)
        changed.updated = now()
    changed.revision += 1
    session.flush()


def change_model(session: Session, name: str, wanted: ModelPatch, if_match: IfMatch = ANY) -> None:
    """Change those fields of a model that `wanted` has. Its ETag changes.

    Raises `NotFound`, `PreconditionFailed`, or `Forbidden` if somebody changes `approval` who may not approve.
    """
    _lock(session, Thing("model", name), if_match)
    row = session.get(Model, name) or Model(name=name, approval=False, revision=0)
    if "title" in wanted.model_fields_set:
        row.title = wanted.title
    if wanted.approval is not None and wanted.approval != row.approval:
        acting.check_approver(f"Model {name!r}")
        row.approval = wanted.approval
    row.revision += 1
    session.add(row)
    session.flush()


def _lock(session: Session, thing: Thing, if_match: IfMatch) -> None:
    """Lock a resource, and compare it with a condition."""
    deletion.lock_rows(session, [thing])
    session.expire_all()  # what was read before the rows were locked
    if_match.check(deletion.tag(session, thing))


def _row(session: Session, thing: Thing) -> Any:
    """The row that holds the title of a resource which exists."""
    if thing.kind == "version":
        return session.get_one(ModelVersion, versions_in([thing.id])[0])
    return session.get_one(TABLES[thing.kind], thing.id)
