from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from shapely.geometry import Polygon

from ml.faults import InputRefused
from ml.geo.crs import to_wgs84
from ml.labels.classes import LabelOptions
from ml.labels.inspect import LabelReport, inspect_labels
from tests.ml.conftest import MakeScene
from tests.ml.labels.layers import Item, geojson, square

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


def test_a_star_maps_every_other_value(tmp_path: Path) -> None:
    items = [*ITEMS, (square(60, 0), {"crop": None})]
    options = LabelOptions(class_field="crop", classes={"cane": 1, "*": 0})
    assert [item.features for item in inspect_labels(geojson(tmp_path / "x", items), options).by_class] == [2, 1]


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


def test_overlapping_polygons_of_one_class_are_no_conflict(tmp_path: Path) -> None:
    assert inspect_labels(geojson(tmp_path / "x", [ITEMS[0], ITEMS[0]])).warnings == ()


def test_pixels_of_a_mask_are_counted_by_class(make_scene: MakeScene) -> None:
    mask = np.full((1, 50, 60), 255, dtype=np.uint8)
    mask[0, :10], mask[0, 10:12], mask[0, 12] = 1, 0, 7
    report = inspect_labels(make_scene(mask, nodata=7))
    assert (report.kind, report.features, report.crs) == ("raster", 0, "EPSG:32648")
    assert [(item.value, item.pixels) for item in report.by_class] == [(0, 120), (1, 600), (255, 2280)]
    assert report.by_class[1].area_ha == pytest.approx(6 * HECTARE, rel=1e-4)


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
