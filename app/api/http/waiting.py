"""Waiting for a job, for `?wait=`, `Prefer: wait=` and events."""

import asyncio
import re
import time

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from app.jobs import lifecycle
from app.services import Services
from app.tables import Job

POLL_S = 0.25


def read_job(services: Services, job_id: str) -> Job:
    """The job as it stands now."""
    with services.database.read() as session:
        return lifecycle.get(session, job_id)


async def wait_for_end(services: Services, job_id: str, seconds: float) -> Job:
    """The job when it has ended, or as it stands after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        job = await run_in_threadpool(read_job, services, job_id)
        left = deadline - time.monotonic()
        if job.status in lifecycle.FINAL or left <= 0:
            return job
        await asyncio.sleep(min(POLL_S, left))


async def honour_prefer(request: Request, services: Services, job_id: str) -> None:
    """`Prefer: wait=30` on a POST: answer when the job has ended, or after so many seconds (60 at most)."""
    match = re.search(r"\bwait=([0-9]{1,4})\b", request.headers.get("prefer", ""))
    if match:
        await wait_for_end(services, job_id, min(int(match[1]), 60))
