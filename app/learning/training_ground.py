"""Where and when model versions were made: the ground of their scenes, and the time of their registration."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from app.core.paging import Page, page
from app.data import scenes
from app.data.scenes import BBox, Interval, Selection
from app.learning import registry
from app.tables import DatasetScenes, ModelVersion, Scene


def version_id(version: ModelVersion) -> str:
    """The id of a model version among those of all models, like "cane:3"."""
    return f"{version.name}:{version.version}"


def find(session: Session, which: Selection, *, limit: int, token: str | None) -> Page[ModelVersion]:
    """Model versions whose scenes touch a box, registered in a time, with one of some ids, newest first."""
    own = ModelVersion.name.not_like("%~%")  # copies of given models stand in no list
    wanted = select(ModelVersion).where(own, *_filters(which.bbox, which.between))
    if which.ids is not None:
        wanted = wanted.where(tuple_(ModelVersion.name, ModelVersion.version).in_(_pairs(which.ids)))
    return page(session, wanted, ModelVersion.created, ModelVersion.name, limit=limit, token=token)


def _filters(bbox: BBox | None, between: Interval) -> Iterable[ColumnElement[bool]]:
    start, end = between
    if start is not None:
        yield ModelVersion.created >= start
    if end is not None:
        yield ModelVersion.created <= end
    if bbox is not None:
        there = select(DatasetScenes.dataset).join(Scene, Scene.id == DatasetScenes.used)
        yield ModelVersion.dataset.in_(there.where(*scenes.filters(bbox, (None, None))))


def _pairs(ids: Collection[str]) -> list[tuple[str, int]]:
    split = (id_.rpartition(":") for id_ in ids)
    return [(name, int(number)) for name, _, number in split if registry.VERSION.fullmatch(number)]


def grounds(session: Session, versions: Sequence[ModelVersion]) -> dict[str, BaseGeometry]:
    """The boxes of the scenes of each dataset, in degrees, joined where they overlap, by the id of the dataset.

    A dataset that is not here, as of an imported version, is left out.
    """
    wanted = {version.dataset for version in versions if version.dataset}
    columns = DatasetScenes.dataset, Scene.west, Scene.south, Scene.east, Scene.north
    rows = session.execute(
        select(*columns).join(Scene, Scene.id == DatasetScenes.used).where(DatasetScenes.dataset.in_(wanted))
    )
    boxes: dict[str, list[BaseGeometry]] = defaultdict(list)
    for dataset, *box in rows:
        boxes[dataset] += _boxes(*box)
    return {dataset: shapely.union_all(several) for dataset, several in boxes.items()}


def _boxes(west: float, south: float, east: float, north: float) -> list[BaseGeometry]:
    """A box as one polygon, or as two if it crosses the date line."""
    if west <= east:
        return [shapely.box(west, south, east, north)]
    return [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
