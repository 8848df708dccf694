"""Routes of /v1/datasets: make, list and read the versions of datasets."""

from fastapi import APIRouter, Request, Response
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
from app.data import datasets
from app.jobs import lifecycle
from app.requests.data import DatasetRequest
from app.requests.texts import TitlePatch
from app.upkeep.references import Thing

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=JsonRoute)


@router.post("", status_code=201, responses=created() | problems(*IN_BODIES, 409))
async def post_dataset(
    services: Wired, response: Response, body: DatasetRequest, once: OnceOnly, wait_s: PreferredWait
) -> documents.Dataset:
    """Make a new version of a dataset. Its job rasterises the labels, checks the splits and counts the pixels."""
    row = await run_in_threadpool(datasets.create, services, body, once)
    response.headers["Location"] = f"/v1/datasets/{row.id}"
    return await document_after_wait(services, row.id, wait_s, _document)


@router.get("", responses=answer(200, NEXT))
def list_datasets(session: Reading, request: Request, response: Response, page: Page) -> documents.Datasets:
    """List the versions of all datasets, newest first."""
    found = datasets.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    work = lifecycle.by_id(session, (row.id for row in found.rows))
    items = tuple(documents.Dataset.of(row, work[row.id]) for row in found.rows)
    return documents.Datasets(items=items, next=found.next)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
def get_dataset(session: Reading, id_: Id, response: Response) -> documents.Dataset:
    """Read one dataset by "name:version", or by "name" for its newest version."""
    row = datasets.get(session, id_)
    etag(response, lifecycle.get(session, row.id).tag)
    return _document(session, row.id)


@router.patch("/{id}", responses=TITLED)
def patch_dataset(
    session: Writing, id_: Id, change: TitlePatch, if_match: Condition, response: Response
) -> documents.Dataset:
    """Change the title of a dataset."""
    retitle(session, Thing("dataset", id_), change, if_match)
    return get_dataset(session, id_, response)


@router.delete("/{id}", status_code=204, response_model=None, responses=DELETED | problems(422))
def delete_dataset(services: Wired, id_: Id, if_match: Condition, how: Deleting) -> Response:
    """Delete a version of a dataset, "name:version". Refused while something needs it, unless that goes as well."""
    return deleted(services, Thing("dataset", id_), if_match, how)


def _document(session: Session, id_: str) -> documents.Dataset:
    return documents.Dataset.of(datasets.get(session, id_), lifecycle.get(session, id_))
