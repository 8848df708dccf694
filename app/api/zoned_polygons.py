"""The route of the polygons of a prediction with the zone of each."""

from collections.abc import Iterator
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Path, Query, Response
from starlette.responses import StreamingResponse

from app.api.documents.stac import MEDIA_TYPES
from app.api.http.answers import BINARY, content
from app.api.http.deps import Id, Wired
from app.api.http.places import Placed
from app.api.http.problems import problems
from app.core.names import ID
from app.mapping import zoned_polygons
from app.mapping.zoned_polygons import PolygonFormat

router = APIRouter(prefix="/v1/predictions", tags=["predictions"])
_PIECE_BYTES = 1 << 20
FILES = content({MEDIA_TYPES[f"polygons.{each}"]: BINARY for each in ("geojson", "gpkg")})
Cut = Annotated[
    str, Query(pattern=f"^{ID.pattern}$", description="Id of the zone set at whose borders polygons are cut.")
]


@router.get("/{id}/zoned-polygons.{format}", response_class=Response, responses=FILES | problems(404, 503))
async def get_zoned_polygons(
    services: Wired, places: Placed, id_: Id, format_: Annotated[PolygonFormat, Path(alias="format")], zones: Cut
) -> Response:
    """The polygons of a prediction, cut at the borders of zones, with the attributes `zone` and `zone_name`.

    Each piece belongs to one zone, or to none: of nested zones to the innermost, and of others that overlap to the
    first of the layer. `area_ha` is that of the piece, and `probability` that of the whole polygon.
    """
    file = await places.run("areas", zoned_polygons.made, services, id_, zones, format_)
    headers = {"Content-Disposition": f'attachment; filename="{id_}-{zones}-polygons.{format_}"'}
    return StreamingResponse(_pieces(file), headers=headers, media_type=MEDIA_TYPES[f"polygons.{format_}"])


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
