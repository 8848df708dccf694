"""Map sheets of predictions, to print.

Import this module only when one is drawn, because importing matplotlib takes seconds.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from sqlalchemy.orm import Session

from app.data import scenes
from app.learning import registry
from app.mapping import predictions, tiles
from app.mapping.scene_tiles import Drawing, style_of
from app.services import Services
from app.tables import Prediction
from ml.figures import Lang, PageFormat, Paper
from ml.figures.sheet import AreaLine, Layer, Sheet, draw_sheet
from ml.figures.style import drawing, render
from ml.figures.texts import words
from ml.products.palette import colours_to_show
from ml.products.scene_picture import Place
from ml.products.web_grid import WorldBox
from ml.products.web_tiles import preview

PICTURE_PX = 1600  # longest side of the pictures on a sheet: about 200 dots per inch on A4
_DPI = 200
_OPACITY = 0.65  # of the map, through which the scene is seen


@dataclass(frozen=True)
class Page:
    """How a sheet is asked for. title: None for that of the prediction, or for its scene."""

    paper: Paper
    lang: Lang
    format: PageFormat
    title: str | None


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
    lowest = Layer(np.asarray(grey), _box(place))
    layers = (lowest, _map(services, id_))
    with services.database.read() as session:
        sheet = _sheet(session, predictions.get(session, id_), layers, page)
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
    found = predictions.areas(session, row)
    return Sheet(
        title=page.title or row.title or scene.title or scene.id,
        facts=facts,
        layers=layers,
        legend=[(name, (red, green, blue)) for name, (red, green, blue, alpha) in colours if alpha],
        zones=(),
        areas=[AreaLine(say("whole scene"), it.class_name, it.mapped_ha, it.adjusted_ha, it.ci95_ha) for it in found],
        notes=[say("indicative"), *{it.why for it in found if it.why}],
    )


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
