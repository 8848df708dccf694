"""Evaluations: score a registered model version on a split of any dataset."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.orm import Session

from app.data import datasets, scenes
from app.learning import evaluations, registry
from app.services import Services
from app.storage import Stored
from worker import scratch
from worker.context import JobContext, Outcome


def run(services: Services, context: JobContext, folder: Path) -> Outcome:
    """Do the evaluation of the job. The outcome has no files. folder: scratch folder, beside which the inputs are."""
    from ml.nn.evaluate import score  # imported only when it is used, because torch takes seconds to import

    with services.database.read() as session:
        evaluation = evaluations.get(session, context.claim.job_id)
        version = registry.get(session, evaluation.model, str(evaluation.version))
        dataset = datasets.ready(session, evaluation.dataset)
        used = scenes.by_id(session, dataset.scenes)
    take = scratch.fetcher(services.store, folder)
    labelled = datasets.labelled_scenes(dataset, evaluation.split, used, take)
    references = tuple(datasets.prepared(dataset).references or ())
    with registry.checkpoint_of(version) as key:
        checkpoint = take(key)
    metrics, details, made_by = score(checkpoint, labelled, references, context.watch)

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = evaluations.get(session, evaluation.id)
        row.metrics, row.details, row.software = metrics, details, made_by

    return Outcome(record)
