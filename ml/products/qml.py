"""A QGIS style for class maps: names and colours of the classes."""

from collections.abc import Sequence
from xml.etree import ElementTree

from ml.contract import ClassDef
from ml.products.palette import colours


def classes_qml(classes: Sequence[ClassDef]) -> str:
    """The .qml text that gives each class value its name and colour, and nodata none."""
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
