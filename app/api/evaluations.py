"""Routes of /v1/evaluations, and of the evaluations of a model version."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.http.answers import NEXT, answer, created
from app.api.http.deps import Id, OnceOnly, PreferredWait, Reading, Wired, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import Page
from app.api.http.waiting import document_after_wait
from app.api.models import Which
from app.jobs import lifecycle
from app.learning import evaluations
from app.requests import EvaluationRequest

router = APIRouter(prefix="/v1", tags=["evaluations"], route_class=JsonRoute)
OF_VERSION = "/models/{id}/versions/{which}/evaluations"


@router.post(OF_VERSION, status_code=201, responses=created() | problems(*IN_BODIES, 404, 409))
async def post_evaluation(
    services: Wired,
    response: Response,
    id_: Id,
    which: Which,
    body: EvaluationRequest,
    once: OnceOnly,
    wait_s: PreferredWait,
) -> documents.Evaluation:
    """Score a model version, named by number (`3`) or by alias (`@champion`), on one split of a prepared dataset."""
    row = await run_in_threadpool(evaluations.create, services, id_, which, body, once)
    response.headers["Location"] = f"/v1/evaluations/{row.id}"
    return await document_after_wait(services, row.id, wait_s, get_evaluation)


@router.get(OF_VERSION, responses=answer(200, NEXT) | problems(404))
def list_evaluations(
    session: Reading, request: Request, response: Response, id_: Id, which: Which, page: Page
) -> documents.Evaluations:
    """List the evaluations of a model version, newest first."""
    found = evaluations.find(session, id_, which, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    work = lifecycle.by_id(session, (row.id for row in found.rows))
    items = tuple(documents.Evaluation.of(row, work[row.id]) for row in found.rows)
    return documents.Evaluations(items=items, next=found.next)


@router.get("/evaluations/{id}", responses=problems(404))
def get_evaluation(session: Reading, id_: Id) -> documents.Evaluation:
    """Read one evaluation."""
    row = evaluations.get(session, id_)
    return documents.Evaluation.of(row, lifecycle.get(session, row.id))
