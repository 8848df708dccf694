"""What webhooks are told of a job that has ended."""

from sqlalchemy.orm import Session

from app.core import tenancy
from app.jobs.kinds import KINDS
from app.tables import Job
from app.webhooks import outbox
from app.webhooks.outbox import JobData, MessageLink


def ended(session: Session, job: Job) -> None:
    """Write the messages about a job that this transaction ends. A part has none: its result is that of its parent."""
    kind = KINDS[job.kind]
    if kind.for_parent:
        return
    with tenancy.acting_for(job.tenant):  # a message has plain ids, also if a sweep of all tenants writes it
        id_, parent = tenancy.plain(job.id), job.parent and tenancy.plain(job.parent)
    links = (
        MessageLink(href=f"/v1/jobs/{id_}", rel="self"),
        MessageLink(href=f"/v1/{kind.collection}/{id_}", rel="related"),
    )
    data = JobData(
        job_id=id_,
        process_id=job.kind,
        status=job.status,
        message=job.message,
        created=job.created,
        started=job.started,
        finished=job.finished,
        attempt=job.attempt,
        parent=parent,
        error=job.error,
        links=links,
    )
    outbox.add(session, job.tenant, f"job.{data.status}", data)  # type: ignore[arg-type]  # each end has an event
