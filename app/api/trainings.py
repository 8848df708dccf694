"""/v1/trainings"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.documents import Json
from app.api.http.deps import Id, Limit, OnceOnly, Token, Wired, link_next
from app.api.http.waiting import honour_prefer
from app.jobs import lifecycle
from app.learning import trainings
from app.requests import TrainingRequest

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])


@router.post("", status_code=201)
async def post_training(
    services: Wired, request: Request, response: Response, body: TrainingRequest, once: OnceOnly
) -> Json:
    """Train a U-Net on a prepared dataset and register what comes out."""
    row = await run_in_threadpool(trainings.create, services, body, once)
    await honour_prefer(request, services, row.id)
    response.headers["Location"] = f"/v1/trainings/{row.id}"
    return await run_in_threadpool(get_training, services, row.id)


@router.get("")
def list_trainings(
    services: Wired, request: Request, response: Response, limit: Limit = 100, token: Token = None
) -> Json:
    """All trainings, newest first."""
    found = trainings.find(services, limit=limit, token=token)
    link_next(request, response, found.next)
    with services.database.read() as session:
        work = lifecycle.by_id(session, (row.id for row in found.rows))
    return {"items": [documents.training(row, work[row.id]) for row in found.rows], "next": found.next}


@router.get("/{id}")
def get_training(services: Wired, id_: Id) -> Json:
    """One training."""
    with services.database.read() as session:
        row = trainings.get(session, id_)
        return documents.training(row, lifecycle.get(session, row.id))


@router.get("/{id}/series")
def get_series(services: Wired, id_: Id, after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0) -> Json:
    """Loss by part, accuracy, IoU and kappa by epoch, while it runs; only the epochs after `after`."""
    with services.database.read() as session:
        rows = trainings.series(session, id_, after)
    return {"items": [documents.epoch(row) for row in rows]}
