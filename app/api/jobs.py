"""Routes of /v1/jobs, which are the same for every kind of job."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.documents.processes import results_of
from app.api.http.answers import ETAG, NEXT, TEXT, answer, content, created
from app.api.http.deps import Address, Condition, Id, OnceSent, Reading, Wait, Wired, etag, link_next
from app.api.http.problems import ProblemResponse, problems
from app.api.http.queries import JobQuery
from app.api.http.waiting import read_job, wait_for_end
from app.core.errors import NotReady
from app.jobs import lifecycle
from app.mapping import predictions
from app.tables import Job
from app.upkeep.retry import retry

LastEvent = Annotated[int, Header(ge=0, description="Id of the last event received.")]
router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get("", responses=answer(200, NEXT))
def list_jobs(session: Reading, request: Request, response: Response, query: JobQuery) -> documents.Jobs:
    """List jobs, newest first."""
    found = lifecycle.find(
        session, status=query.status, kind=query.kind, between=query.between, limit=query.limit, token=query.token
    )
    further = link_next(request, response, found.next)
    return documents.Jobs.of(map(documents.Job.of, found.rows), found.next, further)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
async def get_job(services: Wired, request: Request, id_: Id, response: Response, wait: Wait = 0) -> documents.Job:
    """Read one job. With `wait` the answer comes when the job has ended, at the latest after `wait` seconds."""
    row = await wait_for_end(services, id_, wait, request)
    etag(response, row.tag)
    return documents.Job.of(row)


@router.delete("/{id}", responses=answer(200, ETAG) | problems(404, 409, 412))
def dismiss_job(services: Wired, id_: Id, if_match: Condition, response: Response) -> documents.Job:
    """Dismiss a job. A waiting job ends at once; a running job stops at its next step."""
    row = services.database.erase(lambda session: lifecycle.dismiss(session, id_, if_match))
    etag(response, row.tag)
    return documents.Job.of(row)


@router.post("/{id}/retry", status_code=201, responses=created(ETAG) | problems(404, 409))
def retry_job(services: Wired, id_: Id, once: OnceSent, response: Response) -> documents.Job:
    """Do a job again that failed or was dismissed: the same resource, from where its last attempt can be resumed."""
    row = retry(services, id_, once)
    response.headers["Location"] = documents.result_of(row).href
    etag(response, row.tag)
    return documents.Job.of(row)


@router.get("/{id}/results", response_model=dict[str, documents.Link], responses=problems(404, 413))
def get_results(session: Reading, id_: Id, address: Address) -> dict[str, documents.Link] | Response:
    """Links to the outputs of a successful job, by name, or the problem for which a job failed."""
    row = lifecycle.get(session, id_)
    if row.status == "failed" and row.error:
        return ProblemResponse(row.error.model_dump(), row.error.status)
    if row.status != "successful":
        raise NotReady("result-not-ready", f"Job {id_!r} is {row.reported_status}.")
    products = predictions.get(session, id_).products if row.kind == "prediction" else None
    return results_of(row, products or (), address)


@router.get("/{id}/log", response_class=PlainTextResponse, responses=problems(404))
def get_log(session: Reading, id_: Id) -> str:
    """The log of one job as plain text."""
    lifecycle.get(session, id_)
    lines = lifecycle.read_log(session, id_)
    return "".join(f"{line.at:%Y-%m-%dT%H:%M:%SZ} attempt {line.attempt}: {line.text}\n" for line in lines)


def _check_exists(services: Wired, id_: Id) -> Job:
    """Raise `NotFound` for an unknown job before the stream begins, because its status cannot be changed later."""
    return read_job(services, id_)


def _check_open(row: Annotated[Job, Depends(_check_exists)], last_event_id: LastEvent = 0) -> None:
    """Answer with 204 if the client has the last event of an ended job: it makes browsers stop asking again."""
    if row.status in lifecycle.FINAL and last_event_id >= row.revision:
        raise HTTPException(204)


@router.head("/{id}/events", include_in_schema=False, dependencies=[Depends(_check_exists)])
def head_events() -> EventSourceResponse:
    """Answer with the headers of GET, without waiting for an event."""
    return EventSourceResponse([])


@router.get(
    "/{id}/events",
    response_class=EventSourceResponse,
    dependencies=[Depends(_check_open)],
    responses=content({"text/event-stream": TEXT}) | answer(204) | problems(404),
)
async def get_events(
    services: Wired,
    id_: Id,
    last_event_id: LastEvent = 0,
) -> AsyncIterator[ServerSentEvent]:
    """The document of the job as a Server-Sent Event whenever it changes, until the job ends. Event ids increase."""
    sent = last_event_id
    while True:
        row = await run_in_threadpool(read_job, services, id_)
        if row.revision > sent:
            yield ServerSentEvent(data=documents.Job.of(row), event=row.reported_status, id=str(row.revision))
            sent = row.revision
        if row.status in lifecycle.FINAL:
            return
        await services.watch.changed(id_, row.revision)
