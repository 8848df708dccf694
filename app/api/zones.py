"""Routes of /v1/zones: upload, list, read and delete layers of zones."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from app.api.documents import whole as documents
from app.api.documents.stac import GEOJSON
from app.api.http.answers import ETAG, NEXT, StoredFile, answer, file, uploaded
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import Condition, Id, NewId, OnceSent, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.places import Placed, Places
from app.api.http.problems import IN_UPLOADS, problems
from app.api.http.queries import Page
from app.api.http.titling import TITLED, retitle
from app.api.http.uploads import forms, receiving
from app.api.http.uploads.parameters import ZoneParameters
from app.data.uploads import ID
from app.mapping import zones
from app.requests.texts import TitlePatch
from app.services import Services
from app.storage import Upload
from app.upkeep.references import Thing
from ml.zones.read import ZoneOptions

router = APIRouter(prefix="/v1/zones", tags=["zones"], route_class=JsonRoute)


class RawZones(ZoneParameters):
    """The parameters of PUT, by which the file can also be taken from an upload in pieces."""

    upload: str | None = Field(None, pattern=ID, description="Id of an upload of /v1/uploads, instead of a body.")


async def _add(
    services: Services,
    places: Places,
    name: str,
    upload: Upload,
    options: ZoneOptions,
    response: Response,
    **asked: Any,
) -> documents.ZoneSet:
    row, new = await places.run("upload", partial(zones.add, **asked), services, name, upload, options)
    response.status_code = 201 if new else 200
    etag(response, row.tag)
    response.headers["Location"] = f"/v1/zones/{name}"
    return documents.ZoneSet.of(row)


UPLOADED = uploaded(documents.ZoneSet, ETAG) | problems(*IN_UPLOADS, 412)


@router.put("/{id}", status_code=201, openapi_extra=forms.RAW_BODY, responses=UPLOADED)
async def put_zones(
    services: Wired,
    places: Placed,
    request: Request,
    response: Response,
    name: NewId,
    query: Annotated[RawZones, Query()],
    if_match: Condition,
) -> documents.ZoneSet:
    """Upload zones as the raw body: GeoJSON, GeoPackage or a zipped Shapefile with polygons.

    The format is recognised from the bytes. The same bytes and options again give 200.
    """
    options = query.options()
    async with receiving.received(request, services, query.upload) as upload:
        return await _add(services, places, name, upload, options, response, if_match=if_match, title=query.title)


@router.post("", status_code=201, openapi_extra=forms.form_body(ZoneParameters), responses=UPLOADED)
async def post_zones(
    services: Wired, places: Placed, request: Request, response: Response, head: OnceSent
) -> documents.ZoneSet:
    """Upload zones as a multipart form with the fields `file`, `id` and the parameters of PUT, except `upload`.

    Without `id` it is made from the name of the file, which becomes the title.
    """
    async with forms.form(request, services, ZoneParameters) as (name, fields, upload):
        once = forms.once(head, name, fields, upload)
        return await _add(services, places, name, upload, fields.options(), response, once=once, title=fields.title)


@router.get("", responses=answer(200, NEXT))
def list_zones(session: Reading, request: Request, response: Response, page: Page) -> documents.ZoneSets:
    """List all zone sets, newest first."""
    found = zones.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.ZoneSets(items=tuple(map(documents.ZoneSet.of, found.rows)), next=found.next)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
def get_zones(session: Reading, id_: Id, response: Response) -> documents.ZoneSet:
    """Read one zone set with its report."""
    row = zones.get(session, id_)
    etag(response, row.tag)
    return documents.ZoneSet.of(row)


@router.get("/{id}/features", response_class=StoredFile, responses=file(GEOJSON) | problems(404, 416))
def get_zone_features(services: Wired, id_: Id) -> StoredFile:
    """Download zones as GeoJSON in WGS 84, with code, name, parent and hectares. Range requests are supported."""
    stored = zones.features(services, id_)
    return StoredFile(services.store.file(stored.object), GEOJSON, f"{id_}.geojson", stored.sha256)


@router.patch("/{id}", responses=TITLED)
def patch_zones(
    session: Writing, id_: Id, change: TitlePatch, if_match: Condition, response: Response
) -> documents.ZoneSet:
    """Change the title of a zone set."""
    retitle(session, Thing("zones", id_), change, if_match)
    return get_zones(session, id_, response)


@router.delete("/{id}", status_code=204, response_model=None, responses=DELETED)
def delete_zones(services: Wired, id_: Id, if_match: Condition, how: Deleting) -> Response:
    """Delete a zone set, and the areas that were measured in it."""
    return deleted(services, Thing("zones", id_), if_match, how)
