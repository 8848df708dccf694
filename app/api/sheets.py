"""The routes of map sheets: a prediction or a survey on a page to print."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api.http.answers import BINARY, content
from app.api.http.deps import Id, Wired
from app.api.http.places import Placed, Places
from app.api.http.problems import problems
from app.api.http.queries import ZonesId
from app.api.maps.scene_cogs import cog_of
from app.api.maps.zone_work import measured, sample_measured
from app.mapping import sampled_maps, samples, scene_tiles
from app.mapping.scene_tiles import Drawing
from app.services import Services
from ml.figures import Lang, PageFormat, Paper
from ml.products.scene_picture import Place

router = APIRouter(prefix="/v1")
MEDIA_TYPES: dict[PageFormat, str] = {"pdf": "application/pdf", "png": "image/png"}
SHEET = content({"application/pdf": BINARY, "image/png": BINARY}) | problems(404, 503)
Form = Annotated[PageFormat, Path(alias="format")]
Across = Annotated[Paper, Query(description="The page, across.")]
Texts = Annotated[Lang, Query(description="Language of the text on the sheet.")]
Title = Annotated[str | None, Query(max_length=200, description="Of the sheet; by default that of the map.")]


def _scene_of(services: Services, id_: str) -> tuple[Drawing, Place]:
    from app.mapping import sheets

    scene = sheets.scene_of(services, id_)
    return scene, scene.preview(sheets.PICTURE_PX)


def _draw(services: Services, id_: str, scene: bytes, place: Place, **page: Any) -> bytes:
    from app.mapping import sheets

    return sheets.draw(services, id_, scene, place, sheets.Page(**page))


def _draw_survey(services: Services, id_: str, **page: Any) -> bytes:
    from app.mapping import sheets

    return sheets.draw_survey(services, id_, sheets.Page(**page))


@router.get("/predictions/{id}/sheet.{format}", response_class=Response, responses=SHEET, tags=["predictions"])
async def get_sheet(
    request: Request,
    services: Wired,
    places: Placed,
    id_: Id,
    format_: Form,
    paper: Across = "a4",
    lang: Texts = "en",
    title: Title = None,
    zones: ZonesId = None,
) -> Response:
    """Draw a map sheet: the scene, the map over it, zones, a legend, a scale bar and the hectares.

    Estimates are those of the newest sample with answers, or else indicative.
    """
    await _measured(request, services, places, id_, zones)
    drawing, place = await places.run("figure", _scene_of, services, id_)
    cog = await cog_of(services, places, drawing.scene.id)
    scene = await places.run("picture", scene_tiles.draw, services, drawing, cog, place)
    page = {"paper": paper, "lang": lang, "format": format_, "title": title, "zones": zones}
    drawn = await places.run("figure", _draw, services, id_, scene, place, **page)
    return Response(drawn, media_type=MEDIA_TYPES[format_])


@router.get("/surveys/{id}/sheet.{format}", response_class=Response, responses=SHEET, tags=["surveys"])
async def get_survey_sheet(
    request: Request,
    services: Wired,
    places: Placed,
    id_: Id,
    format_: Form,
    paper: Across = "a4",
    lang: Texts = "en",
    title: Title = None,
    zones: ZonesId = None,
) -> Response:
    """Draw a map sheet of a survey: its mosaic, zones, a legend, a scale bar and the hectares.

    Estimates are those of the newest sample with answers.
    """
    await _measured(request, services, places, id_, zones)
    page = {"paper": paper, "lang": lang, "format": format_, "title": title, "zones": zones}
    drawn = await places.run("figure", _draw_survey, services, id_, **page)
    return Response(drawn, media_type=MEDIA_TYPES[format_])


async def _measured(request: Request, services: Services, places: Places, id_: str, zones: str | None) -> None:
    """Wait until it is known what a map, and its newest sample with answers, have in each zone. Raises `Busy`."""
    if zones is None:
        return
    sample = await run_in_threadpool(_sample, services, id_)
    if sample is None:
        await measured(request, services, places, id_, zones, sampled_maps.zone_task)
    else:
        await sample_measured(request, services, places, sample, zones)


def _sample(services: Services, id_: str) -> str | None:
    with services.database.read() as session:
        found = samples.newest_answered(session, id_)
        return found.id if found else None
