"""Routes of /v1/trainings: start, list and read trainings."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.http.answers import ETAG, NEXT, answer, created
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import Condition, Id, OnceOnly, PreferredWait, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import Page
from app.api.http.titling import TITLED, retitle
from app.api.http.waiting import document_after_wait
from app.jobs import lifecycle
from app.learning import registry, trainings
from app.requests.learning import TrainingRequest
from app.requests.texts import TitlePatch
from app.upkeep.references import Thing

router = APIRouter(prefix="/v1/trainings", tags=["trainings"], route_class=JsonRoute)
After = Annotated[int, Query(ge=0, le=2**31 - 1, description="Number of the last epoch to leave out.")]


@router.post("", status_code=201, responses=created() | problems(*IN_BODIES, 409))
async def post_training(
    services: Wired, response: Response, body: TrainingRequest, once: OnceOnly, wait_s: PreferredWait
) -> documents.Training:
    """Train a U-Net on a prepared dataset and register it as a model version."""
    row = await run_in_threadpool(trainings.create, services, body, once)
    response.headers["Location"] = f"/v1/trainings/{row.id}"
    return await document_after_wait(services, row.id, wait_s, _document)


@router.get("", responses=answer(200, NEXT))
def list_trainings(session: Reading, request: Request, response: Response, page: Page) -> documents.Trainings:
    """List all trainings, newest first."""
    found = trainings.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    work = lifecycle.by_id(session, (row.id for row in found.rows))
    champions = registry.champions(session, {row.register_as for row in found.rows})
    items = tuple(documents.Training.of(row, work[row.id], champions.get(row.register_as)) for row in found.rows)
    return documents.Trainings(items=items, next=found.next)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
def get_training(session: Reading, id_: Id, response: Response) -> documents.Training:
    """Read one training."""
    found = _document(session, id_)
    etag(response, lifecycle.get(session, id_).tag)
    return found


@router.patch("/{id}", responses=TITLED)
def patch_training(
    session: Writing, id_: Id, change: TitlePatch, if_match: Condition, response: Response
) -> documents.Training:
    """Change the title of a training."""
    retitle(session, Thing("training", id_), change, if_match)
    return get_training(session, id_, response)


@router.delete("/{id}", status_code=204, response_model=None, responses=DELETED)
def delete_training(services: Wired, id_: Id, if_match: Condition, how: Deleting) -> Response:
    """Delete a training whose job has ended. Refused while something needs it, unless that goes as well."""
    return deleted(services, Thing("training", id_), if_match, how)


@router.get("/{id}/series", responses=problems(404))
def get_series(session: Reading, id_: Id, after: After = 0) -> documents.Series:
    """The measurements of each epoch after `after`, also while the training runs.

    They are the terms of the loss, and accuracy, IoU and kappa on the val split.
    """
    return documents.Series(items=tuple(map(documents.Epoch.of, trainings.series(session, id_, after))))


def _document(session: Session, id_: str) -> documents.Training:
    row = trainings.get(session, id_)
    champions = registry.champions(session, {row.register_as})
    return documents.Training.of(row, lifecycle.get(session, id_), champions.get(row.register_as))
