"""/v1/datasets"""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.documents import Json
from app.api.http.deps import Id, Limit, OnceOnly, Token, Wired, link_next
from app.api.http.waiting import honour_prefer
from app.data import datasets
from app.jobs import lifecycle
from app.requests import DatasetRequest

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post("", status_code=201)
async def post_dataset(
    services: Wired, request: Request, response: Response, body: DatasetRequest, once: OnceOnly
) -> Json:
    """Make a new version of a dataset; its job rasterises the labels, checks and counts."""
    row = await run_in_threadpool(datasets.create, services, body, once)
    await honour_prefer(request, services, row.id)
    response.headers["Location"] = f"/v1/datasets/{row.id}"
    return await run_in_threadpool(get_dataset, services, row.id)


@router.get("")
def list_datasets(
    services: Wired, request: Request, response: Response, limit: Limit = 100, token: Token = None
) -> Json:
    """All datasets, newest first."""
    found = datasets.find(services, limit=limit, token=token)
    link_next(request, response, found.next)
    with services.database.read() as session:
        work = lifecycle.by_id(session, (row.id for row in found.rows))
    return {"items": [documents.dataset(row, work[row.id]) for row in found.rows], "next": found.next}


@router.get("/{id}")
def get_dataset(services: Wired, id_: Id) -> Json:
    """One dataset, by "name:version", or the newest version of "name"."""
    with services.database.read() as session:
        row = datasets.get(session, id_)
        return documents.dataset(row, lifecycle.get(session, row.id))
