"""The documents of experiments."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Page, Title
from app.api.documents.jobs import Job, Status
from app.learning.experiments import TrainingSummary
from app.results import ModelMetrics
from ml.evaluation.comparison import Difference, VariantRow
from ml.evaluation.plan import Settings, Variant


class ExperimentRun(Document):
    """One training of an experiment. `metrics` is null until the training has succeeded."""

    training: str
    variant: str | None
    seed: int
    status: Status
    metrics: ModelMetrics | None

    @classmethod
    def of(cls, made: TrainingSummary) -> "ExperimentRun":
        """The entry for one training of an experiment."""
        metrics = ModelMetrics(val=made.val, test=made.test) if made.val else None
        return cls(training=made.training, variant=made.variant, seed=made.seed, status=made.status, metrics=metrics)


class Experiment(Document):
    """A comparison of variants, each trained once with each seed.

    `table`, `differences` and `notes` are null until all trainings have ended.
    """

    id: str = Field(description="Id of the experiment, which is also the id of its job.")
    dataset: str
    title: Title
    created: datetime
    config: Settings = Field(description="The config that all variants share.")
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    lovasz_weights: tuple[float, ...] = Field(description="Weights of the Lovász loss that the request asked for.")
    register_as: str | None = Field(description="Model to which each training adds a version; null registers none.")
    runs: tuple[ExperimentRun, ...]
    table: tuple[VariantRow, ...] | None
    differences: tuple[Difference, ...] | None
    notes: tuple[str, ...] | None
    job: Job

    @classmethod
    def of(cls, row: tables.Experiment, work: tables.Job, runs: Sequence[TrainingSummary]) -> "Experiment":
        """The document of the experiment in `row`. work: its job. runs: its trainings."""
        request, compared = row.request, row.comparison
        return cls(
            id=row.id,
            dataset=row.dataset,
            title=row.title,
            created=row.created,
            config=request.config,
            variants=request.variants,
            seeds=request.seeds,
            lovasz_weights=request.lovasz_weights,
            register_as=request.register_as,
            runs=tuple(map(ExperimentRun.of, runs)),
            table=compared.table if compared else None,
            differences=compared.differences if compared else None,
            notes=compared.notes if compared else None,
            job=Job.of(work),
        )


class Experiments(Page[Experiment]):
    """A page of experiments, newest first."""
