"""The maps from which samples are drawn: that of a prediction, or the mosaic of a survey."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import shapely
from affine import Affine
from shapely.geometry import shape
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.data import scenes
from app.mapping import predictions, survey_areas, surveys, zone_areas
from app.services import Services
from app.storage import Stored
from app.tables import Prediction, Sample, Scene, Survey, SurveyScene, SurveyZoneAreas, ZoneAreas
from ml.config import PredictConfig
from ml.geo.crs import crs_from_wkt
from ml.geo.grid import Grid
from ml.sampling.design import DrawnSample
from ml.zones.areas import ClassesByZone

PROBABILITY, SOURCES = "probability.tif", "sources.tif"
_OF_SURVEYS = "srv_"  # with which the ids of surveys begin


@dataclass(frozen=True)
class SampledMap:
    """A map from which samples are drawn. row: The prediction or survey that it belongs to."""

    row: Prediction | Survey

    @property
    def id(self) -> str:
        """Id of the prediction or survey."""
        return self.row.id

    @property
    def file(self) -> str:
        """Name of the file with the class of each pixel."""
        return surveys.MAP if isinstance(self.row, Survey) else "classes.tif"

    @property
    def config(self) -> PredictConfig:
        """How the map was computed."""
        return self.row.options.config if isinstance(self.row, Survey) else self.row.config

    @property
    def products(self) -> Mapping[str, Stored] | None:
        """Its files, by their names; None before they are there."""
        return self.row.products


def _is_survey(id_: str) -> bool:
    return id_.startswith(_OF_SURVEYS)


def get(session: Session, id_: str) -> SampledMap:
    """The map of the prediction or survey with this id. Raises `NotFound`."""
    return SampledMap(surveys.get(session, id_) if _is_survey(id_) else predictions.get(session, id_))


def id_of(sample: Sample) -> str:
    """The id of the prediction or survey whose map a sample was drawn from."""
    return sample.prediction or sample.survey or ""


def columns(map_: SampledMap) -> dict[str, str]:
    """The column of a sample that names its map, with the value."""
    return {"survey" if isinstance(map_.row, Survey) else "prediction": map_.id}


def stored(services: Services, id_: str, name: str) -> Stored:
    """The record of a file of a prediction or survey. Raises `NotReady`, `NotFound`."""
    return surveys.stored(services, id_, name) if _is_survey(id_) else predictions.stored(services, id_, name)


def scenes_of(session: Session, map_: SampledMap) -> list[Scene]:
    """The scenes of a map; those of a survey in its order."""
    if isinstance(map_.row, Survey):
        return [member.scene for member in surveys.members(session, map_.id)]
    return [scenes.get(session, map_.row.scene)]


def scene_at(session: Session, map_: SampledMap, number: int | None) -> Scene:
    """The scene from which a pixel of a map comes. number: That of the scene in a survey."""
    if isinstance(map_.row, Prediction):
        return scenes.get(session, map_.row.scene)
    of_number = select(Prediction.scene).join(SurveyScene, SurveyScene.prediction == Prediction.id)
    found = session.scalar(of_number.where(SurveyScene.survey == map_.id, SurveyScene.number == number))
    return scenes.get(session, found or "")


def footprint(session: Session, map_: SampledMap) -> dict[str, object]:
    """The outline of a map as GeoJSON in WGS 84: of a survey that of all its scenes."""
    if isinstance(map_.row, Survey):
        return surveys.footprint(session, map_.id)
    found: dict[str, object] = scenes.get(session, map_.row.scene).info.footprint
    return found


def grid_of(session: Session, map_: SampledMap, scene: Scene, drawn: DrawnSample) -> Grid:
    """The grid of a map. scene: One of its scenes. drawn: A sample of it. Raises `NotReady` before a mosaic is made."""
    if isinstance(map_.row, Survey):
        _, placed = surveys.result(session, map_.row)
        return Grid(placed.rows, placed.cols, Affine(*placed.transform), crs_from_wkt(drawn.crs))
    info = scene.info
    return Grid(info.rows, info.cols, Affine(*info.transform), crs_from_wkt(info.crs))


def zone_task(services: Services, id_: str, zones: str) -> zone_areas.Task | None:
    """What must be measured for the areas of a map in a zone set; None if that was done. Raises as its parts do."""
    return survey_areas.task(services, id_, zones) if _is_survey(id_) else zone_areas.task(services, id_, zones)


def by_zone(session: Session, map_: SampledMap, zones: str) -> ClassesByZone | None:
    """What a map has in each zone of a set; None if it was not measured."""
    key = (map_.id, zones)
    measured = session.get(SurveyZoneAreas, key) if _is_survey(map_.id) else session.get(ZoneAreas, key)
    return None if measured is None else measured.classes


def same_ground(session: Session, maps: Sequence[SampledMap], share: float) -> bool:
    """Whether two maps have nearly the same outline: `share` of the area of both together is common to both."""
    one, other = (shape(footprint(session, map_)) for map_ in maps)
    return bool(shapely.intersection(one, other).area >= share * shapely.union(one, other).area)
