"""/v1/schedules"""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app.api import documents
from app.api.documents import Json
from app.api.http.deps import Id, IfMatch, Limit, OnceOnly, Token, Wired, etag, link_next
from app.learning import trainings
from app.requests import SchedulePatch, ScheduleRequest
from app.schedules import schedule_runs, schedules
from app.tables import ScheduleRun

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])


@router.post("", status_code=201)
def post_schedule(services: Wired, response: Response, body: ScheduleRequest, once: OnceOnly) -> Json:
    """Retrain by cron in a time zone, and promote what is better."""
    row = schedules.create(services, body, once)
    response.headers["Location"] = f"/v1/schedules/{row.id}"
    etag(response, row.revision)
    return documents.schedule(row)


@router.get("")
def list_schedules(
    services: Wired, request: Request, response: Response, limit: Limit = 100, token: Token = None
) -> Json:
    """All schedules, newest first."""
    found = schedules.find(services, limit=limit, token=token)
    link_next(request, response, found.next)
    return {"items": [documents.schedule(row) for row in found.rows], "next": found.next}


@router.get("/{id}")
def get_schedule(services: Wired, id_: Id, response: Response) -> Json:
    """One schedule."""
    with services.database.read() as session:
        row = schedules.get(session, id_)
    etag(response, row.revision)
    return documents.schedule(row)


@router.patch("/{id}")
def patch_schedule(services: Wired, id_: Id, change: SchedulePatch, if_match: IfMatch, response: Response) -> Json:
    """Change times, training or gate; enable or disable."""
    row = schedules.patch(services, id_, change, if_match)
    etag(response, row.revision)
    return documents.schedule(row)


@router.delete("/{id}", status_code=204)
def delete_schedule(services: Wired, id_: Id, if_match: IfMatch) -> None:
    """Forget a schedule and its runs; what they trained stays."""
    schedules.delete(services, id_, if_match)


@router.post("/{id}/run", status_code=201)
def post_run(services: Wired, id_: Id, response: Response, once: OnceOnly) -> Json:
    """Run now, with gate and all; 409 while a run goes on."""
    row = schedules.run(services, id_, once)
    response.headers["Location"] = f"/v1/schedules/{id_}/runs/{row.id}"
    with services.database.read() as session:
        return _documents(session, [row])[0]


@router.get("/{id}/runs")
def list_runs(
    services: Wired, id_: Id, request: Request, response: Response, limit: Limit = 100, token: Token = None
) -> Json:
    """The runs of a schedule, newest first, each with its verdict."""
    with services.database.read() as session:
        schedules.get(session, id_)
    found = schedule_runs.find(services, id_, limit=limit, token=token)
    link_next(request, response, found.next)
    with services.database.read() as session:
        items = _documents(session, found.rows)
    return {"items": items, "next": found.next}


@router.get("/{id}/runs/{run}")
def get_run(services: Wired, id_: Id, run: str) -> Json:
    """One run."""
    with services.database.read() as session:
        return _documents(session, [schedules.run_of(session, id_, run)])[0]


def _documents(session: Session, rows: Sequence[ScheduleRun]) -> list[Json]:
    made = trainings.by_id(session, (row.training for row in rows if row.training))
    return [documents.schedule_run(row, made.get(row.training or "")) for row in rows]
