"""/v1/schedules"""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.http.answers import ETAG, NEXT, answer, created
from app.api.http.deps import Id, IfMatch, OnceOnly, Reading, Wired, Writing, etag, link_next
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import Page
from app.api.http.waiting import told
from app.learning import trainings
from app.requests import SchedulePatch, ScheduleRequest
from app.schedules import schedules
from app.tables import ScheduleRun

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])


@router.post("", status_code=201, responses=created(ETAG) | problems(*IN_BODIES, 409))
def post_schedule(session: Writing, response: Response, body: ScheduleRequest, once: OnceOnly) -> documents.Schedule:
    """Retrain by cron in a time zone, and promote what is better."""
    row = schedules.create(session, body, once)
    response.headers["Location"] = f"/v1/schedules/{row.id}"
    etag(response, row.revision)
    return documents.Schedule.of(row)


@router.get("", responses=answer(200, NEXT))
def list_schedules(session: Reading, request: Request, response: Response, page: Page) -> documents.Schedules:
    """All schedules, newest first."""
    found = schedules.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.Schedules(items=tuple(map(documents.Schedule.of, found.rows)), next=found.next)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
def get_schedule(session: Reading, id_: Id, response: Response) -> documents.Schedule:
    """One schedule."""
    row = schedules.get(session, id_)
    etag(response, row.revision)
    return documents.Schedule.of(row)


@router.patch("/{id}", responses=answer(200, ETAG) | problems(*IN_BODIES, 404, 412))
def patch_schedule(
    session: Writing, id_: Id, change: SchedulePatch, if_match: IfMatch, response: Response
) -> documents.Schedule:
    """Change times, training or gate; enable or disable."""
    row = schedules.patch(session, id_, change, if_match)
    etag(response, row.revision)
    return documents.Schedule.of(row)


@router.delete("/{id}", status_code=204, responses=problems(404, 412))
def delete_schedule(session: Writing, id_: Id, if_match: IfMatch) -> None:
    """Forget a schedule and its runs; what they trained stays."""
    schedules.delete(session, id_, if_match)


@router.post("/{id}/run", status_code=201, responses=created() | problems(404, 409))
async def post_run(services: Wired, id_: Id, response: Response, once: OnceOnly) -> documents.ScheduleRun:
    """Run now, with gate and all; 409 while a run goes on."""
    row = await run_in_threadpool(schedules.run, services, id_, once)
    response.headers["Location"] = f"/v1/schedules/{id_}/runs/{row.id}"
    return await told(services, row.id, 0, lambda session, run: get_run(session, id_, run))


@router.get("/{id}/runs", responses=answer(200, NEXT) | problems(404))
def list_runs(session: Reading, id_: Id, request: Request, response: Response, page: Page) -> documents.ScheduleRuns:
    """The runs of a schedule, newest first, each with its verdict."""
    found = schedules.runs(session, id_, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.ScheduleRuns(items=_documents(session, found.rows), next=found.next)


@router.get("/{id}/runs/{run}", responses=problems(404))
def get_run(session: Reading, id_: Id, run: str) -> documents.ScheduleRun:
    """One run."""
    (document,) = _documents(session, [schedules.run_of(session, id_, run)])
    return document


def _documents(session: Session, rows: Sequence[ScheduleRun]) -> tuple[documents.ScheduleRun, ...]:
    made = trainings.by_id(session, (row.training for row in rows if row.training))
    return tuple(documents.ScheduleRun.of(row, made.get(row.training or "")) for row in rows)
