"""Evaluations: a registered version is scored on one split of a dataset, that of its training or any other."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.access import usage
from app.core.errors import refuse_any
from app.core.idempotency import IdempotentRequest
from app.core.names import new_id
from app.core.paging import Page, page
from app.core.rows import getter
from app.data import datasets, scenes
from app.jobs import lifecycle
from app.learning import registry, sharing
from app.requests.learning import EvaluationRequest
from app.services import Services
from app.tables import Dataset, Evaluation, Job, ModelVersion
from ml.evaluation.metrics import Metrics
from ml.faults import Fault
from ml.provenance import scored_in
from ml.scenes.compatibility import contract_faults
from ml.text import alike

COMPARED_IN = "float32"  # the precision in which every worker scores; see `ml.nn.precision`
get = getter(Evaluation, "evaluation")


def create(
    services: Services, name: str, which: str, request: EvaluationRequest, once: IdempotentRequest
) -> Evaluation:
    """Accept an evaluation of the version `which` of the model `name`, which may be one of another tenant.

    Raises `Invalid` with all faults if the dataset does not fit the version.
    """
    id_ = new_id("evl")
    with services.database.read() as session:
        if before := once.answered(session):
            return get(session, before)
    reference = sharing.own(services, f"{name}@{which.removeprefix('@')}")
    with services.database.write() as session:
        if earlier := once.earlier(session, id_):
            return get(session, earlier)
        version = registry.resolve(session, reference)
        dataset = datasets.of_request(session, request.dataset)
        refuse_any("contract-mismatch", faults(session, version, dataset, request.split))
        job = add(session, version, dataset, request.split, id_=id_)
        evaluation = get(session, id_)
        evaluation.title = request.title
        usage.check_jobs(session, services.settings)
    services.queue.notify(job)
    return evaluation


def add(session: Session, version: ModelVersion, dataset: Dataset, split: str, *, id_: str | None = None) -> Job:
    """Add an evaluation and its job; returns the job. After the commit the caller notifies the queue of the job."""
    id_ = id_ or new_id("evl")
    job = lifecycle.create(session, id_, "evaluation")
    session.add(Evaluation(id=id_, model=version.name, version=version.version, dataset=dataset.id, split=split))
    session.flush()
    return job


def find(session: Session, name: str, version: int, *, limit: int, token: str | None) -> Page[Evaluation]:
    """A page of the evaluations of a version of the model `name`, newest first."""
    wanted = select(Evaluation).where(Evaluation.model == name, Evaluation.version == version)
    return page(session, wanted, Evaluation.created, Evaluation.id, limit=limit, token=token)


@dataclass(frozen=True)
class Score:
    """The metrics of a version on a split. device: What computed them, which decides how they are rounded."""

    metrics: Metrics
    device: str


def known(session: Session, version: ModelVersion, dataset: str, split: str) -> Score | None:
    """The score of a version on a split, from its own training or from an evaluation. None if it was never scored.

    The metrics in an imported bundle are not used, because it was not trained by this service. Nor are those that an
    older worker has computed in another precision: they cannot be compared with others.
    """
    if version.training and version.dataset == dataset:
        of_training = _comparable(version.metrics.of(split), version.versions)
        if of_training:
            return of_training
    of_split = (Evaluation.dataset == dataset, Evaluation.split == split)
    wanted = (
        select(Evaluation)
        .join(Job, Job.id == Evaluation.id)
        .where(Evaluation.model == version.name, Evaluation.version == version.version, *of_split)
        .where(Job.status == "successful")
        .order_by(Evaluation.created.desc(), Evaluation.id.desc())
    )
    scores = (_comparable(row.metrics, row.software or {}) for row in session.scalars(wanted))
    return next((score for score in scores if score), None)


def _comparable(metrics: Metrics | None, made_by: dict[str, str]) -> Score | None:
    precision, device = scored_in(made_by)
    return Score(metrics, device) if metrics is not None and precision == COMPARED_IN else None


def faults(session: Session, version: ModelVersion, dataset: Dataset, split: str) -> tuple[Fault, ...]:
    """The reasons why a version cannot be scored on a split of a prepared dataset; empty if it can."""
    return tuple(dict.fromkeys(_faults(session, version, dataset, split)))


def _faults(session: Session, version: ModelVersion, dataset: Dataset, split: str) -> Iterator[Fault]:
    contract = version.contract
    names = datasets.prepared(dataset).masks[split]
    if not names:
        hint = "Name another split, or make a version of the dataset with scenes in this split."
        yield Fault("empty_split", f"The split {split!r} of {dataset.id!r} has no scene.", hint, "/split")
    for name in names:
        for fault in contract_faults(scenes.get(session, name).info, contract):
            yield fault.at("/dataset")
    of_model = [(item.value, item.name) for item in contract.classes]
    of_dataset = [(item.value, item.name) for item in dataset.request.classes]
    if [(value, alike(name)) for value, name in of_model] != [(value, alike(name)) for value, name in of_dataset]:
        detail = f"The dataset has the classes {_listed(of_dataset)}; the model was trained on {_listed(of_model)}."
        yield Fault("classes_differ", detail, "Use a dataset with the same classes in the same order.", "/dataset")


def _listed(classes: list[tuple[int, str]]) -> str:
    return ", ".join(f"{value} {name}" for value, name in classes)
