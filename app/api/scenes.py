"""/v1/scenes"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import stac
from app.api.documents import Json
from app.api.http import forms, receiving
from app.api.http.deps import Between, Id, IfMatch, InBox, InPieces, Limit, Token, Wired, etag, link_next
from app.api.http.responses import StoredFile
from app.data import scenes
from app.data.scenes import SceneOptions
from app.requests import ScenePatch
from app.services import Services
from app.storage import Upload

router = APIRouter(prefix="/v1/scenes", tags=["scenes"])
LONGEST = {"acquired": 40, "sensor": 200, "bands": 2000}  # texts, in a query or a form
Acquired = Annotated[str | None, Query(max_length=LONGEST["acquired"], description="Date or RFC 3339 time.")]
Sensor = Annotated[str | None, Query(max_length=LONGEST["sensor"])]
Bands = Annotated[str | None, Query(max_length=LONGEST["bands"], description="Names in order, for instance b,g,r,nir.")]
Nodata = Annotated[
    float | None, Query(allow_inf_nan=False, description="Value of pixels without data, when the file does not say.")
]


def _options(acquired: str | None, sensor: str | None, bands: str | None, nodata: float | None) -> SceneOptions:
    return SceneOptions(
        acquired=scenes.parse_acquired(acquired) if acquired else None,
        sensor=sensor,
        bands=tuple(name.strip() for name in bands.split(",")) if bands else None,
        nodata=nodata,
    )


async def _add(services: Services, name: str, upload: Upload, options: SceneOptions, response: Response) -> Json:
    scene, new = await run_in_threadpool(scenes.add, services, name, upload, options)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/v1/scenes/{name}"
    etag(response, scene.revision)
    return stac.scene_item(scene)


@router.put("/{name}", status_code=201, openapi_extra=forms.RAW_BODY)
async def put_scene(
    services: Wired,
    request: Request,
    response: Response,
    name: str,
    acquired: Acquired = None,
    sensor: Sensor = None,
    bands: Bands = None,
    nodata: Nodata = None,
    upload_id: InPieces = None,
) -> Json:
    """Upload a GeoTIFF as the raw body: `curl -T scene.tif URL/v1/scenes/NAME`. The same bytes again: 200."""
    forms.check_target(name)
    options = _options(acquired, sensor, bands, nodata)
    async with receiving.received(request, services, upload_id) as upload:
        return await _add(services, name, upload, options, response)


@router.post("", status_code=201, openapi_extra=forms.FORM_BODY)
async def post_scene(services: Wired, request: Request, response: Response) -> Json:
    """Upload a GeoTIFF as a multipart form: fields `id`, `file`, and what PUT takes as parameters."""
    async with forms.form(request, services) as (fields, upload):
        acquired, sensor, bands = (fields.text(key, most) for key, most in LONGEST.items())
        options = _options(acquired, sensor, bands, fields.number("nodata"))
        fields.check_all_known()
        return await _add(services, fields.name, upload, options, response)


@router.get("")
def list_scenes(
    services: Wired,
    request: Request,
    response: Response,
    bbox: InBox,
    between: Between,
    limit: Limit = 100,
    token: Token = None,
) -> Json:
    """Scenes as a STAC ItemCollection, newest first."""
    found = scenes.find(services, bbox=bbox, between=between, limit=limit, token=token)
    href = link_next(request, response, found.next)
    return stac.collection(map(stac.scene_item, found.rows), found.next, href)


@router.get("/{id}")
def get_scene(services: Wired, id_: Id, response: Response) -> Json:
    """One scene as a STAC Item."""
    with services.database.read() as session:
        scene = scenes.get(session, id_)
    etag(response, scene.revision)
    return stac.scene_item(scene)


@router.patch("/{id}")
def patch_scene(services: Wired, id_: Id, change: ScenePatch, if_match: IfMatch, response: Response) -> Json:
    """Correct when or by what a scene was acquired."""
    scene = scenes.patch(services, id_, change, if_match)
    etag(response, scene.revision)
    return stac.scene_item(scene)


@router.delete("/{id}", status_code=204)
def delete_scene(services: Wired, id_: Id) -> None:
    """Forget a scene that nothing was made from."""
    scenes.delete(services, id_)


@router.get("/{id}/data", response_class=StoredFile)
def get_scene_data(services: Wired, id_: Id) -> StoredFile:
    """The scene as a cloud-optimised GeoTIFF, with Range."""
    return StoredFile(scenes.cog(services, id_), media_type=stac.COG, filename=f"{id_}.tif")
