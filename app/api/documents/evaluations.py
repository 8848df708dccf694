"""The documents of evaluations."""

from datetime import datetime

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Page, Software, Title
from app.api.documents.jobs import Job
from app.api.documents.trainings import VersionReference
from ml.evaluation.assessment import Assessment
from ml.evaluation.metrics import Metrics


class Evaluation(Document):
    """A model version scored on one split of a dataset.

    `metrics`, `details` and `software` are null until the job has succeeded.
    """

    id: str = Field(description="Id of the evaluation, which is also the id of its job.")
    model: VersionReference
    dataset: str
    split: str
    title: Title
    created: datetime
    metrics: Metrics | None
    details: Assessment | None
    software: Software | None
    job: Job

    @classmethod
    def of(cls, row: tables.Evaluation, work: tables.Job) -> "Evaluation":
        """The document of the evaluation in `row`. work: its job."""
        return cls(
            id=row.id,
            model=VersionReference(name=row.model, version=row.version),
            dataset=row.dataset,
            split=row.split,
            title=row.title,
            created=row.created,
            metrics=row.metrics,
            details=row.details,
            software=row.software,
            job=Job.of(work),
        )


class Evaluations(Page[Evaluation]):
    """A page of evaluations, newest first."""
