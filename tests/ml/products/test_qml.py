"""The QGIS style."""

from xml.etree import ElementTree

from ml.contract import ClassDef
from ml.products.qml import classes_qml


def test_each_class_has_its_name_and_colour() -> None:
    text = classes_qml([ClassDef(value=0, name="other"), ClassDef(value=1, name="甘蔗 <cane>")])
    entries = ElementTree.fromstring(text.split("\n", 1)[1]).iter("paletteEntry")
    assert [(entry.get("value"), entry.get("label"), entry.get("color")) for entry in entries] == [
        ("0", "other", "#000000"),
        ("1", "甘蔗 <cane>", "#4caf50"),
    ]
