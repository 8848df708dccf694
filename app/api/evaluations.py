"""/v1/evaluations, and the evaluations of a model version"""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.documents import Json
from app.api.http.deps import Id, Limit, OnceOnly, Token, Wired, link_next
from app.api.http.waiting import honour_prefer
from app.api.models import part
from app.jobs import lifecycle
from app.learning import evaluations
from app.requests import EvaluationRequest

router = APIRouter(tags=["evaluations"])


@router.post("/v1/models/{id}/versions/{which}/evaluations", status_code=201)
async def post_evaluation(
    services: Wired,
    request: Request,
    response: Response,
    id_: Id,
    which: str,
    body: EvaluationRequest,
    once: OnceOnly,
) -> Json:
    """Score a version, `3` or `@champion`, on one split of a prepared dataset."""
    version = part(which, "version")
    row = await run_in_threadpool(evaluations.create, services, id_, version, body, once)
    await honour_prefer(request, services, row.id)
    response.headers["Location"] = f"/v1/evaluations/{row.id}"
    return await run_in_threadpool(get_evaluation, services, row.id)


@router.get("/v1/models/{id}/versions/{which}/evaluations")
def list_evaluations(
    services: Wired,
    request: Request,
    response: Response,
    id_: Id,
    which: str,
    limit: Limit = 100,
    token: Token = None,
) -> Json:
    """The evaluations of a version, newest first."""
    found = evaluations.find(services, id_, part(which, "version"), limit=limit, token=token)
    link_next(request, response, found.next)
    with services.database.read() as session:
        work = lifecycle.by_id(session, (row.id for row in found.rows))
    return {"items": [documents.evaluation(row, work[row.id]) for row in found.rows], "next": found.next}


@router.get("/v1/evaluations/{id}")
def get_evaluation(services: Wired, id_: Id) -> Json:
    """One evaluation."""
    with services.database.read() as session:
        row = evaluations.get(session, id_)
        return documents.evaluation(row, lifecycle.get(session, row.id))
