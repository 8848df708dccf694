"""Routes of /v1/trainings: start, list and read trainings."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.http.answers import NEXT, answer, created
from app.api.http.deps import Id, OnceOnly, PreferredWait, Reading, Wired, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import Page
from app.api.http.waiting import document_after_wait
from app.jobs import lifecycle
from app.learning import trainings
from app.requests import TrainingRequest

router = APIRouter(prefix="/v1/trainings", tags=["trainings"], route_class=JsonRoute)
After = Annotated[int, Query(ge=0, le=2**31 - 1, description="Number of the last epoch to leave out.")]


@router.post("", status_code=201, responses=created() | problems(*IN_BODIES, 409))
async def post_training(
    services: Wired, response: Response, body: TrainingRequest, once: OnceOnly, wait_s: PreferredWait
) -> documents.Training:
    """Train a U-Net on a prepared dataset and register it as a model version."""
    row = await run_in_threadpool(trainings.create, services, body, once)
    response.headers["Location"] = f"/v1/trainings/{row.id}"
    return await document_after_wait(services, row.id, wait_s, get_training)


@router.get("", responses=answer(200, NEXT))
def list_trainings(session: Reading, request: Request, response: Response, page: Page) -> documents.Trainings:
    """List all trainings, newest first."""
    found = trainings.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    work = lifecycle.by_id(session, (row.id for row in found.rows))
    items = tuple(documents.Training.of(row, work[row.id]) for row in found.rows)
    return documents.Trainings(items=items, next=found.next)


@router.get("/{id}", responses=problems(404))
def get_training(session: Reading, id_: Id) -> documents.Training:
    """Read one training."""
    row = trainings.get(session, id_)
    return documents.Training.of(row, lifecycle.get(session, row.id))


@router.get("/{id}/series", responses=problems(404))
def get_series(session: Reading, id_: Id, after: After = 0) -> documents.Series:
    """The measurements of each epoch after `after`, also while the training runs.

    They are the terms of the loss, and accuracy, IoU and kappa on the val split.
    """
    return documents.Series(items=tuple(map(documents.Epoch.of, trainings.series(session, id_, after))))
