"""The route of map sheets: a prediction on a page to print."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from app.api.http.answers import BINARY, content
from app.api.http.deps import Id, Wired
from app.api.http.places import Placed
from app.api.http.problems import problems
from app.api.http.queries import ZonesId
from app.api.maps.scene_cogs import cog_of
from app.api.maps.zone_work import measured
from app.mapping import scene_tiles, zone_areas
from app.mapping.scene_tiles import Drawing
from app.services import Services
from ml.figures import Lang, PageFormat, Paper
from ml.products.scene_picture import Place

router = APIRouter(prefix="/v1/predictions", tags=["predictions"])
MEDIA_TYPES: dict[PageFormat, str] = {"pdf": "application/pdf", "png": "image/png"}
Title = Annotated[str | None, Query(max_length=200, description="Of the sheet; by default that of the prediction.")]


def _scene_of(services: Services, id_: str) -> tuple[Drawing, Place]:
    from app.mapping import sheets

    scene = sheets.scene_of(services, id_)
    return scene, scene.preview(sheets.PICTURE_PX)


def _draw(services: Services, id_: str, scene: bytes, place: Place, **page: Any) -> bytes:
    from app.mapping import sheets

    return sheets.draw(services, id_, scene, place, sheets.Page(**page))


@router.get(
    "/{id}/sheet.{format}",
    response_class=Response,
    responses=content({"application/pdf": BINARY, "image/png": BINARY}) | problems(404, 503),
)
async def get_sheet(
    request: Request,
    services: Wired,
    places: Placed,
    id_: Id,
    format_: Annotated[PageFormat, Path(alias="format")],
    paper: Annotated[Paper, Query(description="The page, across.")] = "a4",
    lang: Annotated[Lang, Query(description="Language of the text on the sheet.")] = "en",
    title: Title = None,
    zones: ZonesId = None,
) -> Response:
    """Draw a map sheet: the scene, the map over it, zones, a legend, a scale bar and the hectares."""
    if zones is not None:
        await measured(request, services, places, id_, zones, zone_areas.task)
    drawing, place = await places.run("figure", _scene_of, services, id_)
    cog = await cog_of(services, places, drawing.scene.id)
    scene = await places.run("picture", scene_tiles.draw, services, drawing, cog, place)
    page = {"paper": paper, "lang": lang, "format": format_, "title": title, "zones": zones}
    drawn = await places.run("figure", _draw, services, id_, scene, place, **page)
    return Response(drawn, media_type=MEDIA_TYPES[format_])
