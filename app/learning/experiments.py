"""Experiments: each variant is trained once with each seed, and the trainings are compared when all have ended."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select, type_coerce
from sqlalchemy.orm import Session

from app.access import usage
from app.core.columns import PydanticJSON
from app.core.errors import NotReady, refuse_any
from app.core.idempotency import IdempotentRequest
from app.core.names import new_id
from app.core.paging import Page, page
from app.core.rows import getter
from app.jobs import lifecycle
from app.learning import trainings
from app.requests.learning import ExperimentRequest
from app.services import Services
from app.tables import Experiment, Job, Training
from ml.evaluation.comparison import Comparison
from ml.evaluation.metrics import Metrics
from ml.evaluation.plan import plan_faults

get = getter(Experiment, "experiment")


def create(services: Services, request: ExperimentRequest, once: IdempotentRequest) -> Experiment:
    """Accept an experiment: one job for each training, and one job that compares them at the end."""
    id_ = new_id("exp")
    with services.database.write() as session:
        if earlier := once.earlier(session, id_):
            return get(session, earlier)
        dataset = trainings.trainable(session, request.dataset)
        classes = len(dataset.request.classes)
        refuse_any("invalid-experiment", plan_faults(request, classes))
        runs = request.trainings(classes)
        trainings.check_configs(session, dataset, [run.config for run in runs])
        lifecycle.create(session, id_, "experiment", total=len(runs) + 1)
        experiment = Experiment(id=id_, dataset=dataset.id, request=request, title=request.title)
        session.add(experiment)
        waiting = [
            trainings.add(
                session, dataset, run.config, register_as=request.register_as or "", experiment=id_, variant=run.variant
            )
            for run in runs
        ]
        usage.check_jobs(session, services.settings)
    for job in waiting:
        services.queue.notify(job)
    return experiment


def find(session: Session, *, limit: int, token: str | None) -> Page[Experiment]:
    """All experiments, newest first."""
    return page(session, select(Experiment), Experiment.created, Experiment.id, limit=limit, token=token)


def comparison(session: Session, id_: str) -> Comparison:
    """The comparison of an experiment. Raises `NotReady` before all its trainings have ended."""
    row = get(session, id_)
    if row.comparison is None:
        raise NotReady("result-not-ready", f"The trainings of experiment {row.id!r} have not all ended.")
    return row.comparison


def runs(session: Session, id_: str) -> Sequence[Training]:
    """The trainings of an experiment, in the order in which they were planned."""
    wanted = select(Training).where(Training.experiment == id_).order_by(Training.created, Training.id)
    return session.scalars(wanted).all()


@dataclass(frozen=True)
class TrainingSummary:
    """One training in the document of its experiment. `val` and `test` are None until the training has succeeded."""

    training: str
    variant: str | None
    seed: int
    status: str
    val: Metrics | None
    test: Metrics | None


def summaries(session: Session, ids: Iterable[str]) -> dict[str, list[TrainingSummary]]:
    """The trainings of several experiments, by the experiment's id, each list in the order in which it was planned."""
    found: dict[str, list[TrainingSummary]] = {id_: [] for id_ in ids}
    # only the metrics are read: a whole header is fifty times as large
    val, test = (type_coerce(Training.header[split], PydanticJSON(Metrics)) for split in ("val", "test"))
    columns = (Training.config["seed"].as_integer(), Job.reported_status, val, test)
    wanted = select(Training.experiment, Training.id, Training.variant, *columns).join(Job, Job.id == Training.id)
    wanted = wanted.where(Training.experiment.in_(found)).order_by(Training.created, Training.id)
    for experiment, *values in session.execute(wanted):
        found[experiment].append(TrainingSummary(*values))
    return found
