"""Routes of /v1/schedules: trainings that are repeated by the clock, and their runs."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.http.answers import ETAG, NEXT, answer, created
from app.api.http.deps import Condition, Id, OnceOnly, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import Page
from app.api.http.waiting import document_after_wait
from app.learning import trainings
from app.requests.schedules import SchedulePatch, ScheduleRequest
from app.schedules import schedules
from app.tables import ScheduleRun

router = APIRouter(prefix="/v1/schedules", tags=["schedules"], route_class=JsonRoute)


@router.post("", status_code=201, responses=created(ETAG) | problems(*IN_BODIES, 409))
def post_schedule(session: Writing, response: Response, body: ScheduleRequest, once: OnceOnly) -> documents.Schedule:
    """Make a schedule: retrain at the times of a cron expression in a time zone, and promote a better version."""
    row = schedules.create(session, body, once)
    response.headers["Location"] = f"/v1/schedules/{row.id}"
    etag(response, row.tag)
    return documents.Schedule.of(row)


@router.get("", responses=answer(200, NEXT))
def list_schedules(session: Reading, request: Request, response: Response, page: Page) -> documents.Schedules:
    """List all schedules, newest first."""
    found = schedules.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.Schedules(items=tuple(map(documents.Schedule.of, found.rows)), next=found.next)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
def get_schedule(session: Reading, id_: Id, response: Response) -> documents.Schedule:
    """Read one schedule."""
    row = schedules.get(session, id_)
    etag(response, row.tag)
    return documents.Schedule.of(row)


@router.patch("/{id}", responses=answer(200, ETAG) | problems(*IN_BODIES, 404, 412))
def patch_schedule(
    session: Writing, id_: Id, change: SchedulePatch, if_match: Condition, response: Response
) -> documents.Schedule:
    """Change the times, the training, the gate or the title of a schedule, or enable or disable it."""
    row = schedules.patch(session, id_, change, if_match)
    etag(response, row.tag)
    return documents.Schedule.of(row)


@router.delete("/{id}", status_code=204, responses=problems(404, 412))
def delete_schedule(services: Wired, id_: Id, if_match: Condition) -> None:
    """Delete a schedule and its runs. The models that they trained stay."""
    services.database.erase(lambda session: schedules.delete(session, id_, if_match))


@router.post("/{id}/run", status_code=201, responses=created() | problems(404, 409))
async def post_run(services: Wired, id_: Id, response: Response, once: OnceOnly) -> documents.ScheduleRun:
    """Run a schedule now, gate included. 409 while another run of it has not ended."""
    row = await run_in_threadpool(schedules.run, services, id_, once)
    response.headers["Location"] = f"/v1/schedules/{id_}/runs/{row.id}"
    return await document_after_wait(services, row.id, 0, lambda session, run: get_run(session, id_, run))


@router.get("/{id}/runs", responses=answer(200, NEXT) | problems(404))
def list_runs(session: Reading, id_: Id, request: Request, response: Response, page: Page) -> documents.ScheduleRuns:
    """List the runs of a schedule, newest first, each with its verdict."""
    found = schedules.runs(session, id_, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.ScheduleRuns(items=_documents(session, found.rows), next=found.next)


@router.get("/{id}/runs/{run}", responses=problems(404))
def get_run(session: Reading, id_: Id, run: str) -> documents.ScheduleRun:
    """Read one run of a schedule."""
    (document,) = _documents(session, [schedules.run_of(session, id_, run)])
    return document


def _documents(session: Session, rows: Sequence[ScheduleRun]) -> tuple[documents.ScheduleRun, ...]:
    made = trainings.by_id(session, (row.training for row in rows if row.training))
    return tuple(documents.ScheduleRun.of(row, made.get(row.training or "")) for row in rows)
