"""Trainings and their series."""

from datetime import datetime

from pydantic import ConfigDict, Field

from app import tables
from app.api.documents.base import Document, Page
from app.api.documents.jobs import Job
from app.results import ModelMetrics
from ml.config import TrainConfig
from ml.evaluation.assessment import Assessment
from ml.evaluation.report import TrainReport


class VersionReference(Document):
    """A version of a model."""

    name: str
    version: int


class Training(Document):
    """A training. metrics, details, report: null until it has succeeded; model: until its net is registered."""

    id: str = Field(description="Also the id of its job.")
    dataset: str
    register_as: str | None
    experiment: str | None = Field(description="The experiment that it is a run of.")
    variant: str | None
    config: TrainConfig
    created: datetime
    metrics: ModelMetrics | None
    details: dict[str, Assessment] | None = Field(description="By split: its scenes, its blocks, its errors.")
    report: TrainReport | None
    model: VersionReference | None
    job: Job

    @classmethod
    def of(cls, row: tables.Training, work: tables.Job) -> "Training":
        """The training in `row`, with its job."""
        header = row.header
        return cls(
            id=row.id,
            dataset=row.dataset,
            register_as=row.register_as or None,
            experiment=row.experiment,
            variant=row.variant,
            config=row.config,
            created=row.created,
            metrics=ModelMetrics(val=header.val, test=header.test) if header else None,
            details=header and header.details,
            report=header and header.report,
            model=registered(row),
            job=Job.of(work),
        )


class Trainings(Page[Training]):
    """A page of trainings, newest first."""


class Epoch(Document):
    """What an epoch measured: the loss, its parts before they are weighted, and the validation split's figures."""

    model_config = ConfigDict(extra="allow")

    epoch: int = Field(description="Counted from 1.")

    @classmethod
    def of(cls, row: tables.SeriesRow) -> "Epoch":
        """The epoch in `row`."""
        return cls.model_validate(row.values | {"epoch": row.epoch})


class Series(Document):
    """Epochs, in their order."""

    items: tuple[Epoch, ...]


def registered(row: tables.Training | None) -> VersionReference | None:
    """The version that a training has registered."""
    return VersionReference(name=row.register_as, version=row.version) if row and row.version else None
