"""Does a job again that failed or was dismissed, with the same id and the same request."""

from collections.abc import Iterator

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.access import usage
from app.core.errors import Conflict
from app.core.idempotency import IdempotentRequest
from app.data import uses
from app.jobs import lifecycle
from app.mapping import parts
from app.services import Services
from app.tables import Dataset, DatasetLabels, DatasetScenes, Job, LabelSet, Scene
from ml.faults import Fault


def retry(services: Services, job_id: str, once: IdempotentRequest) -> Job:
    """Accept a job again, with its child jobs that failed or were dismissed. Its log and its attempts stay.

    Raises `NotFound`, or `Conflict` if the job has not ended, has succeeded, or needs something that was deleted.
    """
    with services.database.read() as session:
        kind = lifecycle.get(session, job_id).kind
    kept = set(services.store.keys(f"resume/{job_id}/")) if kind == "prediction" else set()
    with services.database.write() as session:
        # before all that refers to it; only child jobs are locked before their parent
        job = (lifecycle.locked if kind == "dataset" else lifecycle.get)(session, job_id)
        if once.earlier(session, job_id):
            return job
        if kind == "dataset" and job.status in lifecycle.UNSUCCESSFUL:
            _keep_inputs(session, job_id)
        if kind == "prediction" and job.status in lifecycle.UNSUCCESSFUL:
            parts.renew(session, job_id, kept)
        waiting = lifecycle.retry(session, job_id)
        session.refresh(job)
        usage.check_jobs(session, services.settings)
    for accepted in waiting:
        services.queue.notify(accepted)
    return job


def _keep_inputs(session: Session, dataset_id: str) -> None:
    """Record again that a dataset uses its scenes and labels: while it had failed, they could be deleted."""
    request = session.get_one(Dataset, dataset_id).request
    faults = [
        *_deleted(session, Scene, "scenes", request.scenes),
        *_deleted(session, LabelSet, "labels", request.labels),
    ]
    if faults:
        what = f"Dataset {dataset_id!r} cannot be made any more, because {faults[0].detail}"
        raise Conflict("inputs-deleted", what, *faults)
    for table, names in ((DatasetScenes, request.scenes), (DatasetLabels, request.labels)):
        session.execute(delete(table).where(table.dataset == dataset_id))
        uses.keep(session, table, dataset_id, names)


def _deleted(session: Session, table: type[Scene | LabelSet], kind: str, names: tuple[str, ...]) -> Iterator[Fault]:
    """Lock the rows with these names, and yield a fault for each one that is missing."""
    wanted = select(table.id).where(table.id.in_(set(names))).order_by(table.id)
    found = set(session.scalars(wanted.with_for_update()))
    for name in dict.fromkeys(names):
        if name not in found:
            yield Fault("deleted", f"{kind}/{name} was deleted.", f"Upload it again: PUT /v1/{kind}/{name}")
