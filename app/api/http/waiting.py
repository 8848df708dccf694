"""Waiting for a job, for `?wait=`, `Prefer: wait=` and events."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.jobs import lifecycle
from app.services import Services
from app.tables import Job

POLL_S = 0.25
Answer = TypeVar("Answer")


def read_job(services: Services, job_id: str) -> Job:
    """The job as it stands now."""
    with services.database.read() as session:
        return lifecycle.get(session, job_id)


async def wait_for_end(services: Services, job_id: str, seconds: float) -> Job:
    """The job when it has ended, or as it stands after `seconds`. No connection is held meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        job = await run_in_threadpool(read_job, services, job_id)
        left = deadline - time.monotonic()
        if job.status in lifecycle.FINAL or left <= 0:
            return job
        await asyncio.sleep(min(POLL_S, left))


async def told(services: Services, id_: str, seconds: float, tell: Callable[[Session, str], Answer]) -> Answer:
    """What `tell` says of a new resource: now, or when its job has ended, or after `seconds`."""
    if seconds:
        await wait_for_end(services, id_, seconds)

    def read() -> Answer:
        with services.database.read() as session:
            return tell(session, id_)

    return await run_in_threadpool(read)
