"""The documents of datasets."""

from datetime import datetime

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Page, Title
from app.api.documents.jobs import Job
from ml.contract import ClassDef, Contract
from ml.datasets.class_counts import SplitStatistics
from ml.datasets.splits import BlockSplit, SceneSplit
from ml.faults import Note


class Dataset(Document):
    """A version of a dataset: scenes, labels and a split. The fields from `statistics` to `notes` are null until its
    job has succeeded.
    """

    id: str = Field(description='"name:version", which is also the id of its job.')
    name: str
    version: int
    title: Title
    created: datetime
    scenes: tuple[str, ...]
    labels: tuple[str, ...]
    classes: tuple[ClassDef, ...]
    split: SceneSplit | BlockSplit = Field(discriminator="by")
    homogenise: str = Field(description="How the scenes are brought to one radiometry.")
    clip_outliers: bool = Field(description="Whether outliers are clipped before the net sees them.")
    leaks: str = Field(description="What is done if splits share ground, pixels or fields.")
    statistics: dict[str, SplitStatistics] | None = Field(description="Statistics of each split, by its name.")
    statistics_by_scene: dict[str, SplitStatistics] | None = Field(
        description="Statistics of each scene, by its id, over its pixels in all splits."
    )
    statistics_total: SplitStatistics | None = Field(description="Statistics over the pixels of all splits.")
    references: dict[str, int] | None = Field(
        description="Labelled valid pixels of all splits, by what the labels call them."
    )
    sha256: str | None = Field(description="Hash of everything that a net can learn from the dataset.")
    contract: Contract | None = Field(description="What a model trained on this dataset requires of a scene.")
    notes: tuple[Note, ...] | None = Field(description="What the owner of the dataset should check.")
    job: Job

    @classmethod
    def of(cls, row: tables.Dataset, work: tables.Job) -> "Dataset":
        """The document of the dataset in `row`. work: its job."""
        prepared, request = row.prepared, row.request
        return cls(
            id=row.id,
            name=row.name,
            version=row.version,
            title=row.title,
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
