"""/v1/jobs: one mechanism for every kind of work."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.documents import Json
from app.api.http.deps import Id, Limit, Token, Wait, Wired, link_next
from app.api.http.problems import ProblemResponse
from app.api.http.waiting import POLL_S, read_job, wait_for_end
from app.core.errors import NotReady
from app.core.paging import page
from app.jobs import lifecycle
from app.jobs.kinds import KINDS
from app.tables import Job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
Status = Annotated[Literal["accepted", "running", "successful", "failed", "dismissed"] | None, Query()]
Kind = Annotated[Literal[*KINDS] | None, Query(alias="processID")]  # type: ignore[valid-type]


@router.get("")
def list_jobs(
    services: Wired,
    request: Request,
    response: Response,
    status: Status = None,
    kind: Kind = None,
    limit: Limit = 100,
    token: Token = None,
) -> Json:
    """Jobs, newest first."""
    wanted = select(Job)
    if status:
        wanted = wanted.where(Job.reported_status == status)
    if kind:
        wanted = wanted.where(Job.kind == kind)
    with services.database.read() as session:
        found = page(session, wanted, Job.created, Job.id, limit=limit, token=token)
    link_next(request, response, found.next)
    return {"items": [documents.job(row) for row in found.rows], "next": found.next}


@router.get("/{id}")
async def get_job(services: Wired, id_: Id, wait: Wait = 0) -> Json:
    """A job; with `wait` as soon as it has ended, at the latest after so many seconds."""
    return documents.job(await wait_for_end(services, id_, wait))


@router.delete("/{id}")
def dismiss_job(services: Wired, id_: Id) -> Json:
    """Dismiss a job: one that waits ends at once, one that runs stops at its next step."""
    with services.database.write() as session:
        return documents.job(lifecycle.dismiss(session, id_))


@router.get("/{id}/results", response_model=None)
def get_results(services: Wired, id_: Id) -> Json | Response:
    """Where the result of a successful job is; the problem of a failed one."""
    row = read_job(services, id_)
    if row.status == "failed" and row.error:
        return ProblemResponse(row.error.model_dump(), row.error.status)
    if row.status != "successful":
        raise NotReady("result-not-ready", f"Job {id_!r} is {row.reported_status}.")
    return documents.link(documents.result_of(row), "related")


@router.get("/{id}/log", response_class=PlainTextResponse)
def get_log(services: Wired, id_: Id) -> str:
    """The job's own log."""
    with services.database.read() as session:
        lifecycle.get(session, id_)
        lines = lifecycle.read_log(session, id_)
    return "".join(f"{line.at:%Y-%m-%dT%H:%M:%SZ} attempt {line.attempt}: {line.text}\n" for line in lines)


def _known(services: Wired, id_: Id) -> None:
    """Say that there is no such job while there is still a status to say it by."""
    read_job(services, id_)


@router.get("/{id}/events", response_class=EventSourceResponse, dependencies=[Depends(_known)])
async def get_events(
    services: Wired, id_: Id, last_event_id: Annotated[int, Header(ge=0)] = 0
) -> AsyncIterator[ServerSentEvent]:
    """The job's document whenever it changes, as Server-Sent Events, until it ends; ids grow with the changes."""
    sent = last_event_id
    while True:
        row = await run_in_threadpool(read_job, services, id_)
        if row.revision > sent:
            yield ServerSentEvent(data=documents.job(row), event=row.reported_status, id=str(row.revision))
            sent = row.revision
        if row.status in lifecycle.FINAL:
            return
        await asyncio.sleep(POLL_S)
