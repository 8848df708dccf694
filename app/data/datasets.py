"""Datasets: immutable versions of scenes, labels and a split."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access import usage
from app.core import tenancy
from app.core.errors import Conflict, NotFound, invalid, refuse_any
from app.core.idempotency import IdempotentRequest
from app.core.paging import Page, page
from app.data import numbers, scenes, uses
from app.jobs import lifecycle
from app.requests.data import DatasetRequest
from app.results import PreparedDataset
from app.services import Services
from app.tables import Dataset, DatasetLabels, DatasetScenes, Job, LabelSet, Scene
from ml.data import LabelledScene, SceneFile, TrainingData
from ml.datasets.checks import class_faults, scene_faults, split_faults
from ml.datasets.splits import SPLITS
from ml.faults import Fault
from ml.geo.grid import far_apart
from ml.labels.inspect import LabelReport
from ml.scenes.inspect import SceneInfo

FileOf = Callable[[str], Path]  # path of a file in the store, by its key


def create(services: Services, request: DatasetRequest, once: IdempotentRequest) -> Dataset:
    """Accept a new version of a dataset. Its job rasterises the labels, checks the splits and counts the pixels.

    The request is checked before the transaction that writes, which on SQLite all other writers wait for. A scene that
    is deleted in between makes that transaction fail.
    """
    with services.database.read() as session:
        if earlier := once.answered(session):
            return get(session, earlier)
        _check(session, request)
    with services.database.write() as session:
        version = _next_version(session, request.name)
        id_ = f"{request.name}:{version}"
        if earlier := once.earlier(session, id_):
            return get(session, earlier)
        job = lifecycle.create(session, id_, "dataset")
        dataset = Dataset(
            id=id_,
            name=request.name,
            version=version,
            request=request,
            scenes=list(request.scenes),
            labels=list(request.labels),
            title=request.title,
        )
        session.add(dataset)
        session.flush()
        uses.keep(session, DatasetScenes, id_, request.scenes)
        uses.keep(session, DatasetLabels, id_, request.labels)
        usage.check_jobs(session, services.settings)
    services.queue.notify(job)
    return dataset


def get(session: Session, reference: str) -> Dataset:
    """The dataset "name:version", or the newest version of "name" that has not failed. Raises `NotFound`.

    If all versions have failed, it is the newest of them.
    """
    dataset = session.get(Dataset, reference)
    if dataset is None:
        failed = Job.status.in_(uses.FAILED)
        versions = select(Dataset).join(Job, Job.id == Dataset.id).where(Dataset.name == reference)
        dataset = session.scalar(versions.order_by(failed, Dataset.version.desc()).limit(1))
    if dataset is None:
        raise NotFound("dataset", reference)
    return dataset


def exactly(session: Session, reference: str) -> str:
    """The id of the dataset "name:version". Raises `NotFound`, or `Invalid` for a name without a version."""
    dataset = get(session, reference)
    if dataset.id != reference:
        hint = f"Name the version: {dataset.id} is the newest one."
        raise invalid("version-needed", f"{reference!r} may mean another version tomorrow.", hint, "path:id")
    return dataset.id


def ready(session: Session, reference: str) -> Dataset:
    """The dataset `reference`, prepared. Raises `NotFound`, or `Conflict` if its job has not succeeded."""
    dataset = get(session, reference)
    if dataset.prepared is None:
        status = lifecycle.get(session, dataset.id).reported_status
        detail = f"Dataset {dataset.id!r} is not prepared: its job is {status}. See GET /v1/jobs/{dataset.id}."
        raise Conflict("dataset-not-ready", detail)
    return dataset


def prepared(dataset: Dataset) -> PreparedDataset:
    """The result of the job of a dataset. Raises `ValueError` if the job has not succeeded."""
    if dataset.prepared is None:
        raise ValueError(f"dataset {dataset.id!r} is not prepared")
    return dataset.prepared


def of_request(session: Session, reference: str) -> Dataset:
    """The prepared dataset that a request names in its field `dataset`.

    Raises `Invalid` for an unknown dataset, because the request is wrong then, and `Conflict` if it is not prepared.
    """
    try:
        return ready(session, reference)
    except NotFound as error:
        hint = "Create it first: POST /v1/datasets, or list the datasets: GET /v1/datasets"
        raise invalid("unknown-dataset", error.detail, hint, "/dataset") from error


def find(session: Session, *, limit: int, token: str | None) -> Page[Dataset]:
    """All datasets, newest first."""
    return page(session, select(Dataset), Dataset.created, Dataset.id, limit=limit, token=token)


def training_data(dataset: Dataset, scenes_: Mapping[str, Scene], file: FileOf) -> TrainingData:
    """The files of a prepared dataset. scenes_: its scenes, by id. file: finds the path of a file by its key."""
    found = prepared(dataset)
    return TrainingData(
        contract=found.contract,
        **{name: labelled_scenes(dataset, name, scenes_, file) for name in SPLITS},
        references=tuple(found.references or ()),
        sha256=found.sha256 or "",
    )


def labelled_scenes(
    dataset: Dataset, split: str, scenes_: Mapping[str, Scene], file: FileOf
) -> tuple[LabelledScene, ...]:
    """The scenes of one split of a prepared dataset, with their masks. scenes_, file: as for `training_data`."""
    found = prepared(dataset)

    def labelled(scene_id: str, mask: str) -> LabelledScene:
        scene = scene_file(scenes_[scene_id], file)
        known = scene.model_copy(update={"radiometry": found.radiometry.get(scene_id)})
        return LabelledScene(**dict(known), mask=file(mask))

    return tuple(labelled(*item) for item in found.masks[split].items())


def scene_file(scene: Scene, file: FileOf) -> SceneFile:
    """A scene in the form that `ml` reads. file: finds the path of a file by its key."""
    bands = tuple(band.name for band in scene.info.bands)
    return SceneFile(name=scene.id, path=file(scene.object), nodata=scene.nodata, bands=bands)


def _next_version(session: Session, name: str) -> int:
    # PostgreSQL: transactions that make a version of this name wait here for each other. SQLite has only one writer.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"dataset {tenancy.whole(name)}"))))
    largest = select(func.max(Dataset.version)).where(Dataset.name == name).scalar_subquery()
    return numbers.newest(session, "dataset", name, largest) + 1


def _check(session: Session, request: DatasetRequest) -> None:
    """Raise `Invalid` with all faults that can be found before a pixel is read."""
    found_scenes = scenes.by_id(session, request.scenes)
    found_labels = {row.id: row for row in session.scalars(select(LabelSet).where(LabelSet.id.in_(request.labels)))}
    infos = {name: found_scenes[name].info for name in request.scenes if name in found_scenes}
    faults = chain(
        _unknown("scenes", request.scenes, found_scenes),
        _unknown("labels", request.labels, found_labels),
        class_faults(request.classes),
        split_faults(request.split, request.scenes),
        scene_faults(request.scenes, infos),
        _overlap_faults(request.scenes, infos, [layer.report for layer in found_labels.values()]),
    )
    refuse_any("invalid-dataset", faults)


def _unknown(kind: str, names: Sequence[str], found: Container[str]) -> Iterator[Fault]:
    for index, name in enumerate(names):
        if name not in found:
            hint = f"Upload it first: PUT /v1/{kind}/{name}"
            yield Fault(f"unknown_{kind}", f"There are no {kind} {name!r}.", hint, f"/{kind}/{index}")


def _overlap_faults(
    names: Sequence[str], infos: Mapping[str, SceneInfo], layers: Sequence[LabelReport]
) -> Iterator[Fault]:
    """The fault `no_overlap`, where bounding boxes already show what the job would find pixel by pixel."""
    for number, name in enumerate(names):
        box = infos[name].bbox if name in infos else None
        if box and layers and all(far_apart(box, layer.bbox) for layer in layers):
            west, south, east, north = box
            yield Fault(
                "no_overlap",
                f"No label layer touches scene {name!r}: it spans longitudes {west:.5f} to {east:.5f} "
                f"and latitudes {south:.5f} to {north:.5f}.",
                "Check the CRS of the labels (?crs= declares it at upload), add labels for it, or leave the scene out.",
                f"/scenes/{number}",
            )
