"""The files in the store that rows name, by the resource that they belong to."""

from collections.abc import Iterator, Sequence

from sqlalchemy import literal, select, tuple_
from sqlalchemy.orm import Session

from app.tables import Dataset, LabelSet, ModelVersion, Part, Prediction, Scene, Survey, Training, ZoneSet
from app.upkeep.references import TABLES, batches, versions_in

WITH_FILES = ("scene", "labels", "zones", "dataset", "training", "version", "prediction", "survey")


def files_of(session: Session, kind: str, ids: Sequence[str]) -> Iterator[str]:
    """The keys of the files of resources of one kind. ids: As those of `Thing`."""
    for some in batches(ids):
        yield from _files(session, kind, some)


def after(session: Session, kind: str, id_: str) -> str | None:
    """The id of the resource of one kind with files that comes next after `id_`; None after the last one."""
    if kind == "version":
        name, _, number = id_.rpartition(":")
        here = tuple_(ModelVersion.name, ModelVersion.version)
        last = tuple_(literal(name, ModelVersion.name.type), int(number or 0))
        wanted = select(ModelVersion.name, ModelVersion.version).where(here > last)
        found = session.execute(wanted.order_by(ModelVersion.name, ModelVersion.version).limit(1)).first()
        return f"{found[0]}:{found[1]}" if found else None
    table = TABLES[kind]
    return session.scalar(select(table.id).where(table.id > id_).order_by(table.id).limit(1))


def every_file(session: Session) -> Iterator[str]:
    """The keys of all files that rows name, but those from which jobs are resumed."""
    for kind in WITH_FILES:
        if kind == "version":
            ids = [
                f"{name}:{number}" for name, number in session.execute(select(ModelVersion.name, ModelVersion.version))
            ]
        else:
            ids = list(session.scalars(select(TABLES[kind].id)))
        yield from files_of(session, kind, ids)


def _files(session: Session, kind: str, ids: Sequence[str]) -> Iterator[str]:
    if kind == "scene":
        yield from session.scalars(select(Scene.object).where(Scene.id.in_(ids)))
    elif kind == "labels":
        yield from session.scalars(select(LabelSet.object).where(LabelSet.id.in_(ids)))
    elif kind == "zones":
        for keys in session.execute(select(ZoneSet.object, ZoneSet.features).where(ZoneSet.id.in_(ids))):
            yield from keys
    elif kind == "dataset":
        yield from _files_of_datasets(session, ids)
    elif kind == "training":
        figures = select(Training.figures).where(Training.id.in_(ids), Training.figures.is_not(None))
        yield from (key for key in session.scalars(figures) if key)
    elif kind == "version":
        named = tuple_(ModelVersion.name, ModelVersion.version).in_(versions_in(ids))
        yield from session.scalars(select(ModelVersion.object).where(named))
    elif kind in ("prediction", "survey"):
        yield from _files_of_maps(session, Prediction if kind == "prediction" else Survey, ids)


def _files_of_datasets(session: Session, ids: Sequence[str]) -> Iterator[str]:
    for prepared, figures in session.execute(select(Dataset.prepared, Dataset.figures).where(Dataset.id.in_(ids))):
        if prepared:
            yield from (key for masks in prepared.masks.values() for key in masks.values())
        if figures:
            yield figures


def _files_of_maps(session: Session, table: type[Prediction | Survey], ids: Sequence[str]) -> Iterator[str]:
    for products in session.scalars(select(table.products).where(table.id.in_(ids))):
        yield from (stored.object for stored in (products or {}).values())
    parts = select(Part.object).where(Part.prediction.in_(ids), Part.object.is_not(None))
    yield from (key for key in session.scalars(parts) if key)
