"""The documents of trainings and of their series of epochs."""

from datetime import datetime

from pydantic import ConfigDict, Field

from app import tables
from app.api.documents.base import Document, Page, Title
from app.api.documents.jobs import Job
from app.results import ModelMetrics
from ml.config import TrainConfig
from ml.evaluation.assessment import Assessment
from ml.evaluation.report import TrainReport


class VersionReference(Document):
    """The name of a model and the number of one of its versions."""

    name: str
    version: int


class Training(Document):
    """The training of one net.

    `metrics`, `details` and `report` are null until it has succeeded. `model` is null until the net is registered.
    """

    id: str = Field(description="Id of the training, which is also the id of its job.")
    dataset: str
    register_as: str | None = Field(description="Model to which the net is added as a version; null registers none.")
    experiment: str | None = Field(description="Id of the experiment that it belongs to.")
    variant: str | None = Field(description="Name of the variant in its experiment.")
    config: TrainConfig
    title: Title
    created: datetime
    metrics: ModelMetrics | None
    details: dict[str, Assessment] | None = Field(description="By split: metrics of its scenes, counts of its blocks.")
    report: TrainReport | None
    model: VersionReference | None
    champion: int | None = Field(
        None,
        description="Version that is now the `champion` of the model, which a training makes only of the first one; "
        "null until a version is registered.",
    )
    job: Job

    @classmethod
    def of(cls, row: tables.Training, work: tables.Job, champion: int | None) -> "Training":
        """The document of the training in `row`. work: its job. champion: version with this alias of its model."""
        header = row.header
        return cls(
            id=row.id,
            dataset=row.dataset,
            register_as=row.register_as or None,
            experiment=row.experiment,
            variant=row.variant,
            config=row.config,
            title=row.title,
            created=row.created,
            metrics=ModelMetrics(val=header.val, test=header.test) if header else None,
            details=header and header.details,
            report=header and header.report,
            model=registered(row),
            champion=champion if registered(row) else None,
            job=Job.of(work),
        )


class Trainings(Page[Training]):
    """A page of trainings, newest first."""


class Epoch(Document):
    """The measurements of one epoch: the loss, its terms before they are weighted, and the metrics on the val split."""

    model_config = ConfigDict(extra="allow")

    epoch: int = Field(description="Number of the epoch, counted from 1.")

    @classmethod
    def of(cls, row: tables.SeriesRow) -> "Epoch":
        """The document of the epoch in `row`."""
        return cls.model_validate(row.values | {"epoch": row.epoch})


class Series(Document):
    """The epochs of a training, in their order."""

    items: tuple[Epoch, ...]


def registered(row: tables.Training | None) -> VersionReference | None:
    """The version that the training in `row` has registered, or None."""
    return VersionReference(name=row.register_as, version=row.version) if row and row.version else None
