"""What needs what: one table of the references between all resources.

A resource that another one needs can only be deleted together with it. What belongs to a resource goes with it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.data.uses import FAILED
from app.tables import (
    Alias,
    Dataset,
    DatasetLabels,
    DatasetScenes,
    Evaluation,
    Experiment,
    Job,
    LabelSet,
    ModelVersion,
    Prediction,
    Sample,
    Scene,
    Schedule,
    ScheduleRun,
    Survey,
    SurveyScene,
    Training,
    ZoneSet,
)

Id = TypeVar("Id")
IDS = 500  # of rows, in one statement: databases limit the number of parameters
Row = (
    Scene | LabelSet | ZoneSet | Dataset | Training | Experiment | Evaluation | Prediction | Survey | Sample | Schedule
)
TABLES: dict[str, type[Row]] = {
    "scene": Scene,
    "labels": LabelSet,
    "zones": ZoneSet,
    "dataset": Dataset,
    "training": Training,
    "experiment": Experiment,
    "evaluation": Evaluation,
    "prediction": Prediction,
    "survey": Survey,
    "sample": Sample,
    "schedule": Schedule,
}
WITH_JOBS = ("dataset", "training", "experiment", "evaluation", "prediction", "survey", "sample")
_PATHS = {
    "labels": "labels/{}",
    "zones": "zones/{}",
    "version": "models/{}/versions/{}",
    "alias": "models/{}/aliases/{}",
    "run": "schedules/{}/runs/{}",
}


@dataclass(frozen=True)
class Thing:
    """A resource. id: Of a version it is like "cane:1", of an alias "cane@champion", of a schedule's run "s/run_1"."""

    kind: str
    id: str

    def __str__(self) -> str:
        """Like "training 'trn_1'"."""
        return f"{'model' if self.kind == 'version' else self.kind} {self.id!r}"

    @property
    def href(self) -> str:
        """Its path in the API."""
        separators = {"version": ":", "alias": "@", "run": "/"}
        parts = self.id.rsplit(separators[self.kind], 1) if self.kind in separators else [self.id]
        return "/v1/" + _PATHS.get(self.kind, f"{self.kind}s/{{}}").format(*parts)


Find = Callable[[Session, Sequence[str]], Iterable[str]]


@dataclass(frozen=True)
class Reference:
    """The resources of one kind that need some of another kind.

    needed, by: The two kinds. find: Returns the ids of those of the kind `by` that need one of the given ids.
    """

    needed: str
    by: str
    find: Find


def batches(ids: Sequence[Id]) -> Iterator[Sequence[Id]]:
    """`ids` in pieces of at most `IDS`."""
    return (ids[start : start + IDS] for start in range(0, len(ids), IDS))


def versions_in(ids: Iterable[str]) -> list[tuple[str, int]]:
    """The names and numbers of the model versions with these ids."""
    return [(name, int(number)) for name, _, number in (id_.rpartition(":") for id_ in ids)]


def _by(
    found: InstrumentedAttribute[str], column: InstrumentedAttribute[Any], *conditions: ColumnElement[bool]
) -> Find:
    """Find the rows whose `column` is one of the ids. found: The column with the id of such a row."""

    def find(session: Session, ids: Sequence[str]) -> Iterator[str]:
        for some in batches(ids):
            yield from session.scalars(select(found).where(column.in_(some), *conditions).order_by(found))

    return find


def _of_versions(table: type[Evaluation | Prediction | Survey]) -> Find:
    """Find the rows that name one of the model versions."""

    def find(session: Session, ids: Sequence[str]) -> Iterator[str]:
        for some in batches(versions_in(ids)):
            named = tuple_(table.model, table.version).in_(some)
            yield from session.scalars(select(table.id).where(named).order_by(table.id))

    return find


def _datasets_with(table: type[DatasetScenes | DatasetLabels]) -> Find:
    """Find the datasets that use one of the scenes or labels. A dataset that has failed needs nothing any more."""
    failed = select(Job.id).where(Job.id == table.dataset, Job.status.in_(FAILED)).exists()
    return _by(table.dataset, table.used, ~failed)


def _versions_of_trainings(session: Session, ids: Sequence[str]) -> Iterator[str]:
    for some in batches(ids):
        wanted = select(ModelVersion.name, ModelVersion.version).where(ModelVersion.training.in_(some))
        yield from (f"{name}:{number}" for name, number in session.execute(wanted))


def _trainings_from(session: Session, ids: Sequence[str]) -> Iterator[str]:
    """The trainings that begin with one of the model versions and have not succeeded: they can be retried."""
    of_job = select(Training.id).join(Job, Job.id == Training.id).where(Job.status != "successful")
    for some in batches(ids):
        yield from session.scalars(of_job.where(Training.config["init"].as_string().in_(some)).order_by(Training.id))


def _versions_of_models(session: Session, ids: Sequence[str]) -> Iterator[str]:
    wanted = select(ModelVersion.name, ModelVersion.version).where(ModelVersion.name.in_(ids))
    yield from (f"{name}:{number}" for name, number in session.execute(wanted.order_by(ModelVersion.version)))


def _aliases(session: Session, ids: Sequence[str]) -> Iterator[str]:
    for some in batches(versions_in(ids)):
        wanted = select(Alias.model, Alias.alias).where(tuple_(Alias.model, Alias.version).in_(some))
        yield from (f"{model}@{alias}" for model, alias in session.execute(wanted.order_by(Alias.alias)))


def _schedules(session: Session, ids: Sequence[str]) -> Iterator[str]:
    """The schedules that name one of the datasets, or a name of which no usable version would be left."""
    for schedule in session.scalars(select(Schedule).order_by(Schedule.id)):
        named = schedule.training.dataset
        usable = select(Dataset.id).join(Job, Job.id == Dataset.id)
        versions = set(session.scalars(usable.where(Dataset.name == named, Job.status.not_in(FAILED))))
        if named in ids or (versions and versions <= set(ids)):
            yield schedule.id


def _runs(needs: Callable[[Session, ScheduleRun], Iterable[str]]) -> Find:
    """Find the runs of schedules that have not ended and need one of the ids. needs: The ids that a run needs."""

    def find(session: Session, ids: Sequence[str]) -> Iterator[str]:
        for run in session.scalars(select(ScheduleRun).where(ScheduleRun.finished.is_(None))):
            if set(needs(session, run)) & set(ids):
                yield f"{run.schedule}/{run.id}"

    return find


def _training_of(session: Session, run: ScheduleRun) -> Iterator[str]:
    yield from [run.training] if run.training else []


def _version_of(session: Session, run: ScheduleRun) -> Iterator[str]:
    yield from _versions_of_trainings(session, list(_training_of(session, run)))


def _evaluations_of(session: Session, run: ScheduleRun) -> Iterable[str]:
    return run.evaluations


NEEDS = (
    Reference("scene", "dataset", _datasets_with(DatasetScenes)),
    Reference("scene", "prediction", _by(Prediction.id, Prediction.scene)),
    Reference("labels", "dataset", _datasets_with(DatasetLabels)),
    Reference("dataset", "training", _by(Training.id, Training.dataset)),
    Reference("dataset", "experiment", _by(Experiment.id, Experiment.dataset)),
    Reference("dataset", "evaluation", _by(Evaluation.id, Evaluation.dataset)),
    Reference("dataset", "schedule", _schedules),
    Reference("training", "version", _versions_of_trainings),
    Reference("training", "experiment", _by(Training.experiment, Training.id, Training.experiment.is_not(None))),  # type: ignore[arg-type]
    Reference("training", "run", _runs(_training_of)),
    Reference("evaluation", "run", _runs(_evaluations_of)),
    Reference("prediction", "survey", _by(SurveyScene.survey, SurveyScene.prediction)),
    Reference("prediction", "sample", _by(Sample.id, Sample.prediction)),
    Reference("survey", "sample", _by(Sample.id, Sample.survey)),
    Reference("zones", "sample", _by(Sample.id, Sample.zones)),
    Reference("version", "training", _trainings_from),
    Reference("version", "evaluation", _of_versions(Evaluation)),
    Reference("version", "prediction", _of_versions(Prediction)),
    Reference("version", "survey", _of_versions(Survey)),
    Reference("version", "alias", _aliases),
    Reference("version", "run", _runs(_version_of)),
)
BELONGS = (
    Reference("experiment", "training", _by(Training.id, Training.experiment)),
    Reference("model", "version", _versions_of_models),
)


def found(session: Session, table: Iterable[Reference], things: Iterable[Thing]) -> list[Thing]:
    """What needs `things`, or belongs to them, by `table`; each once, without `things` themselves."""
    by_kind: dict[str, list[str]] = {}
    for thing in things:
        by_kind.setdefault(thing.kind, []).append(thing.id)
    every = dict.fromkeys(
        Thing(reference.by, id_)
        for reference in table
        if reference.needed in by_kind
        for id_ in reference.find(session, by_kind[reference.needed])
    )
    return [thing for thing in every if thing.id not in by_kind.get(thing.kind, ())]
