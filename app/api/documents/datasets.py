"""Datasets."""

from datetime import datetime

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Page
from app.api.documents.jobs import Job
from ml.contract import ClassDef, Contract
from ml.datasets.class_counts import SplitStatistics
from ml.datasets.splits import BlockSplit, SceneSplit
from ml.faults import Note


class Dataset(Document):
    """A version of scenes, labels and split. `statistics` to `notes` are null until it is prepared."""

    id: str = Field(description='"name:version", also the id of its job.')
    name: str
    version: int
    created: datetime
    scenes: tuple[str, ...]
    labels: tuple[str, ...]
    classes: tuple[ClassDef, ...]
    split: SceneSplit | BlockSplit = Field(discriminator="by")
    homogenise: str
    clip_outliers: bool
    leaks: str
    statistics: dict[str, SplitStatistics] | None = Field(description="By split.")
    statistics_by_scene: dict[str, SplitStatistics] | None = Field(description="By scene, of its pixels in any split.")
    statistics_total: SplitStatistics | None
    references: dict[str, int] | None = Field(description="Labelled pixels by what the labels call them.")
    sha256: str | None = Field(description="Of all that a net can learn from it.")
    contract: Contract | None = Field(description="What a scene must be like for a model of this dataset.")
    notes: tuple[Note, ...] | None = Field(description="What its owner should look at.")
    job: Job

    @classmethod
    def of(cls, row: tables.Dataset, work: tables.Job) -> "Dataset":
        """The dataset in `row`, with its job."""
        prepared, request = row.prepared, row.request
        return cls(
            id=row.id,
            name=row.name,
            version=row.version,
            created=row.created,
            scenes=request.scenes,
            labels=request.labels,
            classes=request.classes,
            split=request.split,
            homogenise=request.homogenise,
            clip_outliers=request.clip_outliers,
            leaks=request.leaks,
            statistics=prepared and prepared.statistics,
            statistics_by_scene=prepared and prepared.by_scene,
            statistics_total=prepared and prepared.total,
            references=prepared and prepared.references,
            sha256=prepared and prepared.sha256,
            contract=prepared and prepared.contract,
            notes=prepared and prepared.notes,
            job=Job.of(work),
        )


class Datasets(Page[Dataset]):
    """A page of datasets, newest first."""
