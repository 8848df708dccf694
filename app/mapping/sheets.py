"""Map sheets of predictions and surveys, to print.

Import this module only when one is drawn, because importing matplotlib takes seconds.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import shapely
from PIL import Image
from shapely.geometry import MultiPolygon, shape
from sqlalchemy.orm import Session

from app.data import scenes
from app.learning import registry
from app.mapping import predictions, sheet_areas, survey_areas, surveys, tiles, zone_areas
from app.mapping.scene_tiles import Drawing, style_of
from app.mapping.zones import features
from app.services import Services
from app.tables import Prediction, Survey
from ml.figures import Lang, PageFormat, Paper
from ml.figures.sheet import Layer, Sheet, Zone, draw_sheet
from ml.figures.style import drawing, render
from ml.products.palette import colours_to_show
from ml.products.scene_picture import Place
from ml.products.web_grid import WorldBox, lonlat
from ml.products.web_tiles import preview

PICTURE_PX = 1600  # longest side of the pictures on a sheet: about 200 dots per inch on A4
_DPI = 200
_OPACITY = 0.65  # of the map, through which the scene is seen


@dataclass(frozen=True)
class Page:
    """How a sheet is asked for.

    title: None for that of the prediction or survey, or of its scene. zones: Id of a zone set whose areas are known, or
    None.
    """

    paper: Paper
    lang: Lang
    format: PageFormat
    title: str | None
    zones: str | None


def scene_of(services: Services, id_: str) -> Drawing:
    """The scene of a prediction, to be drawn. Raises `NotReady` before there is a map, and `NotFound` without tiles."""
    tiles.published(services, id_)
    with services.database.read() as session:
        scene = scenes.get(session, predictions.get(session, id_).scene)
    return Drawing(scene, style_of(scene.info, None, None))


def draw(services: Services, id_: str, scene: bytes, place: Place, page: Page) -> bytes:
    """The sheet of a prediction as a file. scene: The picture of its scene as PNG. place: Where that lies."""
    with Image.open(io.BytesIO(scene), formats=("PNG",)) as picture:
        grey = picture.convert("LA").convert("RGBA")  # the colours of classes are seen on it
    layers = (Layer(np.asarray(grey), _box(place)), _map(services, id_, tiles.PREDICTION, _OPACITY))
    with services.database.read() as session:
        sheet = _of_prediction(session, predictions.get(session, id_), layers, page)
    return _rendered(services, sheet, page)


def draw_survey(services: Services, id_: str, page: Page) -> bytes:
    """The sheet of a survey as a file: its mosaic on white ground. Raises `NotReady`, and `NotFound` without tiles."""
    layer = _map(services, id_, tiles.SURVEY)
    with services.database.read() as session:
        sheet = _of_survey(session, surveys.get(session, id_), layer, page)
    return _rendered(services, sheet, page)


def _rendered(services: Services, sheet: Sheet, page: Page) -> bytes:
    if page.zones:
        sheet = replace(sheet, zones=_outlines(services, page.zones, sheet.layers[0].box))
    with drawing():
        return render(draw_sheet(sheet, page.paper, page.lang), page.format, _DPI)


def _of_prediction(session: Session, row: Prediction, layers: tuple[Layer, ...], page: Page) -> Sheet:
    scene = scenes.get(session, row.scene)
    facts = (
        ("scene", scene.title or scene.id),
        ("acquired", scene.acquired.date().isoformat() if scene.acquired else "–"),
    )
    by_zone = zone_areas.areas(session, row, page.zones) if page.zones else []
    found = sheet_areas.of_map(
        session, row.id, by_zone, predictions.areas(session, row), page.zones, page.lang, "whole scene"
    )
    return Sheet(
        title=page.title or row.title or scene.title or scene.id,
        facts=(*facts, *_facts(session, row), *found.facts),
        layers=layers,
        legend=_legend(session, row),
        zones=(),
        areas=found.lines,
        notes=found.notes,
        sampled=found.sampled,
    )


def _of_survey(session: Session, row: Survey, layer: Layer, page: Page) -> Sheet:
    covered = surveys.covered(session, row.id)
    days = dict.fromkeys(time.date().isoformat() for time in covered.times if time)
    by_zone = survey_areas.areas(session, row, page.zones) if page.zones else []
    found = sheet_areas.of_map(
        session, row.id, by_zone, surveys.areas(session, row), page.zones, page.lang, "whole survey"
    )
    facts = (("scenes", f"{covered.scenes:,}"), ("acquired", " – ".join(days) or "–"))
    return Sheet(
        title=page.title or row.title or row.id,
        facts=(*facts, *_facts(session, row), *found.facts),
        layers=(layer,),
        legend=_legend(session, row),
        zones=(),
        areas=found.lines,
        notes=found.notes,
        sampled=True,
        ground=shape(covered.footprint),
    )


def _facts(session: Session, row: Prediction | Survey) -> Iterator[tuple[str, str]]:
    """Yield what a sheet says of the model of a map, and of the day on which it was made."""
    test = registry.get(session, row.model, str(row.version)).metrics.test
    yield "model", f"{row.model}:{row.version}"
    yield "test split", f"IoU {test.iou:.3f}, kappa {test.kappa:.3f}" if test and test.iou is not None else "–"
    yield "mapped on", row.created.date().isoformat()


def _legend(session: Session, row: Prediction | Survey) -> list[tuple[str, tuple[int, int, int]]]:
    classes = registry.get(session, row.model, str(row.version)).contract.classes
    colours = ((item.name, colours_to_show(classes)[item.value]) for item in classes)
    return [(name, (red, green, blue)) for name, (red, green, blue, alpha) in colours if alpha]


def _outlines(services: Services, zones: str, box: WorldBox) -> list[Zone]:
    """The zones that touch a box, with as many corners as the sheet can show."""
    pixel = (box.east - box.west) * 360 / PICTURE_PX
    (west, east), (north, south) = lonlat(np.array([box.west, box.east]), np.array([box.north, box.south]))
    shown = MultiPolygon([shapely.box(west + turn, south, east + turn, north) for turn in (-360, 0, 360)])
    found = []
    with services.store.file(features(services, zones).object).open(encoding="utf-8") as lines:
        for line in islice(lines, 1, None):  # after the head of the collection each zone has a line
            if line.startswith("]"):
                break
            zone = json.loads(line.rstrip().removesuffix(","))
            about, outline = zone["properties"], shape(zone["geometry"])
            if outline.intersects(shown):
                found.append(Zone(about["name"] or about["code"], shapely.simplify(outline, pixel / 2)))
    return found


def _map(services: Services, id_: str, kind: tiles.Kind, opacity: float = 1.0) -> Layer:
    """The map of a prediction or survey. opacity: Below 1, what lies below the map is seen through it."""
    shown = tiles.published(services, id_, kind).tiles
    box = tiles.box(services, id_, kind)
    pixels = preview(shown, PICTURE_PX, box)
    pixels[..., 3] = (opacity * pixels[..., 3]).round()
    return Layer(pixels, shown.world_box(shown.window(box)))


def _box(place: Place) -> WorldBox:
    east, south = place.west + place.side * place.cols, place.north + place.side * place.rows
    return WorldBox(place.west, place.north, east, south)
