"""Waiting for the end of a job, as `?wait=`, `Prefer: wait=` and events need it."""

import time
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.jobs import lifecycle
from app.services import Services
from app.tables import Job

GONE_S = 0.25  # after this time it is noticed that the client of a request has gone
Answer = TypeVar("Answer")


def read_job(services: Services, job_id: str) -> Job:
    """The current state of a job. Raises `NotFound`."""
    with services.database.read() as session:
        return lifecycle.get(session, job_id)


async def wait_for_end(services: Services, job_id: str, seconds: float, request: Request | None = None) -> Job:
    """The job when it has ended, or its state after `seconds`. No database connection is occupied while waiting.

    request: Who waits for it, if that is all that the request is for: nobody waits when its client has gone.
    """
    deadline = time.monotonic() + seconds
    while True:
        job = await run_in_threadpool(read_job, services, job_id)
        if job.status in lifecycle.FINAL or not await _goes_on(services, job, deadline, request):
            return job


async def _goes_on(services: Services, job: Job, deadline: float, request: Request | None) -> bool:
    """Wait until `job` has changed; returns whether anybody waits for more of it then. No query is sent for that."""
    while (left := deadline - time.monotonic()) > 0 and not (request and await request.is_disconnected()):
        if await services.watch.changed(job.id, job.revision, min(left, GONE_S)):
            return True
    return False


async def document_after_wait(
    services: Services, id_: str, seconds: float, document: Callable[[Session, str], Answer]
) -> Answer:
    """The document of the new resource `id_`, made by `document` when its job has ended, at the latest after `seconds`.

    With 0 seconds it is made at once.
    """
    if seconds:
        await wait_for_end(services, id_, seconds)

    def read() -> Answer:
        with services.database.read() as session:
            return document(session, id_)

    return await run_in_threadpool(read)
