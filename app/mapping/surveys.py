"""Surveys: many scenes mapped by one model version, as one mosaic in which each piece of ground counts once."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import shapely
from affine import Affine
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access import usage
from app.core.errors import NotFound, NotReady, refuse_any
from app.core.idempotency import IdempotentRequest
from app.core.names import new_id
from app.core.paging import Page, page
from app.core.rows import getter
from app.data import scenes
from app.data.scenes import BBox, Interval, Selection
from app.data.selection import read_box, read_interval
from app.jobs import lifecycle
from app.learning import registry
from app.mapping import predictions
from app.mapping.predictions import Areas
from app.requests.mapping import SurveyRequest
from app.services import Services
from app.storage import Stored
from app.tables import Job, ModelVersion, Prediction, Scene, Survey, SurveyScene, ZoneSet
from ml.config import PredictConfig
from ml.contract import ClassDef
from ml.datasets.splits import MOST_SCENES
from ml.faults import Fault, InputRefused
from ml.geo.crs import crs_from_code, crs_from_wkt
from ml.geo.grid import Grid
from ml.scenes.compatibility import contract_faults
from ml.surveys.mosaic import Mosaic
from ml.surveys.target import target_grid

MAP = "mosaic.tif"
_HINTS = {
    "web.tif": (
        Fault("no_tiles", "The survey was made before surveys had map tiles.", "Make it again: its maps are kept."),
    ),
}
NO_ESTIMATE = (
    "The errors of the model are known for scenes like those of its test split, and not for a mosaic of many. A sample "
    "of points gives an estimate."
)
_SAME_MAP = ("threshold", "engine", "precision", "device")  # and views: on what the classes of a map depend
_IDS = 500  # in one statement: databases limit the number of parameters
get = getter(Survey, "survey")


def create(services: Services, request: SurveyRequest, once: IdempotentRequest) -> Survey:
    """Accept a survey: one prediction for each scene that has none yet like it, and one job that makes the mosaic.

    Raises `Invalid` with all faults.
    """
    id_ = new_id("srv")
    with services.database.read() as session:
        if before := once.answered(session):
            return get(session, before)
    request = request.model_copy(update={"model": predictions.own_model(services, request.model)})
    with services.database.read() as session:
        refuse_any("invalid-survey", _faults(session, request))
        chosen = _scenes(session, request)
    _check_grid(request, chosen)
    with services.database.write() as session:
        if earlier := once.earlier(session, id_):
            return get(session, earlier)
        refuse_any("invalid-survey", _faults(session, request))
        model, found = registry.resolve(session, request.model), _scenes(session, request)
        made = _made(session, found, model, request.config)
        lifecycle.create(session, id_, "survey", total=len(found) - len(made) + 1)
        survey = Survey(
            id=id_,
            model=model.name,
            version=model.version,
            options=request.model_dump(exclude={"scenes", "query", "model", "title"}),
            title=request.title,
        )
        session.add(survey)
        session.flush()
        missing = [scene for scene in found if scene.id not in made]
        new = {scene.id: _predict(session, id_, scene, model, request.config) for scene in missing}
        by_scene = made | {scene: job.id for scene, job in new.items()}
        session.add_all(
            SurveyScene(survey=id_, number=number, prediction=by_scene[scene.id])
            for number, scene in enumerate(found, 1)
        )
        session.flush()
        pixels = sum(scene.info.rows * scene.info.cols for scene in missing)
        usage.take_pixels(session, services.settings, pixels)
        usage.check_jobs(session, services.settings)
        waiting = list(new.values()) or [lifecycle.get(session, id_)]
    for job in waiting:
        services.queue.notify(job)
    return survey


def _predict(session: Session, survey: str, scene: Scene, model: ModelVersion, config: PredictConfig) -> Job:
    job = lifecycle.create(session, new_id("prd"), "prediction", parent=survey, needs_gpu=config.needs_gpu)
    session.add(predictions.row_of(job.id, scene, model, config))
    return job


def _faults(session: Session, request: SurveyRequest) -> Iterator[Fault]:
    if (request.scenes is None) == (request.query is None):
        hint = 'Write, for instance, {"scenes": ["s1", "s2"]}; or {"query": {"datetime": "2024-10-01/2025-02-28"}}.'
        yield Fault("scenes_or_query", "Either scenes or query says what is mapped, and not both.", hint, "/scenes")
        return
    yield from _faults_of_options(session, request)
    chosen = _scenes(session, request)
    yield from _faults_of_list(request, chosen)
    try:
        model = registry.resolve(session, request.model)
    except NotFound as error:
        yield Fault("unknown_model", error.detail, "GET /v1/models lists the models.", "/model")
        return
    yield from request.config.class_faults(len(model.contract.classes))
    for number, scene in enumerate(chosen):
        place = f"/scenes/{number}" if request.scenes else "/query"
        for fault in contract_faults(scene.info, model.contract):
            yield Fault(fault.code, f"Scene {scene.id!r}: {fault.detail}", fault.hint, place)
        if request.overlap == "newest" and scene.acquired is None:
            hint = f"PATCH /v1/scenes/{scene.id} with acquired, or choose another overlap."
            yield Fault("not_dated", f"Nobody has said when scene {scene.id!r} was acquired.", hint, place)


def _faults_of_options(session: Session, request: SurveyRequest) -> Iterator[Fault]:
    if request.zones is not None and session.get(ZoneSet, request.zones) is None:
        hint = "GET /v1/zones lists the zones."
        yield Fault("unknown_zones", f"There is no zone set {request.zones!r}.", hint, "/zones")
    if "classes" not in request.config.outputs:
        hint = 'Name "classes" in config.outputs.'
        yield Fault("no_classes", "A mosaic is made of class maps, which config.outputs leaves out.", hint, "/config")
    if request.overlap == "priority" and request.query is not None:
        hint = "List the scenes, the most important first."
        yield Fault("no_order", "A query has no order of priority.", hint, "/overlap")
    try:
        _ = request.crs and crs_from_code(request.crs)
    except InputRefused as refused:
        yield from (fault.at("/crs") for fault in refused.faults)


def _faults_of_list(request: SurveyRequest, found: Sequence[Scene]) -> Iterator[Fault]:
    known, seen = {scene.id for scene in found}, set[str]()
    for number, name in enumerate(request.scenes or ()):
        if name not in known:
            hint = "Upload it first: PUT /v1/scenes/NAME"
            yield Fault("unknown_scene", f"There is no scene {name!r}.", hint, f"/scenes/{number}")
        elif name in seen:
            yield Fault("duplicate_scene", f"Scene {name!r} is listed twice.", "List it once.", f"/scenes/{number}")
        seen.add(name)
    if request.query is not None and not 1 <= len(found) <= MOST_SCENES:
        detail = f"The query finds {len(found) or 'no'} scenes; a survey has 1 to {MOST_SCENES:,}."
        yield Fault("no_scenes", detail, "GET /v1/scenes with the same bbox and datetime lists them.", "/query")


def _scenes(session: Session, request: SurveyRequest) -> list[Scene]:
    """The scenes of a survey that are there: in the order of the list, or those that the query finds, by their ids."""
    if request.query is not None:
        box = None if request.query.bbox is None else read_box(request.query.bbox, "/query/bbox")
        between = read_interval(request.query.interval or "", "/query/datetime")
        wanted = select(Scene).where(*scenes.filters(box, between)).order_by(Scene.id)
        return list(session.scalars(wanted.limit(MOST_SCENES + 1)))
    names = list(dict.fromkeys(request.scenes or ()))
    found: dict[str, Scene] = {}
    for some in _batches(names):
        found |= scenes.by_id(session, some)
    return [found[name] for name in names if name in found]


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _IDS] for start in range(0, len(ids), _IDS))


def _check_grid(request: SurveyRequest, chosen: Iterable[Scene]) -> None:
    """Raise `InputRefused` if no mosaic can hold all scenes."""
    crs_of = {scene.info.crs: crs_from_wkt(scene.info.crs) for scene in chosen}
    grids = [
        Grid(scene.info.rows, scene.info.cols, Affine(*scene.info.transform), crs_of[scene.info.crs])
        for scene in chosen
    ]
    target_grid(grids, crs_from_code(request.crs) if request.crs else None, request.resolution_m)


def _made(session: Session, found: Sequence[Scene], model: ModelVersion, config: PredictConfig) -> dict[str, str]:
    """The newest predictions, by their scenes, that have already made the map that a survey needs."""

    def views(of_map: PredictConfig) -> int:
        return of_map.views or model.config.views

    def same(row: Prediction) -> bool:
        alike = all(getattr(row.config, name) == getattr(config, name) for name in _SAME_MAP)
        return alike and views(row.config) == views(config)

    made = dict[str, str]()
    for some in _batches([scene.id for scene in found]):
        wanted = select(Prediction).where(Prediction.scene.in_(some), Prediction.products.is_not(None))
        of_model = wanted.where(Prediction.model == model.name, Prediction.version == model.version)
        rows = session.scalars(of_model.order_by(Prediction.created).with_for_update(read=True))
        made |= {row.scene: row.id for row in rows if "classes.tif" in (row.products or {}) and same(row)}
    return made


def find(session: Session, *, limit: int, token: str | None) -> Page[Survey]:
    """All surveys, newest first."""
    return page(session, select(Survey), Survey.created, Survey.id, limit=limit, token=token)


@dataclass(frozen=True)
class Member:
    """One scene of a survey, its prediction, and the status of that."""

    row: SurveyScene
    scene: Scene
    prediction: Prediction
    status: str


def members(session: Session, id_: str) -> list[Member]:
    """The scenes of a survey, in its order."""
    joined = select(SurveyScene, Scene, Prediction, Job.reported_status).where(SurveyScene.survey == id_)
    joined = joined.join(Prediction, Prediction.id == SurveyScene.prediction).join(Scene, Scene.id == Prediction.scene)
    found = session.execute(joined.join(Job, Job.id == Prediction.id).order_by(SurveyScene.number))
    return [Member(*row) for row in found]


def counts(session: Session, ids: Sequence[str]) -> dict[str, int]:
    """The number of scenes of surveys, by the survey's id."""
    of_survey = select(SurveyScene.survey, func.count()).where(SurveyScene.survey.in_(ids))
    return {row[0]: row[1] for row in session.execute(of_survey.group_by(SurveyScene.survey))}


def classes_of(session: Session, survey: Survey) -> tuple[ClassDef, ...]:
    """The classes of the mosaic of a survey."""
    return registry.get(session, survey.model, str(survey.version)).contract.classes


def result(session: Session, survey: Survey) -> tuple[Mapping[str, Stored], Mosaic]:
    """The files of a survey, and what they hold. Raises `NotReady` before its job has succeeded."""
    if survey.products is None or survey.mosaic is None:
        status = lifecycle.get(session, survey.id).reported_status
        raise NotReady("result-not-ready", f"Survey {survey.id!r} has no result: its job is {status}.")
    return survey.products, survey.mosaic


def stored(services: Services, id_: str, name: str) -> Stored:
    """The record of a file of a survey in the store. Raises `NotReady` before it exists, `NotFound`."""
    with services.database.read() as session:
        products, _ = result(session, get(session, id_))
    if name not in products:
        raise NotFound("product", f"{id_}/{name}", *_HINTS.get(name, ()))
    return products[name]


def areas(session: Session, survey: Survey) -> list[Areas]:
    """The areas of the second of two classes, or of each of more classes, in the whole mosaic."""
    _, mosaic = result(session, survey)
    classes = predictions.told(classes_of(session, survey))
    return [
        Areas.mapped(
            item.name, mosaic.area_ha.get(item.value, 0.0), mosaic.observed_ha, mosaic.unobserved_ha, NO_ESTIMATE
        )
        for item in classes
    ]


def made(session: Session, which: Selection, *, limit: int, token: str | None) -> Page[Survey]:
    """Surveys that have a mosaic, of which a scene touches a box and was acquired in a time, newest first."""
    wanted = select(Survey).where(Survey.products.is_not(None))
    if which.ids is not None:
        wanted = wanted.where(Survey.id.in_(which.ids))
    if filters := tuple(scenes.filters(which.bbox, which.between)):
        of_scenes = select(SurveyScene.survey).join(Prediction, Prediction.id == SurveyScene.prediction)
        wanted = wanted.where(Survey.id.in_(of_scenes.join(Scene, Scene.id == Prediction.scene).where(*filters)))
    return page(session, wanted, Survey.created, Survey.id, limit=limit, token=token)


@dataclass(frozen=True)
class Covered:
    """What the scenes of a survey cover: their outline and box in degrees, their times, and how many they are.

    times: Of the first and the last that is dated; None if none is.
    """

    footprint: dict[str, object]
    box: BBox
    times: Interval
    scenes: int


def covered(session: Session, id_: str) -> Covered:
    """What the scenes of a survey cover."""
    found = [member.scene for member in members(session, id_)]
    dates = sorted(scene.acquired for scene in found if scene.acquired is not None)
    times = (dates[0], dates[-1]) if dates else (None, None)
    return Covered(_outline(found), _box(found), times, len(found))


def box(session: Session, id_: str) -> BBox:
    """The box of a survey in degrees: west, south, east and north; west is larger than east across the date line."""
    return _box([member.scene for member in members(session, id_)])


def _box(every: Sequence[Scene]) -> BBox:
    """The box around scenes that leaves out the widest part of the Earth in which none lies."""
    boxes = sorted(scene.info.bbox for scene in every)
    _, south, _, north = zip(*boxes, strict=True)
    reach, gaps = -math.inf, []  # gaps: how wide each is, where it begins, and where it ends
    for (west, _, east, _), following in zip(boxes, [*boxes[1:], boxes[0]], strict=True):
        reach = max(reach, east + 360 * (east < west))
        gaps.append((following[0] + 360 * (following is boxes[0]) - reach, reach, following[0]))
    width, end, begin = max(gaps)
    around = (begin, end - 360 * (end > 180)) if width > 0 else (-180.0, 180.0)
    return (around[0], min(south), around[1], max(north))


def footprint(session: Session, id_: str) -> dict[str, object]:
    """The outline of all scenes of a survey together, as GeoJSON in WGS 84."""
    return _outline([member.scene for member in members(session, id_)])


def _outline(every: Sequence[Scene]) -> dict[str, object]:
    outlines = [shapely.geometry.shape(scene.info.footprint) for scene in every]
    found: dict[str, object] = shapely.geometry.mapping(shapely.union_all(outlines))
    return found
