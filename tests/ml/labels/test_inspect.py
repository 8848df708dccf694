from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from shapely.geometry import Polygon

from ml.faults import InputRefused
from ml.geo.crs import to_wgs84
from ml.geo.datum_shifts import DatumShift
from ml.labels.classes import LabelOptions
from ml.labels.inspect import LabelReport, inspect_labels
from ml.labels.rasterise import rasterise
from tests.ml.conftest import MakeScene
from tests.ml.labels.layers import Item, geojson, square, zipped_shapefile

CLASSES = {"cane": 1, "maize": 0}
ITEMS: list[Item] = [(square(0, 0), {"crop": "cane", "no": 1}), (square(20, 0, 20), {"crop": "maize", "no": 2})]
HECTARE = 1 / 0.9996**2  # UTM scales lengths by 0.9996 on its central meridian


def codes(path: Path, **options: Any) -> list[str]:
    with pytest.raises(InputRefused) as refused:
        inspect_labels(path, LabelOptions(**options))
    assert all(fault.detail and fault.hint for fault in refused.value.faults)
    return [fault.code for fault in refused.value.faults]


def test_the_report_counts_features_and_hectares_by_class(tmp_path: Path) -> None:
    report = inspect_labels(geojson(tmp_path / "x", ITEMS), LabelOptions(class_field="crop", classes=CLASSES))
    assert (report.kind, report.features, report.crs) == ("geojson", 2, "EPSG:32648")
    assert [(item.value, item.name, item.features) for item in report.by_class] == [(0, "maize", 1), (1, "cane", 1)]
    assert [item.area_ha for item in report.by_class] == pytest.approx([4 * HECTARE, HECTARE], rel=1e-4)
    assert report.bbox == pytest.approx((105, 10.8537, 105.0037, 10.8555), abs=1e-4)
    assert LabelReport.model_validate_json(report.model_dump_json()) == report


def test_the_bounding_box_contains_a_layer_that_bulges_beyond_its_corners(tmp_path: Path) -> None:
    # Asia in an Albers projection
    wide = Polygon([(-2e6, 2e6), (0, 2e6), (2e6, 2e6), (2e6, 5e6), (0, 5e6), (-2e6, 5e6)])
    west, south, east, north = inspect_labels(geojson(tmp_path / "x", [(wide, {})], crs="ESRI:102025")).bbox
    lon, lat = to_wgs84(pyproj.CRS("ESRI:102025")).transform([-2e6, 0, 2e6, 0], [5e6, 5e6, 2e6, 2e6])
    assert west <= min(lon) and max(lon) <= east
    assert south <= min(lat) and max(lat) <= north


def test_without_classes_every_polygon_is_class_1(tmp_path: Path) -> None:
    (only,) = inspect_labels(geojson(tmp_path / "x", ITEMS)).by_class
    assert (only.value, only.features) == (1, 2)


def test_the_class_attribute_is_guessed_from_the_classes(tmp_path: Path) -> None:
    report = inspect_labels(geojson(tmp_path / "x", ITEMS), LabelOptions(classes=CLASSES))
    assert [item.value for item in report.by_class] == [0, 1]


def test_numbers_are_matched_by_their_text(tmp_path: Path) -> None:
    items = [(polygon, {"code": 6.0}) for polygon, _ in ITEMS]
    report = inspect_labels(geojson(tmp_path / "x", items), LabelOptions(class_field="code", classes={"6": 1}))
    assert report.by_class[0].value == 1


def test_without_classes_the_attribute_is_the_class_value(tmp_path: Path) -> None:
    path = geojson(tmp_path / "x", ITEMS)
    assert [item.value for item in inspect_labels(path, LabelOptions(class_field="no")).by_class] == [1, 2]
    assert codes(path, class_field="crop") == ["unknown_class", "unknown_class"]


CANE_OR_NOT = LabelOptions(class_field="crop", classes={"cane": 1, "*": 0})


def inspected(tmp_path: Path, *texts: Any, options: LabelOptions = CANE_OR_NOT) -> LabelReport:
    """Return the report of a layer of squares with these values in the attribute `crop`."""
    items: list[Item] = [(square(20 * number, 0), {"crop": text}) for number, text in enumerate(texts)]
    return inspect_labels(geojson(tmp_path / "x", items), options)


def features_by_class(report: LabelReport) -> dict[int, int | None]:
    return {item.value: item.features for item in report.by_class}


def test_a_star_maps_every_other_text_but_not_a_missing_one(tmp_path: Path) -> None:
    report = inspected(tmp_path, "cane", "rice", None, "", " \t", "\u3000", "\ufeff")
    assert features_by_class(report) == {0: 1, 1: 1, 255: 5}
    assert report.unlabelled == 5
    assert [note.code for note in report.warnings] == ["no_class_text"]
    assert report.warnings[0].detail.startswith("5 of 7 polygons")


def test_the_owner_can_give_missing_texts_a_class(tmp_path: Path) -> None:
    options = LabelOptions(class_field="crop", classes={"cane": 1, "": 0})
    report = inspected(tmp_path, "cane", None, " ", options=options)
    assert features_by_class(report) == {0: 2, 1: 1} and report.unlabelled == 0


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("cane", " cane\u00a0"),
        ("cane", "\ufeffcane"),
        ("cane", "ca\u200bne"),
        ("cane", "cane\u200e"),
        ("cane\u2060", "cane"),
        (" cane ", "cane"),
        ("caña", "can\u0303a"),
        ("can\u0303a", "caña"),
        ("甘蔗", "\u3000甘蔗"),
        ("1", 1),
        ("1", 1.0),
        ("1.0", 1),
        ("1", "1.0"),
        ("1.50", "1.5"),
        ("-2", -2.0),
        ("01", "01"),
    ],
)
def test_what_does_not_matter_in_a_text_does_not_matter(tmp_path: Path, key: str, text: Any) -> None:
    options = LabelOptions(class_field="crop", classes={key: 1, "*": 0})
    report = inspected(tmp_path, text, "rice", options=options)
    assert features_by_class(report) == {0: 1, 1: 1}


@pytest.mark.parametrize("text", ["Cane", "CANE", "ｃａｎｅ", "ca ne"])
def test_a_text_that_only_looks_like_a_class_is_pointed_out(tmp_path: Path, text: str) -> None:
    report = inspected(tmp_path, "cane", text, "rice", "rice")
    assert features_by_class(report) == {0: 3, 1: 1}
    assert [(item.text, item.count, item.like) for item in report.other_texts or ()] == [
        (text, 1, "cane"),
        ("rice", 2, None),
    ]
    assert [note.code for note in report.warnings] == ["similar_text"]


@pytest.mark.parametrize("text", ["01", "１", "1e0", "one", "+1"])
def test_what_may_be_a_code_is_not_taken_for_a_number(tmp_path: Path, text: str) -> None:
    options = LabelOptions(class_field="crop", classes={"1": 1, "*": 0})
    assert features_by_class(inspected(tmp_path, 1, text, options=options)) == {0: 1, 1: 1}


@pytest.mark.parametrize("text", ["01", "+1", "1.", "1E0", "１．０"])
def test_a_number_in_another_form_is_pointed_out(tmp_path: Path, text: str) -> None:
    options = LabelOptions(class_field="crop", classes={"1": 1, "*": 0})
    report = inspected(tmp_path, 1, text, "2", options=options)
    assert features_by_class(report) == {0: 2, 1: 1}
    (note,) = report.warnings
    assert note.code == "similar_text" and f"{text!r} (1, like '1')" in note.detail


@pytest.mark.parametrize("text", ["新植甘蔗", "甘蔗、水稻", "宿根 甘蔗", "Sugar Cane 甘蔗"])
def test_a_text_that_holds_that_of_another_class_is_pointed_out(tmp_path: Path, text: str) -> None:
    options = LabelOptions(class_field="crop", classes={"甘蔗": 1, "稻": 2, "甘薯": 0, "*": 0})
    report = inspected(tmp_path, "甘蔗", text, "稻", "甘薯", "紫甘薯", options=options)
    (note,) = report.warnings
    assert note.code == "longer_text" and f"{text!r} (1, holds '甘蔗')" in note.detail and "紫甘薯" not in note.detail


@pytest.mark.parametrize("text", ["<Null>", "NULL", "nan", "None", "#N/A", "N/A", "-", "未知", " 无", "Unknown"])
def test_a_text_that_stands_for_a_missing_value_is_pointed_out(tmp_path: Path, text: str) -> None:
    (note,) = inspected(tmp_path, "cane", text, "rice").warnings
    assert note.code == "missing_text" and f"{text.strip()!r} (1)" in note.detail
    options = LabelOptions(class_field="crop", classes={"cane": 1, text: 255, "*": 0})
    assert inspected(tmp_path, "cane", text, "rice", options=options).warnings == ()


def test_the_report_lists_what_the_star_caught_with_counts(tmp_path: Path) -> None:
    texts = [f"crop {number:02}" for number in range(30) for _ in range(1 + number % 3)]
    report = inspected(tmp_path, "cane", *texts)
    assert report.other_texts_left == 10
    assert [item.count for item in report.other_texts or ()] == [3] * 10 + [2] * 10
    assert LabelReport.model_validate_json(report.model_dump_json()) == report


def test_two_keys_that_are_the_same_text_but_different_classes_are_refused(tmp_path: Path) -> None:
    path = geojson(tmp_path / "x", ITEMS)
    assert codes(path, class_field="crop", classes={"cane": 1, "cane ": 0, "*": 0}) == ["ambiguous_class"]


def test_a_class_that_matches_nothing_is_refused_with_the_texts_that_are_there(tmp_path: Path) -> None:
    path = geojson(tmp_path / "x", [*ITEMS, (square(60, 0), {"crop": "maize"})])
    with pytest.raises(InputRefused) as refused:
        inspect_labels(path, LabelOptions(class_field="crop", classes={"sugarcane": 1, "sugar cane": 1, "*": 0}))
    (fault,) = refused.value.faults
    assert fault.code == "unmatched_class" and "'sugarcane' or 'sugar cane'" in fault.detail
    assert "maize 2, cane 1" in fault.hint


def test_a_refusal_says_that_the_encoding_was_guessed(tmp_path: Path) -> None:
    items: list[Item] = [(square(0, 0), {"crop": "甘蔗"}), (square(20, 0), {"crop": "rice"})]
    path = zipped_shapefile(tmp_path / "x", items, encoding="big5")
    options = LabelOptions(class_field="crop", classes={"甘蔗": 1, "*": 0})
    with pytest.raises(InputRefused) as refused:
        inspect_labels(path, options)
    (fault,) = refused.value.faults
    assert fault.code == "unmatched_class" and "read as gb18030, which is a guess" in fault.detail
    named = zipped_shapefile(tmp_path / "y", items, encoding="big5", cpg="BIG5")
    assert features_by_class(inspect_labels(named, options)) == {0: 1, 1: 1}


@pytest.mark.parametrize(
    ("encoding", "cpg", "doubt"), [("big5", None, "guessed_encoding"), ("gbk", "UTF-8", "undecodable_text")]
)
def test_classes_that_are_unknown_as_their_encoding_is_are_refused_with_both(
    tmp_path: Path, encoding: str, cpg: str | None, doubt: str
) -> None:
    items: list[Item] = [(square(0, 0), {"crop": "甘蔗"}), (square(20, 0), {"crop": "水稻"})]
    path = zipped_shapefile(tmp_path / "x", items, encoding=encoding, cpg=cpg)
    assert codes(path, class_field="crop", classes={"甘蔗": 1, "水稻": 0}) == [doubt, "unknown_class", "unknown_class"]


def test_a_key_that_matches_nothing_is_a_warning_where_its_class_has_another(tmp_path: Path) -> None:
    options = LabelOptions(class_field="crop", classes={"cane": 1, "甘蔗": 1, "wheat": 0, "*": 0, "unsure": 255})
    (note,) = inspected(tmp_path, "cane", "maize", options=options).warnings
    assert note.code == "unmatched_text" and "'甘蔗', 'wheat'" in note.detail and "maize 1" in note.hint


def test_a_layer_may_hold_nothing_of_class_0(tmp_path: Path) -> None:
    options = LabelOptions(class_field="crop", classes={"cane": 1, "other": 0})
    report = inspected(tmp_path, "cane", options=options)
    assert features_by_class(report) == {1: 1}
    assert [note.code for note in report.warnings] == ["unmatched_text", "single_class"]


@pytest.mark.parametrize("classes", [None, {"cane": 1, "*": 0}])
def test_an_attribute_that_is_not_there_is_refused_with_those_that_are(
    tmp_path: Path, classes: dict[str, int] | None
) -> None:
    with pytest.raises(InputRefused) as refused:
        inspect_labels(geojson(tmp_path / "x", ITEMS), LabelOptions(class_field="crops", classes=classes))
    (fault,) = refused.value.faults
    assert fault.code == "missing_class" and "crop (cane 1, maize 1); no (1 1, 2 1)" in fault.hint


def test_the_name_of_an_attribute_is_compared_like_a_text(tmp_path: Path) -> None:
    items: list[Item] = [(polygon, {"\ufeffcrop ": text["crop"]}) for polygon, text in ITEMS]
    report = inspect_labels(geojson(tmp_path / "x", items), CANE_OR_NOT)
    assert features_by_class(report) == {0: 1, 1: 1}


def test_unlabelled_polygons_contradict_no_class(tmp_path: Path) -> None:
    items: list[Item] = [(square(0, 0), {"crop": "cane"}), (square(0, 0), {"crop": None}), *ITEMS[1:]]
    report = inspect_labels(geojson(tmp_path / "x", items), CANE_OR_NOT)
    assert [note.code for note in report.warnings] == ["no_class_text", "overlapping_polygons"]


def test_the_star_never_catches_255_or_nodata_of_a_mask(make_scene: MakeScene) -> None:
    mask = np.full((1, 64, 64), 255, dtype=np.uint8)
    mask[0, :8], mask[0, 8:12], mask[0, 12:14], mask[0, 14] = 1, 0, 9, 77
    path = make_scene(mask, nodata=77)
    report = inspect_labels(path, LabelOptions(classes={"1": 1, "*": 0}))
    assert {item.value: item.pixels for item in report.by_class} == {0: 384, 1: 512, 255: 3200}
    assert [(item.text, item.count) for item in report.other_texts or ()] == [("0", 256), ("9", 128)]
    report = inspect_labels(path, LabelOptions(classes={"1": 1, "255": 2, "*": 0}))
    assert {item.value: item.pixels for item in report.by_class} == {0: 384, 1: 512, 2: 3136, 255: 64}


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (np.int16, -1),
        (np.int16, -9999),
        (np.int16, -32768),
        (np.int16, 32767),
        (np.uint16, 65535),
        (np.int32, -2147483648),
        (np.int32, 2147483647),
        (np.uint32, 4294967295),
        (np.int8, -128),
    ],
)
def test_the_star_never_catches_what_programs_write_for_no_data(
    make_scene: MakeScene, tmp_path: Path, dtype: type[np.integer[Any]], value: int
) -> None:
    mask: np.ndarray = np.zeros((1, 40, 40), dtype=dtype)
    mask[0, :10], mask[0, 10:15] = 1, value
    path, counts = make_scene(mask), {0: 1000, 1: 400, 255: 200}
    report = inspect_labels(path, LabelOptions(classes={"1": 1, "*": 0}))
    assert {item.value: item.pixels for item in report.by_class} == counts
    assert [(item.text, item.count) for item in report.other_texts or ()] == [("0", 1000)]
    (note,) = report.warnings
    assert note.code == "no_data_values" and f"{value} 200" in note.detail
    assert rasterise([(path, LabelOptions(classes={"1": 1, "*": 0}))], path, tmp_path / "out.tif").counts == counts
    report = inspect_labels(path, LabelOptions(classes={"1": 1, str(value): 2, "*": 0}))
    assert {item.value: item.pixels for item in report.by_class} == {0: 1000, 1: 400, 2: 200}
    assert codes(path) == (["unknown_class"])


def test_a_class_that_is_the_nodata_value_of_the_mask_is_named(make_scene: MakeScene) -> None:
    mask = np.zeros((1, 40, 40), dtype=np.uint8)
    mask[0, :10] = 1
    path = make_scene(mask, nodata=0)
    notes = inspect_labels(path, LabelOptions(classes={"1": 1, "*": 0})).warnings
    (note,) = (note for note in notes if note.code == "unmatched_text")
    assert "nodata value 0" in note.detail and "1,200 pixels" in note.detail
    note, single = inspect_labels(path, LabelOptions(classes={"1": 1, "0": 0})).warnings
    assert note.code == "unmatched_text" and "nodata value 0" in note.detail
    assert single.code == "single_class" and "background" not in single.hint  # a mask has none
    with pytest.raises(InputRefused) as refused:
        inspect_labels(path, LabelOptions(classes={"1": 0, "0": 1}))
    (fault,) = refused.value.faults
    assert fault.code == "unmatched_class" and "nodata value 0" in fault.detail


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32])
def test_a_class_that_no_pixel_of_a_mask_has_is_refused_with_the_values_that_are_there(
    make_scene: MakeScene, dtype: type[np.integer[Any]]
) -> None:
    mask: np.ndarray = np.zeros((1, 40, 40), dtype=dtype)
    mask[0, :10] = 6
    with pytest.raises(InputRefused) as refused:
        inspect_labels(make_scene(mask), LabelOptions(classes={"1": 1, "*": 0}))
    (fault,) = refused.value.faults
    assert fault.code == "unmatched_class" and "0 1200, 6 400" in fault.hint


@pytest.mark.parametrize(
    ("properties", "options", "code"),
    [
        ({"crop": "rice"}, {"class_field": "crop", "classes": CLASSES}, "unknown_class"),
        ({"crop": None}, {"class_field": "crop", "classes": CLASSES}, "missing_class"),
        ({"crop": " "}, {"class_field": "crop", "classes": CLASSES}, "missing_class"),
        ({"crop": "cane"}, {"class_field": "name", "classes": CLASSES}, "missing_class"),
        ({"crop": "rice"}, {"classes": CLASSES}, "missing_class"),
        ({"crop": "cane", "was": "maize"}, {"classes": CLASSES}, "missing_class"),
        ({"no": 256}, {"class_field": "no"}, "unknown_class"),
        ({"no": -1}, {"class_field": "no"}, "unknown_class"),
    ],
)
def test_a_polygon_without_a_known_class_is_refused(
    tmp_path: Path, properties: dict[str, Any], options: dict[str, Any], code: str
) -> None:
    assert codes(geojson(tmp_path / "x", [(square(0, 0), properties)]), **options) == [code]


def test_polygons_of_two_classes_in_one_place_are_refused(tmp_path: Path) -> None:
    items = [*ITEMS, (square(1, 1), {"crop": "maize"})]
    assert codes(geojson(tmp_path / "x", items), class_field="crop", classes=CLASSES) == ["conflicting_labels"]


def test_a_small_overlap_of_neighbours_is_accepted_with_a_warning(tmp_path: Path) -> None:
    items = [*ITEMS, (square(9.5, 0), {"crop": "maize"})]
    report = inspect_labels(geojson(tmp_path / "x", items), LabelOptions(class_field="crop", classes=CLASSES))
    assert [note.code for note in report.warnings] == ["overlapping_polygons"]


@pytest.mark.parametrize(
    ("squares", "px"),
    [
        ([square(0, 0), square(0, 0)], 100),  # the same polygon twice
        ([square(0, 0), square(0, 0), square(0, 0)], 100),
        ([square(0, 0), square(2, 2, 5)], 100),  # one inside another
        ([square(0, 0), square(5, 0)], 150),
        ([square(0, 0), square(5, 0), square(5, 0)], 150),
    ],
)
def test_ground_that_polygons_of_one_class_cover_twice_counts_once(
    tmp_path: Path, squares: list[Polygon], px: int
) -> None:
    items: list[Item] = [*((each, {"crop": "cane"}) for each in squares), (square(20, 0), {"crop": "rice"})]
    report = inspect_labels(geojson(tmp_path / "x", items), CANE_OR_NOT)
    other, cane = report.by_class
    assert cane.area_ha == pytest.approx(px / 100 * HECTARE, rel=1e-4) and cane.features == len(squares)
    assert other.area_ha == pytest.approx(HECTARE, rel=1e-4)
    (note,) = report.warnings  # and no conflict
    assert note.code == "repeated_ground" and "class 1" in note.detail


def test_neighbours_that_touch_cover_nothing_twice(tmp_path: Path) -> None:
    items: list[Item] = [(square(10 * col, 10 * row), {}) for col in range(3) for row in range(3)]
    report = inspect_labels(geojson(tmp_path / "x", items), LabelOptions(background=0))
    assert report.warnings == () and report.by_class[0].area_ha == pytest.approx(9 * HECTARE, rel=1e-4)


def test_of_very_many_neighbours_equal_ones_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.labels.repeated_ground.MAX_POINTS", 20)
    items: list[Item] = [(square(10 * (number // 2), 0), {}) for number in range(6)]
    report = inspect_labels(geojson(tmp_path / "x", items))
    assert report.by_class[0].area_ha == pytest.approx(3 * HECTARE, rel=1e-4)


def test_pixels_of_a_mask_are_counted_by_class(make_scene: MakeScene) -> None:
    mask = np.full((1, 50, 60), 255, dtype=np.uint8)
    mask[0, :10], mask[0, 10:12], mask[0, 12] = 1, 0, 7
    report = inspect_labels(make_scene(mask, nodata=7))
    assert (report.kind, report.features, report.crs) == ("raster", 0, "EPSG:32648")
    assert [(item.value, item.pixels) for item in report.by_class] == [(0, 120), (1, 600), (255, 2280)]
    assert report.by_class[1].area_ha == pytest.approx(6 * HECTARE, rel=1e-4)


@pytest.mark.parametrize(("scale", "offset"), [(10, 0), (1, 1), (0.0001, 0), (-1, 1), (0, 0)])
def test_a_mask_with_a_scale_is_refused_with_both_mends(make_scene: MakeScene, scale: float, offset: float) -> None:
    path = make_scene(np.eye(64, dtype=np.uint8)[None])
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (scale,), (offset,)
    with pytest.raises(InputRefused) as refused:
        inspect_labels(path)
    (fault,) = refused.value.faults
    assert fault.code == "bad_scale" and "-scale 1" in fault.hint and "-unscale" in fault.hint


def test_values_of_a_mask_are_mapped_by_the_classes(make_scene: MakeScene) -> None:
    mask = np.repeat(np.array([[[0, 6, 36, 300]]], dtype=np.uint16), 40, axis=1)
    path = make_scene(mask)
    report = inspect_labels(path, LabelOptions(classes={"0": 255, "6": 1, "*": 0}))
    assert [(item.value, item.pixels) for item in report.by_class] == [(0, 80), (1, 40), (255, 40)]
    assert codes(path) == ["unknown_class"]
    assert codes(path, classes={"6": 1}) == ["unknown_class"] * 3


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (np.zeros((3, 40, 40), dtype=np.uint8), "not_a_mask"),
        (np.zeros((1, 40, 40), dtype=np.float32), "not_a_mask"),
        (np.arange(1600, dtype=np.uint16).reshape(1, 40, 40), "not_a_mask"),
        (np.full((1, 40, 40), 255, dtype=np.uint8), "no_labels"),
    ],
)
def test_an_image_is_refused_as_a_mask(make_scene: MakeScene, image: np.ndarray, code: str) -> None:
    assert codes(make_scene(image)) == [code]


@pytest.mark.parametrize("nodata", [None, 9])
def test_the_report_on_a_mask_does_not_depend_on_its_type_and_its_tiles(
    make_scene: MakeScene, nodata: int | None
) -> None:
    values = np.random.default_rng(0).choice(np.array([0, 3, 7, 9, 255]), (1, 2500, 2300))
    options = LabelOptions(classes={"3": 1, "7": 1, "255": 2, "*": 0})
    tiled = {"tiled": True, "blockxsize": 2304, "blockysize": 2304}
    reports = [
        inspect_labels(make_scene(values.astype(dtype), nodata=nodata, **blocks), options)
        for dtype, blocks in (("uint8", {}), ("uint8", tiled), ("int32", {}))
    ]
    expected = {0: [0] if nodata else [0, 9], 1: [3, 7], 2: [255]}
    for report in reports:
        pixels = {item.value: item.pixels for item in report.by_class if item.value != 255}
        assert pixels == {value: int(np.isin(values, of).sum()) for value, of in expected.items()}
        assert sum(item.area_ha for item in report.by_class) == pytest.approx(values.size / 100 * HECTARE, rel=1e-4)


def test_a_mask_without_a_crs_is_refused(make_scene: MakeScene) -> None:
    assert codes(make_scene(np.ones((1, 40, 40), dtype=np.uint8), crs=None)) == ["missing_crs"]


def warnings_of(report: LabelReport) -> list[str]:
    return [note.code for note in report.warnings]


def test_the_report_names_the_datum_shift_of_the_layer_and_how_exact_it_is(tmp_path: Path) -> None:
    field = shapely.box(113.5, 22.2, 113.51, 22.21)
    report = inspect_labels(geojson(tmp_path / "x", [(field, {})], crs="EPSG:4214"), LabelOptions(background=0))
    assert report.datum_shift == DatumShift(name="Beijing 1954 to WGS 84 (3)", accuracy_m=15, inside=True)
    (note,) = report.warnings
    assert note.code == "inexact_datum_shift" and "exact to 15 m" in note.detail
    assert LabelReport.model_validate_json(report.model_dump_json()) == report


def test_a_datum_without_a_known_shift_is_never_silent(tmp_path: Path) -> None:
    field = shapely.box(113.5, 22.2, 113.51, 22.21)
    report = inspect_labels(geojson(tmp_path / "x", [(field, {})], crs="EPSG:4610"), LabelOptions(background=0))
    assert report.datum_shift is not None and report.datum_shift.accuracy_m is None
    (note,) = report.warnings
    assert note.code == "unknown_datum_shift" and "Xian 1980" in note.detail and "up to 100 m" in note.detail


@pytest.mark.parametrize(
    ("code", "x", "y"),
    [
        ("EPSG:27700", 300_000, 600_000),  # OSGB36: PROJ knows several operations from each of these datums
        ("EPSG:3035", 3_900_000, 3_600_000),  # ETRS89
        ("EPSG:5514", -700_000, -1_050_000),  # S-JTSK, Krovak
        ("EPSG:21418", 18_500_000, 3_500_000),  # Beijing 1954
        ("EPSG:24048", 400_000, 1_300_000),  # Indian 1975
        ("EPSG:30169", 1_000, 2_000),  # Tokyo
        ("EPSG:26710", 500_000, 6_100_000),  # NAD27
        ("EPSG:32722", 600_000, 7_500_000),  # one operation
    ],
)
def test_a_projected_layer_has_its_place_whatever_its_datum(tmp_path: Path, code: str, x: float, y: float) -> None:
    field = shapely.box(x, y, x + 1000, y + 1000)
    report = inspect_labels(geojson(tmp_path / "x", [(field, {})], crs=code))
    corners = shapely.get_coordinates(field).T
    lon, lat = pyproj.Transformer.from_crs(code, "OGC:CRS84", always_xy=True).transform(*corners)
    place = (min(lon), min(lat), max(lon), max(lat))
    assert report.bbox == pytest.approx(place, abs=5e-3)  # another operation of the datum moves it by up to 0.5 km


@pytest.mark.parametrize(
    ("code", "x", "y", "beyond"),
    [
        ("EPSG:5513", 1_050_000, 700_000, None),  # Krovak counts south, then west
        ("EPSG:5513", 700_000, 1_050_000, "2.9 degrees"),
        ("EPSG:32648", 200_000, 2_500_000, None),  # a little west of the zone
        ("EPSG:32648", 1_100_000, 2_500_000, "2.8 degrees"),
        ("EPSG:32660", 900_000, 2_500_000, None),  # the zone ends at the date line
        ("EPSG:2326", 840_000, 1_100_000, "2.3 degrees"),
    ],
)
def test_a_layer_far_from_where_its_crs_is_used_is_pointed_out(
    tmp_path: Path, code: str, x: float, y: float, beyond: str | None
) -> None:
    report = inspect_labels(geojson(tmp_path / "x", [(shapely.box(x, y, x + 1000, y + 1000), {})], crs=code))
    found = [note.detail for note in report.warnings if note.code == "outside_area_of_use"]
    assert len(found) == (beyond is not None) and all(str(beyond) in detail for detail in found)


@pytest.mark.parametrize("crs", ["EPSG:32648", "EPSG:4547", "EPSG:3857", "ESRI:102025"])
def test_polygons_in_degrees_with_a_projected_crs_are_pointed_out(tmp_path: Path, crs: str) -> None:
    field = shapely.box(108.3, 22.8, 108.31, 22.81)
    found = [note.code for note in inspect_labels(geojson(tmp_path / "x", [(field, {})], crs=crs)).warnings]
    assert found.count("like_degrees") == 1 and "outside_area_of_use" not in found


@pytest.mark.parametrize(
    ("options", "lossy"),
    [
        ({"compress": "JPEG"}, "JPEG"),
        ({"compress": "LERC", "max_z_error": 1}, "LERC"),
        ({"compress": "LERC"}, ""),
        ({"compress": "DEFLATE"}, ""),
    ],
)
def test_a_mask_whose_values_compression_changes_is_pointed_out(
    make_scene: MakeScene, options: dict[str, Any], lossy: str
) -> None:
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[0, 10:50, 5:40], mask[0, :5] = 1, 255
    report = inspect_labels(make_scene(mask, tiled=True, **options), LabelOptions(classes={"1": 1, "*": 0}))
    found = [note.detail for note in report.warnings if note.code == "lossy_mask"]
    assert [detail.partition(" ")[0] for detail in found] == ([lossy] if lossy else [])


def test_a_mask_in_degrees_with_a_projected_crs_is_pointed_out(make_scene: MakeScene) -> None:
    mask = np.ones((1, 8, 8), np.uint8)
    (note,) = (
        note
        for note in inspect_labels(make_scene(mask, transform=Affine(1e-4, 0, 108.3, 0, -1e-4, 22.8))).warnings
        if note.code == "like_degrees"
    )
    assert "gdal_edit.py -a_srs EPSG:4326" in note.hint


def test_the_box_of_a_layer_around_a_pole_reaches_the_pole(tmp_path: Path) -> None:
    around = shapely.box(-1000, -1000, 1000, 1000)
    west, south, east, north = inspect_labels(geojson(tmp_path / "x", [(around, {})], crs="EPSG:3031")).bbox
    assert (west, south, east) == (-180, -90, 180)
    assert north == pytest.approx(-89.99, abs=0.01)


@pytest.mark.parametrize("crs", ["EPSG:4490", "EPSG:4326", "OGC:CRS84"])
def test_layers_in_cgcs2000_and_wgs84_need_no_warning(tmp_path: Path, crs: str) -> None:
    path = geojson(tmp_path / "x", [(shapely.box(113.5, 22.2, 113.51, 22.21), {})], crs=crs)
    report = inspect_labels(path, LabelOptions(background=0))
    assert report.warnings == () and (report.datum_shift is None or report.datum_shift.accuracy_m == 1)


def test_fields_in_grads_have_their_hectares_and_their_place(tmp_path: Path) -> None:
    field = shapely.box(600_100, 2_199_500, 600_600, 2_199_900)
    lambert = inspect_labels(geojson(tmp_path / "x", [(field, {})], crs="EPSG:27572"))
    assert lambert.by_class[0].area_ha == pytest.approx(20 / 0.99987742**2, rel=1e-5)
    there = pyproj.Transformer.from_crs("EPSG:27572", "EPSG:4807", always_xy=True)
    in_grads = shapely.transform(field, there.transform, interleaved=False)
    grads = inspect_labels(geojson(tmp_path / "x", [(in_grads, {})], crs="EPSG:4807"))
    assert grads.by_class[0].area_ha == pytest.approx(lambert.by_class[0].area_ha, rel=1e-5)
    assert grads.bbox == pytest.approx(lambert.bbox, abs=1e-5)
    assert grads.bbox == pytest.approx((2.338, 46.795, 2.345, 46.799), abs=1e-3)


def test_latitudes_up_to_a_hundred_grads_are_on_the_earth(tmp_path: Path) -> None:
    north = geojson(tmp_path / "x", [(shapely.box(0, 95, 1, 96), {})], crs="EPSG:4807")
    assert inspect_labels(north).bbox[1] == pytest.approx(85.5, abs=0.1)
    assert codes(geojson(tmp_path / "y", [(shapely.box(0, 100, 1, 101), {})], crs="EPSG:4807")) == ["bad_extent"]


@pytest.mark.parametrize(
    ("one", "other"),
    [(179.9, -180.0), (179.9, 180.0), (-180.1, -180.0)],
)
def test_a_layer_on_both_sides_of_the_date_line_has_a_narrow_box(tmp_path: Path, one: float, other: float) -> None:
    items: list[Item] = [(shapely.box(west, -17, west + 0.1, -16.9), {}) for west in (one, other)]
    west, south, east, north = inspect_labels(geojson(tmp_path / "x", items, crs=None)).bbox
    assert (west, south, east, north) == pytest.approx((179.9, -17, -179.9, -16.9))


def test_a_polygon_drawn_round_the_earth_is_pointed_out(tmp_path: Path) -> None:
    belt = Polygon([(179.9, -17), (-179.9, -17), (-179.9, -16), (179.9, -16)])
    report = inspect_labels(geojson(tmp_path / "x", [(belt, {})], crs=None), LabelOptions(background=0))
    assert warnings_of(report) == ["wide_polygon"] and "1" in report.warnings[0].detail


def test_longitudes_of_more_than_a_full_turn_are_refused(tmp_path: Path) -> None:
    items: list[Item] = [(shapely.box(west, -17, west + 0.1, -16.9), {}) for west in (-170, 300)]
    assert codes(geojson(tmp_path / "x", items, crs=None)) == ["bad_extent"]


def test_polygons_without_an_attribute_for_their_classes_are_noted_if_they_differ(tmp_path: Path) -> None:
    note, _ = inspect_labels(geojson(tmp_path / "x", ITEMS)).warnings
    assert note.code == "one_class" and note.hint is not None and "crop (cane 1, maize 1)" in note.hint
    alike: list[Item] = [(polygon, {"crop": "cane", "no": number}) for number, (polygon, _) in enumerate(ITEMS)]
    assert inspect_labels(geojson(tmp_path / "y", alike), LabelOptions(background=0)).warnings == ()


def single(report: LabelReport) -> str:
    (note,) = (note for note in report.warnings if note.code == "single_class")
    return note.detail + note.hint


def test_polygons_of_one_class_alone_are_pointed_out_with_the_way_out(tmp_path: Path) -> None:
    cane: list[Item] = [(square(20 * number, 0), {"crop": "cane"}) for number in range(2)]
    path, options = geojson(tmp_path / "x", cane), {"class_field": "crop", "classes": {"cane": 1, "*": 0}}
    said = single(inspect_labels(path, LabelOptions.model_validate(options)))
    assert "of class 1 (cane); everything else is unlabelled" in said and "background=0" in said
    said = single(
        inspect_labels(path, LabelOptions.model_validate(options | {"classes": {"cane": 0}, "background": 0}))
    )
    assert "class 0, as is what lies outside them" in said
    assert warnings_of(inspect_labels(path, LabelOptions.model_validate(options | {"background": 0}))) == []


def test_a_layer_that_labels_nothing_says_so(tmp_path: Path) -> None:
    options = LabelOptions(class_field="crop", classes={"paddy": 0, "*": 255})
    path = geojson(tmp_path / "x", [(square(0, 0), {"crop": "rice"})])
    unmatched, nothing = inspect_labels(path, options).warnings
    assert (unmatched.code, nothing.code) == ("unmatched_text", "nothing_labelled")
    assert "rice 1" in unmatched.hint


def test_a_class_of_which_there_is_hardly_anything_is_pointed_out(tmp_path: Path, make_scene: MakeScene) -> None:
    items: list[Item] = [(square(0, 0, 3), {"crop": "cane"}), (square(10, 0, 100), {"crop": "rice"})]
    (note,) = inspect_labels(geojson(tmp_path / "x", items), CANE_OR_NOT).warnings
    assert note.code == "rare_class" and "labelled hectares are of class 1 (cane): 0.0899 %" in note.detail
    mask = np.zeros((1, 100, 100), dtype=np.uint8)
    mask[0, 0, :9] = 1
    (note,) = inspect_labels(make_scene(mask)).warnings
    assert note.code == "rare_class" and "of class 1: 0.09 %" in note.detail
