"""Routes of /v1/evaluations, and of the evaluations of a model version."""

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.http.answers import ETAG, NEXT, answer, created
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import (
    Condition,
    Id,
    ModelId,
    OnceOnly,
    PreferredWait,
    Reading,
    Which,
    Wired,
    Writing,
    etag,
    link_next,
)
from app.api.http.json_bodies import JsonRoute
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import Page
from app.api.http.titling import TITLED, retitle
from app.api.http.waiting import document_after_wait
from app.jobs import lifecycle
from app.learning import evaluations, registry, sharing
from app.requests.learning import EvaluationRequest
from app.requests.texts import TitlePatch
from app.upkeep.references import Thing

router = APIRouter(prefix="/v1", tags=["evaluations"], route_class=JsonRoute)
OF_VERSION = "/models/{id}/versions/{which}/evaluations"


@router.post(OF_VERSION, status_code=201, responses=created() | problems(*IN_BODIES, 404, 409))
async def post_evaluation(
    services: Wired,
    response: Response,
    id_: ModelId,
    which: Which,
    body: EvaluationRequest,
    once: OnceOnly,
    wait_s: PreferredWait,
) -> documents.Evaluation:
    """Score a model version, named by number (`3`) or by alias (`@champion`), on one split of a prepared dataset."""
    row = await run_in_threadpool(evaluations.create, services, id_, which, body, once)
    response.headers["Location"] = f"/v1/evaluations/{row.id}"
    return await document_after_wait(services, row.id, wait_s, _document)


@router.get(OF_VERSION, responses=answer(200, NEXT) | problems(404))
def list_evaluations(
    services: Wired, session: Reading, request: Request, response: Response, id_: ModelId, which: Which, page: Page
) -> documents.Evaluations:
    """List the own evaluations of a model version, newest first."""
    with sharing.reading(services, id_) as (owners, name):
        number = registry.get(owners, name, which).version
    found = evaluations.find(session, id_, number, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    work = lifecycle.by_id(session, (row.id for row in found.rows))
    items = tuple(documents.Evaluation.of(row, work[row.id]) for row in found.rows)
    return documents.Evaluations(items=items, next=found.next)


@router.get("/evaluations/{id}", responses=answer(200, ETAG) | problems(404))
def get_evaluation(session: Reading, id_: Id, response: Response) -> documents.Evaluation:
    """Read one evaluation."""
    found = _document(session, id_)
    etag(response, lifecycle.get(session, id_).tag)
    return found


@router.patch("/evaluations/{id}", responses=TITLED)
def patch_evaluation(
    session: Writing, id_: Id, change: TitlePatch, if_match: Condition, response: Response
) -> documents.Evaluation:
    """Change the title of an evaluation."""
    retitle(session, Thing("evaluation", id_), change, if_match)
    return get_evaluation(session, id_, response)


@router.delete("/evaluations/{id}", status_code=204, response_model=None, responses=DELETED)
def delete_evaluation(services: Wired, id_: Id, if_match: Condition, how: Deleting) -> Response:
    """Delete an evaluation whose job has ended. Refused while something needs it, unless that goes as well."""
    return deleted(services, Thing("evaluation", id_), if_match, how)


def _document(session: Session, id_: str) -> documents.Evaluation:
    return documents.Evaluation.of(evaluations.get(session, id_), lifecycle.get(session, id_))
