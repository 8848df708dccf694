"""Map tiles and pictures of predictions and surveys, which clients may keep for ever."""

from typing import Annotated, Literal

from fastapi import Query, Response
from starlette.concurrency import run_in_threadpool

from app.api.http.copies import has_copy
from app.data.scenes import BBox
from app.mapping import tiles
from app.services import Services

Format = Literal["webp", "png"]
TileFormat = Annotated[Format, Query(description="Format of the tiles to which the document links.")]
MaxSize = Annotated[int, Query(ge=16, le=2048, description="Longest side in pixels.")]


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


def bounds_of(box: BBox) -> BBox:
    """The bounds in a TileJSON for a box in degrees: west, south, east and north.

    They span -180 to 180 if the box crosses the date line, because TileJSON has no other bounds for that.
    """
    west, south, east, north = box
    return (west, south, east, north) if west <= east else (-180.0, south, 180.0, north)


def unchanging(picture: bytes, format_: Format, sha256: str, if_none_match: str) -> Response:
    """A picture that a client may keep for ever, because a product is published once and never changes.

    304 without content if `if_none_match` has the ETag of the picture.
    """
    headers = {"ETag": f'"{sha256[:32]}"', "Cache-Control": "max-age=31536000, immutable"}
    if has_copy(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(picture, media_type=f"image/{format_}", headers=headers)
