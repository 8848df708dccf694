"""Predictions: one scene mapped by one model version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from app.access import usage
from app.core.errors import Invalid, NotFound, NotReady, invalid, refuse_any
from app.core.idempotency import IdempotentRequest
from app.core.names import new_id
from app.core.paging import Page, page
from app.core.rows import getter
from app.data import scenes
from app.jobs import lifecycle
from app.learning import registry, sharing
from app.mapping import parts
from app.requests.data import DatasetRequest
from app.requests.mapping import PredictionRequest
from app.results import MappedAreas
from app.services import Services
from app.storage import Stored
from app.tables import Dataset, Job, ModelVersion, Prediction, Scene
from ml.config import THRESHOLD, PredictConfig
from ml.contract import ClassDef, Contract
from ml.datasets.splits import SPLITS
from ml.evaluation.area import adjusted_area, caution, why_not_adjusted
from ml.evaluation.metrics import BLOCK_PX
from ml.faults import Fault, Note
from ml.geo.areas import HECTARE_M2
from ml.products.write import FILES
from ml.provenance import scored_in
from ml.scenes.applicability import Level
from ml.scenes.compatibility import contract_faults, order_notes, radiometry_notes
from ml.scenes.inspect import SceneInfo

MU_PER_HA = 15.0
FEW_SCENES = 500
USES = {  # of a scene, by the split that it is in
    "train": "The model was trained on this scene.",
    "val": "The model was validated on this scene.",
    "test": "The model was scored on this scene.",
    "block": "The model was trained and scored on blocks of this scene.",
}
KNOWN_HINT = (
    "Its map may be better than those of other scenes, and the errors on the test split, by which the hectares are "
    "adjusted, may not be its own."
)
PRODUCTS = tuple(name for names in FILES.values() for name in names)
_HINTS = {
    "web.tif": (
        Fault("no_tiles", "The prediction has no map tiles.", 'Predict again with "tiles" in config.outputs.'),
    ),
    "uncertainty-web.tif": (
        Fault(
            "no_tiles",
            "The prediction has no map tiles of its uncertainty.",
            'Predict again with "tiles" and "uncertainty" in config.outputs.',
        ),
    ),
}
NOT_SCORED = "The model was not scored on a test split."
get = getter(Prediction, "prediction")


@dataclass(frozen=True)
class Areas:
    """The areas of one class in a scene, or in one zone of it, in hectares, and `mapped_mu` in mu.

    zone, name, parent: Code and name of the zone, and the code of what it is a part of; None for a whole scene.
    overlap_ha: How much of the zone lies in other zones too; None for a whole scene. mapped_ha: None if nothing of the
    zone was observed. adjusted_ha, ci95_ha: None if they cannot be estimated. why: The reason for what is None, or else
    what the interval does not know, if there is such a thing. applicability, outside_share, outside_ha: Whether the
    scene is like the training of the model, and how much of the observed area is not; None if it is not known.
    """

    class_name: str
    observed_ha: float
    unobserved_ha: float
    mapped_ha: float | None
    mapped_mu: float | None
    adjusted_ha: float | None
    ci95_ha: tuple[float, float] | None
    why: str | None
    applicability: Level | None
    outside_share: float | None
    outside_ha: float | None
    zone: str | None = None
    name: str | None = None
    parent: str | None = None
    overlap_ha: float | None = None

    @classmethod
    def mapped(
        cls, class_name: str, mapped_ha: float | None, observed_ha: float, unobserved_ha: float, why: str, **more: Any
    ) -> "Areas":
        """Areas as counted on a map, of which no estimate is made. why: The reason. more: Fields that are not None."""
        nothing = dict.fromkeys(("adjusted_ha", "ci95_ha", "applicability", "outside_share", "outside_ha"))
        return cls(
            **nothing | more,
            class_name=class_name,
            observed_ha=observed_ha,
            unobserved_ha=unobserved_ha,
            mapped_ha=mapped_ha,
            mapped_mu=None if mapped_ha is None else MU_PER_HA * mapped_ha,
            why=why,
        )


def create(services: Services, request: PredictionRequest, once: IdempotentRequest) -> Prediction:
    """Accept a prediction. Raises `Invalid` with all faults if the scene does not satisfy the contract of the model."""
    id_ = new_id("prd")
    with services.database.read() as session:
        if before := once.answered(session):
            return get(session, before)
    request = request.model_copy(update={"model": own_model(services, request.model)})
    with services.database.write() as session:
        if earlier := once.earlier(session, id_):
            return get(session, earlier)
        scene, model = _scene_and_model(session, request)
        faults = [fault.at("/scene") for fault in contract_faults(scene.info, model.contract)]
        refuse_any("contract-mismatch", [*faults, *request.config.class_faults(len(model.contract.classes))])
        _check_parts(request.parts, scene.info.rows)
        total, needs_gpu = request.parts + 1 if request.parts > 1 else 0, request.config.needs_gpu
        waiting = [lifecycle.create(session, id_, "prediction", total=total, needs_gpu=needs_gpu)]
        prediction = row_of(id_, scene, model, request.config)
        prediction.title = request.title
        session.add(prediction)
        if request.parts > 1:
            session.flush()
            waiting = parts.add(session, id_, scene.info.rows, request.parts)
        usage.take_pixels(session, services.settings, scene.info.rows * scene.info.cols)
        usage.check_jobs(session, services.settings)
    for job in waiting:
        services.queue.notify(job)
    return prediction


def row_of(id_: str, scene: Scene, model: ModelVersion, config: PredictConfig) -> Prediction:
    """The row of a new prediction. id_: Also that of its job."""
    return Prediction(id=id_, scene=scene.id, model=model.name, version=model.version, config=config)


def find(
    session: Session,
    which: scenes.Selection = scenes.EVERYTHING,
    *,
    status: str | None = None,
    limit: int,
    token: str | None,
) -> Page[Prediction]:
    """Predictions of scenes that touch a box and were acquired in a time, by job status and id, newest first."""
    filters, ids = tuple(scenes.filters(which.bbox, which.between)), which.ids
    of_scenes = [_of_scenes(session, filters)] if filters else []
    if status is None:
        wanted = select(Prediction).where(*of_scenes, *(() if ids is None else (Prediction.id.in_(ids),)))
        return page(session, wanted, Prediction.created, Prediction.id, limit=limit, token=token)
    # first a page of the jobs, which have an index by status, and then the predictions of these jobs
    jobs_wanted = select(Job).where(Job.kind == "prediction", Job.reported_status == status)
    if ids is not None:
        jobs_wanted = jobs_wanted.where(Job.id.in_(ids))
    if of_scenes:
        jobs_wanted = jobs_wanted.join(Prediction, Prediction.id == Job.id).where(*of_scenes)
    found = page(session, jobs_wanted, Job.created, Job.id, limit=limit, token=token)
    return Page(_of_jobs(session, found.rows), found.next)


def _of_jobs(session: Session, rows: Sequence[Job]) -> list[Prediction]:
    found = session.scalars(select(Prediction).where(Prediction.id.in_([job.id for job in rows])))
    by_id = {row.id: row for row in found}
    return [by_id[job.id] for job in rows if job.id in by_id]


def _of_scenes(session: Session, filters: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    """SQL condition: the scene of a prediction passes the filters.

    A database cannot estimate how many scenes touch a box, so it chooses badly between scanning the newest predictions
    and starting from the scenes. Up to FEW_SCENES scenes are therefore listed by their ids.
    """
    of_scenes = select(Scene.id).where(*filters)
    few = session.scalars(of_scenes.limit(FEW_SCENES + 1)).all()
    return Prediction.scene.in_(few if len(few) <= FEW_SCENES else of_scenes)


def stored(services: Services, id_: str, name: str) -> Stored:
    """The record of a product in the store: its key, size and sha256.

    Raises `NotReady` before it exists, and `NotFound` if it was not requested.
    """
    with services.database.read() as session:
        prediction = get(session, id_)
        products, _ = _result(session, prediction)
    if name not in products:
        raise NotFound("product", f"{id_}/{name}", *_HINTS.get(name, ()))
    return products[name]


def contracts(session: Session, rows: Sequence[Prediction]) -> dict[str, Contract]:
    """The contract of the model of each prediction, by the id of the prediction."""
    wanted = {(row.model, row.version) for row in rows}
    versions = select(ModelVersion).where(tuple_(ModelVersion.name, ModelVersion.version).in_(wanted))
    found = {(version.name, version.version): version.contract for version in session.scalars(versions)}
    return {row.id: found[row.model, row.version] for row in rows}


def familiar(session: Session, rows: Sequence[Prediction]) -> dict[str, tuple[Note, ...]]:
    """A note for each prediction whose scene its model knew already, by the id of the prediction."""
    made_of = select(ModelVersion.name, ModelVersion.version, Dataset.request).join(
        Dataset, Dataset.id == ModelVersion.dataset
    )
    models = {(row.model, row.version) for row in rows}
    wanted = made_of.where(tuple_(ModelVersion.name, ModelVersion.version).in_(models))
    known = {(name, version): request for name, version, request in session.execute(wanted)}
    return {row.id: _familiar(row.scene, known.get((row.model, row.version))) for row in rows}


def _familiar(scene: str, dataset: DatasetRequest | None) -> tuple[Note, ...]:
    if dataset is None or scene not in dataset.scenes:
        return ()
    split = dataset.split
    uses = ["block"] if split.by == "block" else [name for name in SPLITS if scene in getattr(split, name)]
    return tuple(Note(code="known_scene", detail=USES[use], hint=KNOWN_HINT) for use in uses)


def warnings(
    prediction: Prediction, scene: SceneInfo, contract: Contract, known: tuple[Note, ...] = ()
) -> tuple[Note, ...]:
    """How the scene of a prediction is unlike the training of its model; after its job, also by all its pixels.

    known: What `familiar` says of the prediction.
    """
    outside = prediction.areas.applicability.notes() if prediction.areas else ()
    return (*order_notes(scene, contract), *radiometry_notes(scene, contract), *known, *outside)


def areas(session: Session, prediction: Prediction) -> list[Areas]:
    """The areas of the second of two classes, or of each of more classes.

    They are given as mapped, and as adjusted for the errors of the model on its test split.
    """
    _, found = _result(session, prediction)
    model = registry.get(session, prediction.model, str(prediction.version))
    classes = told(model.contract.classes)
    like = found.applicability
    outside_ha = None if like.outside_share is None else like.outside_share * found.observed_ha
    rows = []
    for item in classes:
        index = model.contract.classes.index(item)
        estimate, interval, why = _adjusted(model, prediction.config, found, index, prediction.software or {})
        mapped_ha = found.area_ha.get(item.value, 0.0)
        row = Areas(
            class_name=item.name,
            observed_ha=found.observed_ha,
            unobserved_ha=found.unobserved_ha,
            mapped_ha=mapped_ha,
            mapped_mu=MU_PER_HA * mapped_ha,
            adjusted_ha=estimate,
            ci95_ha=interval,
            why=why,
            applicability=like.level,
            outside_share=like.outside_share,
            outside_ha=outside_ha,
        )
        rows.append(row)
    return rows


def told(classes: tuple[ClassDef, ...]) -> tuple[ClassDef, ...]:
    """The classes of which areas are told: the second of two, or each of more."""
    return classes[1:] if len(classes) == 2 else classes


def products_of(session: Session, prediction: Prediction) -> Mapping[str, Stored]:
    """The files of a prediction, by their names. Raises `NotReady` before its job has succeeded."""
    return _result(session, prediction)[0]


def _adjusted(
    model: ModelVersion, config: PredictConfig, found: MappedAreas, index: int, made_by: dict[str, str]
) -> tuple[float | None, tuple[float, float] | None, str | None]:
    """The adjusted area of the class with this index and its interval, and why there are none, or what they don't know.

    config, made_by: Those of the map.
    """
    test = model.metrics.test
    if test is None:
        return None, None, NOT_SCORED
    if why := counted_otherwise(model, config):
        return None, None, why
    if found.applicability.level == "outside":
        why = "Most of the scene is unlike the training, so the errors of the test split say nothing about its map."
        return None, None, why
    mapped = {number: found.area_ha.get(item.value, 0.0) for number, item in enumerate(model.contract.classes)}
    scenes = model.details["test"].confusions_by_scene if model.details and "test" in model.details else ()
    blocks = found.observed_ha * HECTARE_M2 / (BLOCK_PX * model.contract.gsd) ** 2
    adjusted = adjusted_area(mapped, test.confusion, scenes, mapped_blocks=blocks, value=index)
    if adjusted is None:
        return None, None, why_not_adjusted(mapped, test.confusion, scenes, value=index)
    return *adjusted, caution(scenes) or _rounded_otherwise(model, made_by)


def _rounded_otherwise(model: ModelVersion, made_by: dict[str, str]) -> str | None:
    """A sentence if the net that mapped was computed in another precision than when its errors were counted."""
    scored, mapped = scored_in(model.versions)[0], made_by.get("precision")
    if mapped in (None, scored) or scored == "unknown":
        return None
    return f"The errors of the test split were counted in {scored}, and the map was computed in {mapped}."


def counted_otherwise(model: ModelVersion, config: PredictConfig) -> str | None:
    """Why the errors of the test split are not those of a map with this config; None if they are."""
    threshold, views, scored = config.threshold, config.views, model.config.views
    if threshold != THRESHOLD:
        return f"The errors of the test split were counted at threshold {THRESHOLD:g}, and the map has {threshold:g}."
    if views not in (None, scored):
        return f"The errors of the test split were counted with views {scored}, and the map has views {views}."
    return None


def _result(session: Session, prediction: Prediction) -> tuple[Mapping[str, Stored], MappedAreas]:
    """The products and areas of a prediction. Raises `NotReady` before its job has succeeded."""
    if prediction.products is None or prediction.areas is None:
        status = lifecycle.get(session, prediction.id).reported_status
        raise NotReady("result-not-ready", f"Prediction {prediction.id!r} has no result: its job is {status}.")
    return prediction.products, prediction.areas


def _check_parts(count: int, rows: int) -> None:
    most = max(1, rows // parts.MIN_ROWS)
    if count > most:
        detail = f"{count} parts of a scene of {rows} rows would have fewer than {parts.MIN_ROWS} rows each."
        raise invalid("too-many-parts", detail, f"Ask for {most} at most; one for each worker is enough.", "/parts")


def own_model(services: Services, reference: str) -> str:
    """The reference to a model of the tenant, to which one of another tenant is copied. Raises `Invalid`."""
    try:
        return sharing.own(services, reference)
    except NotFound as error:
        raise unknown_model(error) from error


def unknown_model(error: NotFound) -> Invalid:
    """The error for a body that names a model that is not there."""
    return invalid("unknown-model", error.detail, "GET /v1/models lists the models.", "/model")


def _scene_and_model(session: Session, request: PredictionRequest) -> tuple[Scene, ModelVersion]:
    faults: list[Invalid] = []
    scene = model = None
    try:
        scene = scenes.get(session, request.scene)
    except NotFound as error:
        faults.append(invalid("unknown-scene", error.detail, "Upload it first: PUT /v1/scenes/NAME", "/scene"))
    try:
        model = registry.resolve(session, request.model)
    except NotFound as error:
        faults.append(unknown_model(error))
    if scene is None or model is None:
        raise Invalid(faults[0].code, *(fault for each in faults for fault in each.faults))
    return scene, model
