"""Parts of a prediction: each is a job that maps some rows of the scene, so that several workers share the map."""

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.names import new_id
from app.core.rows import getter
from app.jobs import lifecycle
from app.tables import Job, Part

MIN_ROWS = 64  # fewer are not worth a job: a net also reads about as many rows beyond those that it maps
get = getter(Part, "part")


def add(session: Session, prediction_id: str, rows: int, count: int) -> list[Job]:
    """Cut a scene of `rows` rows into `count` parts of about equal height; returns the jobs of the parts."""
    edges = [number * rows // count for number in range(count + 1)]
    return [_add(session, prediction_id, *edges[number : number + 2]) for number in range(count)]


def of(session: Session, prediction_id: str) -> Sequence[Part]:
    """All parts of a prediction, from the top down. Empty if it is mapped by a single job."""
    return session.scalars(select(Part).where(Part.prediction == prediction_id).order_by(Part.first_row)).all()


def failed(session: Session, prediction_id: str) -> Sequence[Job]:
    """The jobs of those parts of a prediction that have failed or were dismissed, oldest first."""
    wanted = select(Job).where(Job.parent == prediction_id, Job.status.in_(("failed", "dismissed")))
    return session.scalars(wanted.order_by(Job.created, Job.id)).all()


def renew(session: Session, prediction_id: str, kept: Collection[str]) -> None:
    """Make new parts for the finished ones whose files are gone. kept: The keys of the files that are there."""
    for part in of(session, prediction_id):
        job = lifecycle.get(session, part.id)
        if job.status == "successful" and part.object not in kept:
            session.delete(part)
            session.flush()
            session.delete(job)
            _add(session, prediction_id, part.first_row, part.end_row)


def _add(session: Session, prediction_id: str, first_row: int, end_row: int) -> Job:
    needs_gpu = lifecycle.get(session, prediction_id).needs_gpu
    job = lifecycle.create(session, new_id("prt"), "part", parent=prediction_id, needs_gpu=needs_gpu)
    session.add(Part(id=job.id, prediction=prediction_id, first_row=first_row, end_row=end_row))
    return job
