"""Routes of /v1/scenes/{id} for map clients, named as in TiTiler: tiles, tilejson.json and preview.png."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.documents.stac import TILES
from app.api.http.access import with_signature
from app.api.http.copies import IfNoneMatch, has_copy
from app.api.http.deps import Address, Id, Wired
from app.api.http.parameters import refuse_query
from app.api.http.places import Placed, Places
from app.api.http.problems import problems
from app.api.maps.drawing import PICTURE, DrawingQuery
from app.api.maps.map_tiles import bounds_of
from app.api.maps.scene_cogs import cog_of
from app.core.errors import NotFound
from app.mapping import scene_tiles
from app.mapping.scene_tiles import Drawing
from app.services import Services
from ml.faults import InputRefused
from ml.products.scene_picture import Place

router = APIRouter(prefix="/v1/scenes", tags=["tiles"])


class PreviewQuery(DrawingQuery):
    """The query parameters of a picture of a whole scene."""

    max_size: int = Field(1024, ge=16, le=2048, description="Longest side in pixels.")


async def _drawing(services: Wired, request: Request, id_: Id) -> Drawing:
    """The scene, and how it is drawn. What only the scene shows to be wrong is told with the other faults."""
    query = request.query_params
    try:
        scene = await run_in_threadpool(scene_tiles.stored, services, id_)
    except NotFound:
        refuse_query(request)  # as everywhere, this comes first
        raise
    try:
        return Drawing(scene, scene_tiles.style_of(scene.info, query.get("bands"), query.get("stretch")))
    except InputRefused as refused:
        refuse_query(request, [fault.at(f"query:{fault.pointer[1:]}") for fault in refused.faults])
        raise


Drawn = Annotated[Drawing, Depends(_drawing)]


@router.get("/{id}/tiles/WebMercatorQuad/{z}/{x}/{y}.png", response_class=Response, responses=PICTURE)
async def get_scene_tile(
    services: Wired,
    places: Placed,
    drawing: Drawn,
    query: Annotated[DrawingQuery, Query()],
    z: int,
    x: int,
    y: int,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """A map tile of 256 x 256 px, transparent where the scene has no data. 404 for tiles that do not exist."""
    place = drawing.tile(z, x, y)
    return await _picture(services, places, drawing, place, drawing.tag(z, x, y), if_none_match)


@router.get("/{id}/tilejson.json", responses=problems(404))
@router.get(
    "/{id}/tiles/WebMercatorQuad/tilejson.json",
    operation_id="get_scene_tilejson_of_matrix_set",
    responses=problems(404),
)
def get_scene_tilejson(
    request: Request, drawing: Drawn, query: Annotated[DrawingQuery, Query()], address: Address
) -> documents.TileJson:
    """Describe the map tiles of a scene as TileJSON 3.0.0; they are drawn with the same `bands` and `stretch`."""
    scene, tiles = drawing.scene, drawing.tiles
    asked = urlencode(query.model_dump(exclude_none=True), safe=",")
    return documents.TileJson(
        name=scene.title or scene.id,
        tiles=(with_signature(request, f"{address}/v1/scenes/{scene.id}/{TILES}.png{'?' if asked else ''}{asked}"),),
        minzoom=tiles.zoom - tiles.levels,
        maxzoom=tiles.zoom,
        bounds=bounds_of(scene.info.bbox),
    )


@router.get("/{id}/preview.png", response_class=Response, responses=PICTURE)
async def get_scene_preview(
    services: Wired,
    places: Placed,
    drawing: Drawn,
    query: Annotated[PreviewQuery, Query()],
    if_none_match: IfNoneMatch = "",
) -> Response:
    """The whole scene as one PNG picture in Web Mercator."""
    place, size = drawing.preview(query.max_size), query.max_size
    return await _picture(services, places, drawing, place, drawing.tag(size), if_none_match)


async def _picture(
    services: Services, places: Places, drawing: Drawing, place: Place | None, tag: str, if_none_match: str
) -> Response:
    """A picture as PNG, or 304 if the client has it. place: None for a tile that the scene does not touch.

    Clients ask each time whether their copy is valid: another scene may get the name of one that was deleted.
    """
    headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
    if has_copy(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if place is None:
        return Response(scene_tiles.empty_tile(), media_type="image/png", headers=headers)
    cog = await cog_of(services, places, drawing.scene.id)
    png = await places.run("picture", scene_tiles.draw, services, drawing, cog, place)
    return Response(png, media_type="image/png", headers=headers)
