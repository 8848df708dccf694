"""Routes for map clients, named as in TiTiler: tiles, tilejson.json and preview.png of /v1/predictions/{id}."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from app.api.documents import whole as documents
from app.api.documents.stac import TILES
from app.api.http.access import with_signature
from app.api.http.answers import BINARY, CACHE, UNCHANGED, content
from app.api.http.copies import IfNoneMatch
from app.api.http.deps import Id, Wired, own_address
from app.api.http.problems import problems
from app.api.maps.map_tiles import Format, MaxSize, TileFormat, bounds_of, opened, tile_of, unchanging
from app.mapping import tiles

router = APIRouter(prefix="/v1/predictions", tags=["tiles"])
Layer = Annotated[tiles.Layer, Query(description="Which map: its classes, or their uncertainty.")]


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
