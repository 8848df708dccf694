"""Routes of /v1/scenes: upload, list, read, correct and delete scenes."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from app.api.documents import whole as documents
from app.api.documents.stac import COG
from app.api.http import digests
from app.api.http.answers import ETAG, NEXT, GeoJson, StoredFile, answer, file, uploaded
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import Address, Condition, Id, NewId, OnceSent, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.places import Placed, Places
from app.api.http.problems import IN_BODIES, IN_UPLOADS, problems
from app.api.http.queries import SceneQuery
from app.api.http.uploads import forms, receiving
from app.api.http.uploads.parameters import SceneParameters
from app.api.maps.scene_cogs import cog_of
from app.data import scenes
from app.data.scenes import SceneOptions, Selection
from app.data.uploads import ID
from app.requests.data import ScenePatch
from app.services import Services
from app.storage import Upload
from app.upkeep.references import Thing

router = APIRouter(prefix="/v1/scenes", tags=["scenes"], route_class=JsonRoute)


class RawScene(SceneParameters):
    """The parameters of PUT, by which the file can also be taken from an upload in pieces."""

    upload: str | None = Field(None, pattern=ID, description="Id of an upload of /v1/uploads, instead of a body.")


async def _add(
    services: Services,
    places: Places,
    name: str,
    upload: Upload,
    options: SceneOptions,
    response: Response,
    address: str,
    **asked: Any,
) -> documents.Scene:
    scene, new = await places.run("upload", partial(scenes.add, **asked), services, name, upload, options)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/v1/scenes/{name}"
    etag(response, scene.tag)
    return documents.Scene.of(scene, address)


UPLOADED = uploaded(documents.Scene, ETAG) | problems(*IN_UPLOADS, 412)


@router.put("/{id}", status_code=201, response_class=GeoJson, openapi_extra=forms.RAW_BODY, responses=UPLOADED)
async def put_scene(
    services: Wired,
    places: Placed,
    request: Request,
    response: Response,
    name: NewId,
    query: Annotated[RawScene, Query()],
    if_match: Condition,
    address: Address,
) -> documents.Scene:
    """Upload a GeoTIFF as the raw body: `curl -T scene.tif URL/v1/scenes/NAME`. The same bytes again give 200."""
    options = query.options()
    async with receiving.received(request, services, query.upload) as upload:
        return await _add(
            services, places, name, upload, options, response, address, if_match=if_match, title=query.title
        )


@router.post(
    "", status_code=201, response_class=GeoJson, openapi_extra=forms.form_body(SceneParameters), responses=UPLOADED
)
async def post_scene(
    services: Wired, places: Placed, request: Request, response: Response, head: OnceSent, address: Address
) -> documents.Scene:
    """Upload a GeoTIFF as a multipart form with the fields `file`, `id` and the parameters of PUT, except `upload`.

    Without `id` it is made from the name of the file, which becomes the title.
    """
    async with forms.form(request, services, SceneParameters) as (name, fields, upload):
        once = forms.once(head, name, fields, upload)
        return await _add(
            services, places, name, upload, fields.options(), response, address, once=once, title=fields.title
        )


@router.get("", response_class=GeoJson, responses=answer(200, NEXT))
def list_scenes(
    session: Reading, request: Request, response: Response, query: SceneQuery, address: Address
) -> documents.Scenes:
    """List scenes as a STAC ItemCollection, newest upload first."""
    found = scenes.find(session, Selection(query.box, query.between), limit=query.limit, token=query.token)
    return documents.Scenes.of(found.rows, address, found.next, link_next(request, response, found.next))


@router.get("/{id}", response_class=GeoJson, responses=answer(200, ETAG) | problems(404))
def get_scene(session: Reading, id_: Id, response: Response, address: Address) -> documents.Scene:
    """Read one scene as a STAC Item."""
    scene = scenes.get(session, id_)
    etag(response, scene.tag)
    return documents.Scene.of(scene, address)


@router.patch("/{id}", response_class=GeoJson, responses=answer(200, ETAG) | problems(*IN_BODIES, 404, 412))
def patch_scene(
    session: Writing, id_: Id, change: ScenePatch, if_match: Condition, response: Response, address: Address
) -> documents.Scene:
    """Correct the time of acquisition, the sensor or the title of a scene."""
    scene = scenes.patch(session, id_, change, if_match)
    etag(response, scene.tag)
    return documents.Scene.of(scene, address)


@router.delete("/{id}", status_code=204, response_model=None, responses=DELETED)
def delete_scene(services: Wired, id_: Id, if_match: Condition, how: Deleting) -> Response:
    """Delete a scene. Refused if a dataset or a prediction was made from it, unless these are deleted with it."""
    return deleted(services, Thing("scene", id_), if_match, how)


@router.get("/{id}/data", response_class=StoredFile, responses=file(COG) | problems(404, 416, 503, 507))
async def get_scene_data(services: Wired, places: Placed, request: Request, id_: Id) -> StoredFile:
    """Download a scene as a cloud-optimised GeoTIFF. Range requests are supported."""
    path = await cog_of(services, places, id_)
    return StoredFile(path, COG, f"{id_}.tif", await digests.of_copy(request, services, places, path))
