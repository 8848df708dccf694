"""The catalogue of everything that lies on the ground: scenes, maps, surveys and model versions, searched as one.

A search goes through the collections one after the other. The token of a page names the collection and the page in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry
from shapely.lib import ShapelyError
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from app.core import paging
from app.core.errors import NotFound, invalid
from app.core.paging import Page, bad_token
from app.data import scenes
from app.data.scenes import BBox, Interval, Selection
from app.learning import registry, training_ground
from app.mapping import predictions, surveys
from app.tables import DatasetScenes, ModelVersion, Prediction, Scene, Survey, SurveyScene

MOST_ITEMS = 1000
Row = Scene | Prediction | Survey | ModelVersion


@dataclass(frozen=True)
class Search:
    """What is looked for. ids: None for any. intersects: A geometry in degrees that an item must touch."""

    ids: tuple[str, ...] | None = None
    bbox: BBox | None = None
    between: Interval = (None, None)
    intersects: BaseGeometry | None = None

    @property
    def selection(self) -> Selection:
        """What is looked for, without regard to more of `intersects` than its box."""
        box = self.bbox if self.intersects is None else self.intersects.bounds
        return Selection(box, self.between, self.ids)


@dataclass(frozen=True)
class Extent:
    """The box and the times of a collection; None where nothing is known."""

    bbox: BBox | None
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class Found:
    """One page of a search: rows of one or several collections, and the token of the next page."""

    rows: Sequence[Row]
    next: str | None


def search(session: Session, collections: Sequence[str], wanted: Search, *, limit: int, token: str | None) -> Found:
    """The rows of `collections` that `wanted` describes, collection by collection, each newest first.

    A page may have fewer rows than `limit`, but none only if there are no more; it has at most `MOST_ITEMS`.

    Raises `Invalid` for a wrong token, or if the search has both a box and a geometry.
    """
    if wanted.bbox is not None and wanted.intersects is not None:
        raise invalid("invalid-search", "bbox and intersects exclude each other.", "Leave one out.", "/intersects")
    limit = min(limit, MOST_ITEMS)
    order = [name for name in COLLECTIONS if name in collections]
    begin, inner = _read_token(token, order) if token else (0, None)
    rows: list[Row] = []
    for index in range(begin, len(order)):
        found = _page(session, COLLECTIONS[order[index]], wanted, limit - len(rows), inner)
        rows += found.rows
        if found.next is not None or len(rows) == limit:
            return Found(rows, _next_token(order, index, found.next))
        inner = None
    return Found(rows, None)


def check_token(token: str) -> None:
    """Raise `Invalid` for a token that no search returned."""
    _, inner = _read_token(token, tuple(COLLECTIONS))
    if inner is not None:
        paging.check_token(inner)


def _read_token(token: str, order: Sequence[str]) -> tuple[int, str | None]:
    name, _, inner = token.partition(".")
    if name not in order:
        raise bad_token()
    return order.index(name), inner or None


def _next_token(order: Sequence[str], index: int, inner: str | None) -> str | None:
    if inner is not None:
        return f"{order[index]}.{inner}"
    return f"{order[index + 1]}." if index + 1 < len(order) else None


@dataclass(frozen=True)
class Collection:
    """How a collection is searched.

    find: A page of its rows, without regard to `intersects`. grounds: What each of some rows covers, None if unknown.
    """

    find: Callable[..., Page[Any]]
    get: Callable[[Session, str], Row]
    grounds: Callable[[Session, Sequence[Any]], list[BaseGeometry | None]]
    extent: Callable[[Session], Extent]


def _page(session: Session, collection: Collection, wanted: Search, limit: int, token: str | None) -> Page[Row]:
    """A page that has rows if there are any."""
    while True:
        found = collection.find(session, wanted.selection, limit=limit, token=token)
        rows = (
            found.rows if wanted.intersects is None else _touching(session, collection, found.rows, wanted.intersects)
        )
        if rows or found.next is None:
            return Page(rows, found.next)
        token = found.next


def _touching(session: Session, collection: Collection, rows: Sequence[Row], place: BaseGeometry) -> list[Row]:
    grounds = collection.grounds(session, rows)
    return [row for row, ground in zip(rows, grounds, strict=True) if ground is not None and ground.intersects(place)]


def _of_scenes(session: Session, rows: Sequence[Scene]) -> list[BaseGeometry | None]:
    return [shape(row.info.footprint) for row in rows]


def _of_predictions(session: Session, rows: Sequence[Prediction]) -> list[BaseGeometry | None]:
    of = scenes.by_id(session, (row.scene for row in rows))
    return [shape(of[row.scene].info.footprint) if row.scene in of else None for row in rows]


def _of_surveys(session: Session, rows: Sequence[Survey]) -> list[BaseGeometry | None]:
    return [shape(surveys.footprint(session, row.id)) for row in rows]


def _of_models(session: Session, rows: Sequence[ModelVersion]) -> list[BaseGeometry | None]:
    known = training_ground.grounds(session, rows)
    return [known.get(row.dataset or "") for row in rows]


def _maps(session: Session, which: Selection, *, limit: int, token: str | None) -> Page[Prediction]:
    return predictions.find(session, which, status="successful", limit=limit, token=token)


def _scenes_extent(session: Session) -> Extent:
    return Extent(_box(session), *_times(session, Scene.acquired))


def _predictions_extent(session: Session) -> Extent:
    mapped = Scene.id.in_(select(Prediction.scene))
    return Extent(_box(session, mapped), *_times(session, Scene.acquired, mapped))


def _surveys_extent(session: Session) -> Extent:
    of_surveys = select(SurveyScene.prediction).join(Survey, Survey.id == SurveyScene.survey)
    of_surveys = of_surveys.where(Survey.products.is_not(None))
    mapped = Scene.id.in_(select(Prediction.scene).where(Prediction.id.in_(of_surveys)))
    return Extent(_box(session, mapped), *_times(session, Scene.acquired, mapped))


def _survey(session: Session, id_: str) -> Survey:
    """A survey that has a mosaic. Raises `NotFound`."""
    row = surveys.get(session, id_)
    if row.products is None:
        raise NotFound("item", id_)
    return row


def _models_extent(session: Session) -> Extent:
    used = Scene.id.in_(select(DatasetScenes.used))
    return Extent(_box(session, used), *_times(session, ModelVersion.created))


def _box(session: Session, *which: Any) -> BBox | None:
    across = func.max(case((Scene.west > Scene.east, 1), else_=0))
    columns = func.min(Scene.west), func.min(Scene.south), func.max(Scene.east), func.max(Scene.north), across
    west, south, east, north, crosses = session.execute(select(*columns).where(*which)).one()
    if west is None:
        return None
    return (-180.0, south, 180.0, north) if crosses else (west, south, east, north)


def _times(session: Session, column: Any, *which: Any) -> tuple[datetime | None, datetime | None]:
    first, last = session.execute(select(func.min(column), func.max(column)).where(*which)).one()
    return first, last


COLLECTIONS = {
    "scenes": Collection(scenes.find, scenes.get, _of_scenes, _scenes_extent),
    "predictions": Collection(_maps, predictions.get, _of_predictions, _predictions_extent),
    "surveys": Collection(surveys.made, _survey, _of_surveys, _surveys_extent),
    "models": Collection(training_ground.find, registry.resolve, _of_models, _models_extent),
}


def read_geometry(geojson: dict[str, Any]) -> BaseGeometry:
    """A geometry of GeoJSON in degrees. Raises `ValueError` if it is none, or is invalid."""
    try:
        place: BaseGeometry = shape(geojson)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, ShapelyError) as error:
        raise ValueError("This is no geometry of GeoJSON.") from error
    west, south, east, north = place.bounds if not place.is_empty else (0.0, 1.0, 0.0, 0.0)
    if not (place.is_valid and -180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise ValueError("The geometry is empty, invalid or not in degrees.")
    return place
