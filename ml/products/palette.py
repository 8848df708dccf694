"""The colours of classes, the same in maps, styles and figures: cane is green, other is black, as in the paper."""

import colorsys
from collections.abc import Iterator, Sequence
from itertools import chain, count
from xml.etree import ElementTree

from ml.contract import ClassDef

Rgb = tuple[int, int, int]
Rgba = tuple[int, int, int, int]

OTHER: Rgb = (0, 0, 0)
CANE: Rgb = (76, 175, 80)
UNOBSERVED: Rgb = (190, 190, 190)
OTHER_NAMES = ("other", "others", "background", "其他", "其它", "背景")
CANE_NAMES = ("cane", "甘蔗")
_QML = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
# For more than two classes: Paul Tol's qualitative schemes "bright" and "muted" (SRON/EPS/TN/09-002) without grey and
# without the greens, so that cane stays the only green.
_OTHERS: tuple[Rgb, ...] = (
    (68, 119, 170),
    (238, 102, 119),
    (204, 187, 68),
    (170, 51, 119),
    (102, 204, 238),
    (221, 204, 119),
    (51, 34, 136),
    (204, 102, 119),
    (136, 204, 238),
    (136, 34, 85),
    (68, 170, 153),
    (238, 119, 51),
    (153, 153, 51),
    (0, 68, 136),
)


def colours(classes: Sequence[ClassDef]) -> dict[int, Rgb]:
    """The colour of each class value.

    A class has the colour that it defines. Otherwise, the first class that is called cane is green, and the others have
    colours that all people can tell apart, as far as there are enough; of two classes, class 1 is green and class 0
    black, whatever their names. No class is given a colour that another class has.
    """
    chosen = {item.value: _hex(item.colour) for item in classes if item.colour}
    if len(classes) == 2:
        return {item.value: CANE if item.value == 1 else OTHER for item in classes} | chosen
    cane = next((item.value for item in classes if not item.colour and _is_cane(item.name)), None)
    green = {} if cane is None or CANE in chosen.values() else {cane: CANE}
    taken = {CANE, OTHER, UNOBSERVED, *chosen.values()}
    free = (colour for colour in chain(_OTHERS, _hues()) if colour not in taken)
    return {item.value: next(free) for item in classes if item.value not in green} | green | chosen


def colours_to_show(classes: Sequence[ClassDef]) -> dict[int, Rgba]:
    """The colour of each class value with its alpha, which is 0 for what should not hide the map below.

    That is class 0 of two classes, or of more classes if its name says so, unless it defines a colour.
    """
    hidden = {item.value for item in classes if item.value == 0 and not item.colour and _is_other(item.name, classes)}
    return {value: (*colour, 0 if value in hidden else 255) for value, colour in colours(classes).items()}


def uncertainty_colours() -> dict[int, Rgba]:
    """The colour of each byte of an uncertainty: from transparent, where one class is certain, to opaque magenta."""
    return {byte: (170, 0, 120, round(255 * byte / 249)) for byte in range(250)}


def classes_qml(classes: Sequence[ClassDef]) -> str:
    """A QGIS style for class maps: the text of a .qml file with the name and the colour of each class value.

    Nodata has no colour in it, and what `colours_to_show` hides is transparent.
    """
    root = ElementTree.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1")
    palette = ElementTree.SubElement(renderer, "colorPalette")
    palette_of = colours_to_show(classes)
    for item in classes:
        *rgb, alpha = palette_of[item.value]
        known = {"value": str(item.value), "label": item.name, "color": f"#{bytes(rgb).hex()}", "alpha": str(alpha)}
        ElementTree.SubElement(palette, "paletteEntry", known)
    ElementTree.indent(root)
    return _QML + ElementTree.tostring(root, encoding="unicode")


def polygons_qml(classes: Sequence[ClassDef]) -> str:
    """A QGIS style for layers of polygons whose attribute `class` is a class value: name and colour of each class."""
    root = ElementTree.Element("qgis", version="3.22", styleCategories="Symbology")
    renderer = ElementTree.SubElement(root, "renderer-v2", type="categorizedSymbol", attr="class")
    categories, symbols = (ElementTree.SubElement(renderer, name) for name in ("categories", "symbols"))
    palette_of = colours(classes)
    for number, item in enumerate(classes):
        known = {"symbol": str(number), "value": str(item.value), "label": item.name, "render": "true"}
        ElementTree.SubElement(categories, "category", known)
        symbol = ElementTree.SubElement(symbols, "symbol", name=str(number), type="fill", alpha="1")
        layer = ElementTree.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1"})
        colour = ",".join(map(str, palette_of[item.value]))
        fill = {"color": f"{colour},140", "outline_color": f"{colour},255", "outline_width": "0.3", "style": "solid"}
        for key, value in fill.items():
            ElementTree.SubElement(layer, "prop", k=key, v=value)
    ElementTree.indent(root)
    return _QML + ElementTree.tostring(root, encoding="unicode")


def _hues() -> Iterator[Rgb]:
    """Colours without end: each hue is a golden angle from the one before, in turns of three brightnesses."""
    for number in count():
        red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.65, (0.95, 0.7, 0.45)[number % 3])
        yield round(255 * red), round(255 * green), round(255 * blue)


def _is_other(name: str, classes: Sequence[ClassDef]) -> bool:
    return len(classes) == 2 or name.strip().lower() in OTHER_NAMES


def _is_cane(name: str) -> bool:
    return any(text in name.lower() for text in CANE_NAMES)


def _hex(colour: str) -> Rgb:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
