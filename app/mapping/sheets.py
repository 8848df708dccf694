"""Map sheets of predictions, to print.

Import this module only when one is drawn, because importing matplotlib takes seconds.
"""

import io
import json
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import shapely
from PIL import Image
from shapely.geometry import MultiPolygon, shape
from sqlalchemy.orm import Session

from app.data import scenes
from app.language.catalogue import chinese
from app.learning import registry
from app.mapping import predictions, tiles, zone_areas
from app.mapping.scene_tiles import Drawing, style_of
from app.mapping.zones import features
from app.services import Services
from app.tables import Prediction
from ml.figures import Lang, PageFormat, Paper
from ml.figures.sheet import AreaLine, Layer, Sheet, Zone, draw_sheet
from ml.figures.style import drawing, render
from ml.figures.texts import words
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

    title: None for that of the prediction, or of its scene. zones: Id of a zone set whose areas are known, or None.
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
    layers = (Layer(np.asarray(grey), _box(place)), _map(services, id_))
    with services.database.read() as session:
        sheet = _sheet(session, predictions.get(session, id_), layers, page)
    if page.zones:
        sheet = replace(sheet, zones=_outlines(services, page.zones, layers[0].box))
    with drawing():
        return render(draw_sheet(sheet, page.paper, page.lang), page.format, _DPI)


def _sheet(session: Session, row: Prediction, layers: tuple[Layer, ...], page: Page) -> Sheet:
    scene = scenes.get(session, row.scene)
    model = registry.get(session, row.model, str(row.version))
    test = model.metrics.test
    facts = (
        ("scene", scene.title or scene.id),
        ("acquired", scene.acquired.date().isoformat() if scene.acquired else "–"),
        ("model", f"{row.model}:{row.version}"),
        ("test split", f"IoU {test.iou:.3f}, kappa {test.kappa:.3f}" if test and test.iou is not None else "–"),
        ("mapped on", row.created.date().isoformat()),
    )
    classes = model.contract.classes
    colours = ((item.name, colours_to_show(classes)[item.value]) for item in classes)
    say = words(page.lang)
    by_zone = zone_areas.areas(session, row, page.zones) if page.zones else []
    areas = (*(it for it in by_zone if it.observed_ha), *predictions.areas(session, row))
    unobserved = {it.zone for it in by_zone if not it.observed_ha}
    left_out = [say("unobserved zones", count=len(unobserved))] if unobserved else []
    whys = dict.fromkeys(it.why for it in areas if it.why)
    return Sheet(
        title=page.title or row.title or scene.title or scene.id,
        facts=facts,
        layers=layers,
        legend=[(name, (red, green, blue)) for name, (red, green, blue, alpha) in colours if alpha],
        zones=(),
        areas=[
            AreaLine(it.name or it.zone or say("whole scene"), it.class_name, it.mapped_ha, it.adjusted_ha, it.ci95_ha)
            for it in areas
        ],
        notes=[*left_out, say("indicative"), *(map(chinese, whys) if page.lang == "zh" else whys)],
    )


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


def _map(services: Services, id_: str) -> Layer:
    """The map of a prediction, through which the scene below is seen."""
    shown = tiles.published(services, id_).tiles
    box = tiles.box(services, id_)
    pixels = preview(shown, PICTURE_PX, box)
    pixels[..., 3] = (_OPACITY * pixels[..., 3]).round()
    return Layer(pixels, shown.world_box(shown.window(box)))


def _box(place: Place) -> WorldBox:
    east, south = place.west + place.side * place.cols, place.north + place.side * place.rows
    return WorldBox(place.west, place.north, east, south)
