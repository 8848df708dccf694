"""Experiments."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Page
from app.api.documents.jobs import Job, Status
from app.learning.experiments import Run
from app.results import ModelMetrics
from ml.evaluation.comparison import Difference, VariantRow
from ml.evaluation.plan import Settings, Variant


class ExperimentRun(Document):
    """A training of an experiment. metrics: null until it has succeeded."""

    training: str
    variant: str | None
    seed: int
    status: Status
    metrics: ModelMetrics | None

    @classmethod
    def of(cls, run: Run) -> "ExperimentRun":
        """The run."""
        metrics = ModelMetrics(val=run.val, test=run.test) if run.val else None
        return cls(training=run.training, variant=run.variant, seed=run.seed, status=run.status, metrics=metrics)


class Experiment(Document):
    """Variants x seeds, compared. table, differences, notes: null until all runs have ended."""

    id: str = Field(description="Also the id of its job.")
    dataset: str
    created: datetime
    config: Settings = Field(description="What all variants have in common.")
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    lovasz_weights: tuple[float, ...]
    register_as: str | None
    runs: tuple[ExperimentRun, ...]
    table: tuple[VariantRow, ...] | None
    differences: tuple[Difference, ...] | None
    notes: tuple[str, ...] | None
    job: Job

    @classmethod
    def of(cls, row: tables.Experiment, work: tables.Job, runs: Sequence[Run]) -> "Experiment":
        """The experiment in `row`, with its job and its runs."""
        request, compared = row.request, row.comparison
        return cls(
            id=row.id,
            dataset=row.dataset,
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
