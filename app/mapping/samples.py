"""Samples: points of a map that are drawn by chance, labelled by people, and estimated from."""

from collections.abc import Iterator, Sequence

import numpy as np
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.access import usage
from app.core.errors import Conflict, NotFound, NotReady, refuse_any
from app.core.idempotency import IdempotentRequest
from app.core.names import new_id
from app.core.paging import Page, page
from app.core.rows import getter
from app.data import scenes
from app.jobs import lifecycle
from app.learning import registry
from app.mapping import predictions, sampled_maps
from app.mapping.sampled_maps import SampledMap
from app.requests.mapping import SampleRequest
from app.services import Services
from app.tables import Dataset, Sample, SampleAnswer, Survey, ZoneSet
from ml.faults import Fault
from ml.geo.grid import far_apart
from ml.sampling.design import Design, DrawnSample, SamplePoint
from ml.sampling.plan import ErrorRates

_OF_STRATA = {"strata", "allocation", "min_per_stratum"}
_OF_CLUSTERS = {"cluster_px", "per_cluster"}
get = getter(Sample, "sample")


def create(services: Services, request: SampleRequest, once: IdempotentRequest) -> Sample:
    """Accept a sample of the map of a prediction or survey. Its job draws the points.

    Raises `Invalid` with all faults, and `Conflict` if the map is not there yet.
    """
    id_ = new_id("smp")
    with services.database.read() as session:
        if before := once.answered(session):
            return get(session, before)
        _check(session, request)
    with services.database.write() as session:
        if earlier := once.earlier(session, id_):
            return get(session, earlier)
        map_ = _check(session, request)
        job = lifecycle.create(session, id_, "sample")
        of_map = sampled_maps.columns(map_)
        sample = Sample(id=id_, zones=request.zones, design=request.design, title=request.title, **of_map)
        session.add(sample)
        session.flush()
        usage.check_jobs(session, services.settings)
    services.queue.notify(job)
    return sample


def _check(session: Session, request: SampleRequest) -> SampledMap:
    refuse_any("invalid-sample", _faults(session, request))
    map_ = sampled_maps.get(session, request.map)
    if map_.products is None:
        status = lifecycle.get(session, map_.id).reported_status
        if isinstance(map_.row, Survey):
            raise Conflict("map-not-ready", f"Survey {map_.id!r} has no mosaic: its job is {status}.")
        raise Conflict("map-not-ready", f"Prediction {map_.id!r} has no map: its job is {status}.")
    return map_


def _faults(session: Session, request: SampleRequest) -> Iterator[Fault]:
    yield from _map_faults(session, request)
    yield from _zone_faults(session, request)
    if (request.design.n is None) == (request.design.target_cv is None):
        detail = "Either n or target_cv says how large the sample is, and not both."
        hint = 'Write, for instance, {"n": 400}; or {"target_cv": 0.05} for a standard error of 5 % of the area.'
        yield Fault("size_of_sample", detail, hint, "/design")
    if request.design.kind != "stratified":
        for name in sorted(_OF_STRATA & request.design.model_fields_set):
            hint = 'Leave it out, or ask for {"kind": "stratified"}.'
            yield Fault("not_stratified", f"{name} is for stratified samples alone.", hint, f"/design/{name}")
    yield from _cluster_faults(request.design)


def _zone_faults(session: Session, request: SampleRequest) -> Iterator[Fault]:
    by_zone = request.design.kind == "stratified" and request.design.strata == "class_x_zone"
    if request.zones is None:
        if by_zone:
            hint = 'Say zones, the id of a zone set, or take the strata "class".'
            yield Fault("no_zones", "Strata by zone need a zone set.", hint, "/zones")
        return
    if not by_zone:
        hint = 'Ask for {"kind": "stratified", "strata": "class_x_zone"}. Estimates by zone need no zones here.'
        yield Fault("not_by_zone", "Zones are for strata by zone alone.", hint, "/zones")
    if session.get(ZoneSet, request.zones) is None:
        yield Fault(
            "unknown_zones", f"There is no zone set {request.zones!r}.", "GET /v1/zones lists the zones.", "/zones"
        )


def _cluster_faults(design: Design) -> Iterator[Fault]:
    if design.kind != "cluster":
        for name in sorted(_OF_CLUSTERS & design.model_fields_set):
            hint = 'Leave it out, or ask for {"kind": "cluster"}.'
            yield Fault("not_clustered", f"{name} is for samples of clusters alone.", hint, f"/design/{name}")
        return
    if design.target_cv is not None:
        hint = "Say n: how much the points of a cluster are alike is not known before they are labelled."
        yield Fault(
            "size_of_clusters", "A target cannot tell the size of a sample of clusters.", hint, "/design/target_cv"
        )
    if design.per_cluster > design.cluster_px**2:
        detail = f"A cluster of {design.cluster_px} x {design.cluster_px} pixels has no {design.per_cluster} places."
        yield Fault(
            "size_of_clusters", detail, "Ask for fewer points in each, or larger clusters.", "/design/per_cluster"
        )


def _map_faults(session: Session, request: SampleRequest) -> Iterator[Fault]:
    try:
        map_ = sampled_maps.get(session, request.map)
    except NotFound as error:
        hint = "GET /v1/predictions and GET /v1/surveys list the maps."
        yield Fault("unknown_map", error.detail, hint, "/map")
        return
    if "classes" not in map_.config.outputs:
        hint = 'Predict again with "classes" in config.outputs.'
        yield Fault("no_classes", "The prediction has no class map, from which the points are drawn.", hint, "/map")
    if request.design.strata == "probability" and isinstance(map_.row, Survey):
        hint = 'Take the strata "class".'
        yield Fault("no_probability", "A mosaic has no probability.", hint, "/design/strata")
    elif request.design.strata == "probability" and "probability" not in map_.config.outputs:
        hint = 'Predict again with "probability" in config.outputs, or take the strata "class".'
        yield Fault("no_probability", "The prediction has not kept its probability.", hint, "/design/strata")


def find(session: Session, *, limit: int, token: str | None) -> Page[Sample]:
    """All samples, newest first."""
    return page(session, select(Sample), Sample.created, Sample.id, limit=limit, token=token)


def newest_answered(session: Session, map_: str) -> Sample | None:
    """The newest sample of the map of a prediction or survey that has answers. map_: Id of that."""
    has_answer = select(SampleAnswer.id).where(SampleAnswer.sample == Sample.id).exists()
    of_map = or_(Sample.prediction == map_, Sample.survey == map_)
    return session.scalar(select(Sample).where(of_map, has_answer).order_by(Sample.created.desc(), Sample.id).limit(1))


def result(session: Session, sample: Sample) -> tuple[DrawnSample, Sequence[SamplePoint]]:
    """A sample with its points. Raises `NotReady` before its job has succeeded."""
    if sample.drawn is None or sample.points is None:
        status = lifecycle.get(session, sample.id).reported_status
        raise NotReady("result-not-ready", f"Sample {sample.id!r} has no points: its job is {status}.")
    return sample.drawn, sample.points


def error_rates(session: Session, map_: SampledMap) -> ErrorRates:
    """The errors of the model of a map on its test split, or why these are not those of the map."""
    model = registry.get(session, map_.row.model, str(map_.row.version))
    test = model.metrics.test
    if test is None:
        return ErrorRates(why=predictions.NOT_SCORED)
    if why := predictions.counted_otherwise(model, map_.config):
        return ErrorRates(why=why)
    return ErrorRates(np.asarray(test.confusion, dtype=np.int64))


def training_masks(session: Session, map_: SampledMap) -> list[str] | None:
    """The keys of the masks by which the model learnt, or its epoch was chosen, near the scenes of a map.

    None if that is not known: the model was imported, or its dataset is not there any more.
    """
    version = registry.get(session, map_.row.model, str(map_.row.version))
    dataset = session.get(Dataset, version.dataset) if version.training and version.dataset else None
    if dataset is None or dataset.prepared is None:
        return None
    here = [scene.info.bbox for scene in sampled_maps.scenes_of(session, map_)]
    boxes = {name: row.info.bbox for name, row in scenes.by_id(session, dataset.scenes).items()}
    masks = (dataset.prepared.masks.get(split, {}) for split in ("train", "val"))
    return [
        key for split in masks for name, key in split.items() if not all(far_apart(box, boxes[name]) for box in here)
    ]
