"""Routes of /v1/labels: upload, list, read and delete layers of labels."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from app.api.documents import whole as documents
from app.api.http.answers import ETAG, NEXT, answer, uploaded
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import Condition, Id, NewId, OnceSent, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.places import Placed, Places
from app.api.http.problems import IN_UPLOADS, problems
from app.api.http.queries import Page
from app.api.http.titling import TITLED, retitle
from app.api.http.uploads import forms, receiving
from app.api.http.uploads.parameters import LabelParameters
from app.data import labels
from app.data.uploads import ID
from app.requests.texts import TitlePatch
from app.services import Services
from app.storage import Upload
from app.upkeep.references import Thing
from ml.labels.classes import LabelOptions

router = APIRouter(prefix="/v1/labels", tags=["labels"], route_class=JsonRoute)


class RawLabels(LabelParameters):
    """The parameters of PUT, by which the file can also be taken from an upload in pieces."""

    upload: str | None = Field(None, pattern=ID, description="Id of an upload of /v1/uploads, instead of a body.")


async def _add(
    services: Services,
    places: Places,
    name: str,
    upload: Upload,
    options: LabelOptions,
    response: Response,
    **asked: Any,
) -> documents.LabelSet:
    row, new = await places.run("upload", partial(labels.add, **asked), services, name, upload, options)
    response.status_code = 201 if new else 200
    etag(response, row.tag)
    response.headers["Location"] = f"/v1/labels/{name}"
    return documents.LabelSet.of(row)


UPLOADED = uploaded(documents.LabelSet, ETAG) | problems(*IN_UPLOADS, 412)


@router.put("/{id}", status_code=201, openapi_extra=forms.RAW_BODY, responses=UPLOADED)
async def put_labels(
    services: Wired,
    places: Placed,
    request: Request,
    response: Response,
    name: NewId,
    query: Annotated[RawLabels, Query()],
    if_match: Condition,
) -> documents.LabelSet:
    """Upload labels as the raw body: GeoJSON, GeoPackage, a zipped Shapefile or a raster mask.

    The format is recognised from the bytes. The same bytes and options again give 200.
    """
    options = query.options()
    async with receiving.received(request, services, query.upload) as upload:
        return await _add(services, places, name, upload, options, response, if_match=if_match, title=query.title)


@router.post("", status_code=201, openapi_extra=forms.form_body(LabelParameters), responses=UPLOADED)
async def post_labels(
    services: Wired, places: Placed, request: Request, response: Response, head: OnceSent
) -> documents.LabelSet:
    """Upload labels as a multipart form with the fields `file`, `id` and the parameters of PUT, except `upload`.

    Without `id` it is made from the name of the file, which becomes the title.
    """
    async with forms.form(request, services, LabelParameters) as (name, fields, upload):
        once = forms.once(head, name, fields, upload)
        return await _add(services, places, name, upload, fields.options(), response, once=once, title=fields.title)


@router.get("", responses=answer(200, NEXT))
def list_labels(session: Reading, request: Request, response: Response, page: Page) -> documents.LabelSets:
    """List all label sets, newest first."""
    found = labels.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.LabelSets(items=tuple(map(documents.LabelSet.of, found.rows)), next=found.next)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
def get_labels(session: Reading, id_: Id, response: Response) -> documents.LabelSet:
    """Read one label set with its report."""
    row = labels.get(session, id_)
    etag(response, row.tag)
    return documents.LabelSet.of(row)


@router.patch("/{id}", responses=TITLED)
def patch_labels(
    session: Writing, id_: Id, change: TitlePatch, if_match: Condition, response: Response
) -> documents.LabelSet:
    """Change the title of a label set."""
    retitle(session, Thing("labels", id_), change, if_match)
    return get_labels(session, id_, response)


@router.delete("/{id}", status_code=204, response_model=None, responses=DELETED)
def delete_labels(services: Wired, id_: Id, if_match: Condition, how: Deleting) -> Response:
    """Delete a label set. Refused if a dataset was made from it, unless that is deleted with it."""
    return deleted(services, Thing("labels", id_), if_match, how)
