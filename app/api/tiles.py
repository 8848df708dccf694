"""Routes for map clients, named as in TiTiler: tiles, tilejson.json and preview.png of /v1/predictions/{id}."""

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.documents.stac import TILES
from app.api.http.access import with_signature
from app.api.http.answers import BINARY, CACHE, content
from app.api.http.copies import has_copy
from app.api.http.deps import Id, Wired, own_address
from app.api.http.problems import problems
from app.data.scenes import BBox
from app.mapping import tiles
from app.services import Services

router = APIRouter(prefix="/v1/predictions", tags=["tiles"])
Format = Literal["webp", "png"]
TileFormat = Annotated[Format, Query(description="Format of the tiles to which the document links.")]
MaxSize = Annotated[int, Query(ge=16, le=2048, description="Longest side in pixels.")]
Layer = Annotated[tiles.Layer, Query(description="Which map: its classes, or their uncertainty.")]
IfNoneMatch = Annotated[str, Header(description="ETag of the copy that the client has.")]
UNCHANGED = {304: {"description": "The copy of the client is still valid.", "headers": CACHE}}


@router.get(
    "/{id}/tiles/WebMercatorQuad/{z}/{x}/{y}.{format}",
    response_class=Response,
    responses=content({"image/webp": BINARY, "image/png": BINARY}, CACHE) | UNCHANGED | problems(404),
)
async def get_tile(
    services: Wired,
    id_: Id,
    z: int,
    x: int,
    y: int,
    format_: Annotated[Format, Path(alias="format")],
    layer: Layer = "classes",
    if_none_match: IfNoneMatch = "",
) -> Response:
    """A map tile of 256 x 256 px, transparent where the map shows nothing. 404 for zooms that have no tiles."""
    found = await opened(services, id_, layer=layer)
    return await tile_of(found, z, x, y, format_, if_none_match)


async def opened(
    services: Services, id_: str, kind: tiles.Kind = tiles.PREDICTION, layer: tiles.Layer = "classes"
) -> tiles.Published:
    """The tiles of a map, without a thread if its file was opened lately."""
    found = tiles.recently_opened(services, id_, kind, layer)
    if found is None:
        found = await run_in_threadpool(tiles.published, services, id_, kind, layer)
    return found


async def tile_of(found: tiles.Published, z: int, x: int, y: int, format_: Format, if_none_match: str) -> Response:
    """A tile as WebP, which is stored so, or as PNG, which a thread encodes."""
    tile = found.webp(z, x, y) if format_ == "webp" else await run_in_threadpool(found.png, z, x, y)
    return unchanging(tile, format_, found.sha256, if_none_match)


@router.get("/{id}/tilejson.json", responses=problems(404))
@router.get(
    "/{id}/tiles/WebMercatorQuad/tilejson.json", operation_id="get_tilejson_of_matrix_set", responses=problems(404)
)
def get_tilejson(
    services: Wired, request: Request, id_: Id, tile_format: TileFormat = "webp", layer: Layer = "classes"
) -> documents.TileJson:
    """Describe the map tiles of a prediction as TileJSON 3.0.0."""
    found = tiles.published(services, id_, layer=layer).tiles
    query = "" if layer == "classes" else f"?layer={layer}"
    return documents.TileJson(
        name=tiles.title(services, id_) or id_,
        tiles=(with_signature(request, f"{own_address(request)}/v1/predictions/{id_}/{TILES}.{tile_format}{query}"),),
        minzoom=found.min_zoom,
        maxzoom=found.max_zoom,
        bounds=bounds_of(tiles.box(services, id_)),
    )


def bounds_of(box: BBox) -> BBox:
    """The bounds in a TileJSON for a box in degrees: west, south, east and north.

    They span -180 to 180 if the box crosses the date line, because TileJSON has no other bounds for that.
    """
    west, south, east, north = box
    return (west, south, east, north) if west <= east else (-180.0, south, 180.0, north)


@router.get(
    "/{id}/preview.png",
    response_class=Response,
    responses=content({"image/png": BINARY}, CACHE) | UNCHANGED | problems(404),
)
def get_preview(
    services: Wired, id_: Id, max_size: MaxSize = 1024, layer: Layer = "classes", if_none_match: IfNoneMatch = ""
) -> Response:
    """The whole map of a prediction as one PNG picture in Web Mercator."""
    found = tiles.published(services, id_, layer=layer)
    return unchanging(found.preview(max_size, tiles.box(services, id_)), "png", found.sha256, if_none_match)


def unchanging(picture: bytes, format_: Format, sha256: str, if_none_match: str) -> Response:
    """A picture that a client may keep for ever, because a product is published once and never changes.

    304 without content if `if_none_match` has the ETag of the picture.
    """
    headers = {"ETag": f'"{sha256[:32]}"', "Cache-Control": "max-age=31536000, immutable"}
    if has_copy(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(picture, media_type=f"image/{format_}", headers=headers)
