"""The colours of classes, the same in maps, styles and figures: cane is green, other is black, as in the paper."""

from collections.abc import Sequence
from xml.etree import ElementTree

from ml.contract import ClassDef

Rgb = tuple[int, int, int]

OTHER: Rgb = (0, 0, 0)
CANE: Rgb = (76, 175, 80)
UNOBSERVED: Rgb = (190, 190, 190)
CANE_NAMES = ("cane", "甘蔗")
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

    A class has the colour that it defines. Otherwise, cane is green and the others have colours that all people can
    tell apart; of two classes, class 1 is green and class 0 black, whatever their names.
    """
    chosen = {item.value: _hex(item.colour) for item in classes if item.colour}
    if len(classes) == 2:
        return {item.value: CANE if item.value == 1 else OTHER for item in classes} | chosen
    others = iter(_OTHERS * (len(classes) // len(_OTHERS) + 1))
    named = {item.value: CANE if _is_cane(item.name) else next(others) for item in classes}
    return named | chosen


def classes_qml(classes: Sequence[ClassDef]) -> str:
    """A QGIS style for class maps: the text of a .qml file with the name and the colour of each class value.

    Nodata has no colour in it.
    """
    root = ElementTree.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1")
    palette = ElementTree.SubElement(renderer, "colorPalette")
    palette_of = colours(classes)
    for item in classes:
        red, green, blue = palette_of[item.value]
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        ElementTree.SubElement(
            palette, "paletteEntry", value=str(item.value), label=item.name, color=colour, alpha="255"
        )
    ElementTree.indent(root)
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + ElementTree.tostring(
        root, encoding="unicode"
    )


def _is_cane(name: str) -> bool:
    return any(text in name.lower() for text in CANE_NAMES)


def _hex(colour: str) -> Rgb:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
