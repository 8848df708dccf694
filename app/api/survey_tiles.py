"""Routes for map clients of surveys, as those of predictions: tiles, tilejson.json and preview.png of the mosaic."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from app.api.documents import whole as documents
from app.api.documents.stac import TILES
from app.api.http.access import with_signature
from app.api.http.answers import BINARY, CACHE, UNCHANGED, content
from app.api.http.copies import IfNoneMatch
from app.api.http.deps import Id, Wired, own_address
from app.api.http.problems import problems
from app.api.maps.map_tiles import Format, MaxSize, TileFormat, bounds_of, opened, tile_of, unchanging
from app.mapping import tiles
from app.mapping.tiles import SURVEY

router = APIRouter(prefix="/v1/surveys", tags=["tiles"])


@router.get(
    "/{id}/tiles/WebMercatorQuad/{z}/{x}/{y}.{format}",
    response_class=Response,
    responses=content({"image/webp": BINARY, "image/png": BINARY}, CACHE) | UNCHANGED | problems(404),
)
async def get_survey_tile(
    services: Wired,
    id_: Id,
    z: int,
    x: int,
    y: int,
    format_: Annotated[Format, Path(alias="format")],
    if_none_match: IfNoneMatch = "",
) -> Response:
    """A map tile of 256 x 256 px, transparent where the mosaic shows nothing. 404 for zooms that have no tiles."""
    found = await opened(services, id_, SURVEY)
    return await tile_of(found, z, x, y, format_, if_none_match)


@router.get("/{id}/tilejson.json", responses=problems(404))
@router.get(
    "/{id}/tiles/WebMercatorQuad/tilejson.json",
    operation_id="get_survey_tilejson_of_matrix_set",
    responses=problems(404),
)
def get_survey_tilejson(
    services: Wired, request: Request, id_: Id, tile_format: TileFormat = "webp"
) -> documents.TileJson:
    """Describe the map tiles of a survey as TileJSON 3.0.0."""
    found = tiles.published(services, id_, SURVEY).tiles
    return documents.TileJson(
        name=tiles.title(services, id_, SURVEY) or id_,
        tiles=(with_signature(request, f"{own_address(request)}/v1/surveys/{id_}/{TILES}.{tile_format}"),),
        minzoom=found.min_zoom,
        maxzoom=found.max_zoom,
        bounds=bounds_of(tiles.box(services, id_, SURVEY)),
    )


@router.get(
    "/{id}/preview.png",
    response_class=Response,
    responses=content({"image/png": BINARY}, CACHE) | UNCHANGED | problems(404),
)
def get_survey_preview(services: Wired, id_: Id, max_size: MaxSize = 1024, if_none_match: IfNoneMatch = "") -> Response:
    """The whole mosaic of a survey as one PNG picture in Web Mercator."""
    found = tiles.published(services, id_, SURVEY)
    return unchanging(found.preview(max_size, tiles.box(services, id_, SURVEY)), "png", found.sha256, if_none_match)
