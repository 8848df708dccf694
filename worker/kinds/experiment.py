"""Experiments: compare the variants when all trainings have ended."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.orm import Session

from app.jobs import lifecycle
from app.learning import experiments
from app.services import Services
from app.storage import Stored
from ml.compare_checkpoints import compare_headers
from ml.evaluation.comparison import failure_notes
from ml.faults import Fault, InputRefused
from worker.context import JobContext, Outcome


def run(services: Services, context: JobContext, folder: Path) -> Outcome:
    """Compare the trainings of the job's experiment. Its notes and the job's log name those that failed."""
    with services.database.read() as session:
        trained = experiments.runs(session, context.claim.job_id)
        jobs = lifecycle.children(session, context.claim.job_id)
        failed = {job.id: job.message for job in jobs if job.status != "successful"}
    for training_id, why in failed.items():
        context.log(f"{training_id} is left out: {why}")
    headers = [(training.variant or "", training.header) for training in trained if training.header]
    if not headers:
        hint = "Read the log of one of them, correct the config, and create a new experiment."
        raise InputRefused(Fault("no_run_succeeded", f"None of the {len(trained)} trainings succeeded.", hint))
    compared = compare_headers(headers)
    planned = [(training.variant or "", training.config.seed) for training in trained]
    missing = failure_notes(planned, [(variant, header.config.seed) for variant, header in headers])
    comparison = compared.model_copy(update={"notes": (*missing, *compared.notes)})

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        experiments.get(session, context.claim.job_id).comparison = comparison

    return Outcome(record)
