"""The colours of classes."""

from itertools import combinations
from math import dist
from xml.etree import ElementTree

from ml.contract import BINARY, ClassDef
from ml.products.palette import CANE, OTHER, UNOBSERVED, classes_qml, colours, colours_to_show

CROPS = [
    ClassDef(value=value, name=name)
    for value, name in enumerate(["other", "maize", "Sugarcane", "cassava", "rice", "forest", "water"])
]


def test_of_two_classes_class_1_is_green_and_class_0_black_with_any_names() -> None:
    assert colours(BINARY) == {0: OTHER, 1: CANE}
    assert colours([ClassDef(value=1, name="rape"), ClassDef(value=0, name="cane?")]) == {0: OTHER, 1: CANE}


def test_a_class_with_a_colour_of_its_own_keeps_it() -> None:
    assert colours([BINARY[0], ClassDef(value=1, name="甘蔗", colour="#0A0b0C")])[1] == (10, 11, 12)


def test_of_many_classes_the_one_named_cane_is_green() -> None:
    assert colours(CROPS)[2] == CANE
    assert colours([*CROPS[:2], ClassDef(value=9, name="新植甘蔗")])[9] == CANE


def test_the_colours_of_classes_differ_from_each_other_and_from_that_of_unobserved_pixels() -> None:
    of_value = colours(CROPS)
    assert all(dist(a, b) > 40 for a, b in combinations([*of_value.values(), UNOBSERVED], 2))


def test_there_are_colours_for_as_many_classes_as_a_mask_can_have() -> None:
    of_value = colours([ClassDef(value=value, name=f"class {value}") for value in range(255)])
    assert len(of_value) == len(set(of_value.values())) == 255


def test_of_several_classes_that_are_called_cane_one_is_green() -> None:
    cane = [ClassDef(value=value, name=name) for value, name in ((0, "rice"), (10, "ratoon cane"), (254, "plant cane"))]
    of_value = colours(cane)
    assert of_value[10] == CANE
    assert len(set(of_value.values())) == 3


def test_a_colour_that_a_class_has_chosen_is_given_to_no_other() -> None:
    chosen = ClassDef(value=3, name="rice", colour="#4477aa"), ClassDef(value=4, name="tea", colour="#4caf50")
    of_value = colours([*CROPS[1:3], *chosen])
    assert len(set(of_value.values())) == 4
    assert (of_value[3], of_value[4]) == ((0x44, 0x77, 0xAA), CANE)


def test_what_is_no_crop_hides_nothing_unless_it_has_a_colour_of_its_own() -> None:
    assert colours_to_show(BINARY) == {0: (*OTHER, 0), 1: (*CANE, 255)}
    assert {value: colour[3] for value, colour in colours_to_show(CROPS).items()} == {0: 0} | dict.fromkeys(
        range(1, 7), 255
    )
    crops = [ClassDef(value=0, name="rice"), *CROPS[1:3]]
    assert {colour[3] for colour in colours_to_show(crops).values()} == {255}
    assert colours_to_show([ClassDef(value=0, name="other", colour="#000000"), BINARY[1]])[0] == (0, 0, 0, 255)
    alphas = [
        entry.get("alpha")
        for entry in ElementTree.fromstring(classes_qml(BINARY).split("\n", 1)[1]).iter("paletteEntry")
    ]
    assert alphas == ["0", "255"]


def test_the_qgis_style_has_the_name_and_the_colour_of_each_class() -> None:
    text = classes_qml([ClassDef(value=0, name="other"), ClassDef(value=1, name="甘蔗 <cane>")])
    entries = ElementTree.fromstring(text.split("\n", 1)[1]).iter("paletteEntry")
    assert [(entry.get("value"), entry.get("label"), entry.get("color")) for entry in entries] == [
        ("0", "other", "#000000"),
        ("1", "甘蔗 <cane>", "#4caf50"),
    ]
