"""Polygons that are not valid mean what their outlines enclose, and the report says what was changed."""

import numpy as np
import pyproj
import pytest
import shapely
from shapely.geometry import MultiPolygon, Polygon, box

from ml.geo.areas import polygon_area_ha
from ml.labels.features import Feature
from ml.labels.repair import repaired

UTM_48N = pyproj.CRS("EPSG:32648")
LEFT, BOTTOM = 500_000, 2_500_000
Ring = list[tuple[float, float]]


def there(shape: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """Return the shape in the field: its units are 10 m."""
    moved: Polygon | MultiPolygon = shapely.transform(shape, lambda xy: xy * 10 + (LEFT, BOTTOM))
    return moved


def ring(polygon: Polygon) -> Ring:
    return [(x, y) for x, y in polygon.exterior.coords]


WHOLE = box(0, 0, 10, 10)
CASES: dict[str, tuple[Polygon | MultiPolygon, float, str]] = {
    "parts that overlap": (MultiPolygon([box(0, 0, 10, 10), box(5, 0, 15, 10)]), 150, "have parts that overlap"),
    "a part twice": (MultiPolygon([WHOLE, WHOLE]), 100, "have parts that overlap"),
    "a part in a part": (MultiPolygon([WHOLE, box(2, 2, 4, 4)]), 100, "have parts that overlap"),
    "a part over a hole": (
        MultiPolygon([Polygon(ring(WHOLE), [ring(box(2, 2, 4, 4))]), box(3, 3, 8, 8)]),
        97,
        "have parts that overlap",
    ),
    "bow-tie": (Polygon([(0, 0), (10, 10), (10, 0), (0, 10)]), 50, "cross or touch themselves"),
    "spike": (
        Polygon([(0, 0), (10, 0), (10, 5), (20, 5), (10, 5), (10, 10), (0, 10)]),
        100,
        "cross or touch themselves",
    ),
    "outline over itself": (
        Polygon([(0, 0), (10, 0), (10, 10), (4, 10), (4, -5), (6, -5), (6, 8), (0, 8)]),
        102,
        "cross or touch themselves",
    ),
    "outline twice round": (Polygon(ring(WHOLE)[:-1] * 2), 100, "cross or touch themselves"),
    "hole outside": (Polygon(ring(WHOLE), [ring(box(20, 0, 30, 10))]), 100, "have a hole outside their outline"),
    "hole half outside": (Polygon(ring(WHOLE), [ring(box(5, 2, 15, 8))]), 70, "have a hole outside their outline"),
    "ring twice": (Polygon(ring(WHOLE), [ring(WHOLE)]), 100, "have a ring twice"),
    "hole in a hole": (
        Polygon(ring(WHOLE), [ring(box(1, 1, 9, 9)), ring(box(2, 2, 4, 4))]),
        36,
        "have rings that touch or overlap",
    ),
    "holes that overlap": (
        Polygon(ring(WHOLE), [ring(box(1, 1, 5, 5)), ring(box(3, 3, 7, 7))]),
        72,
        "have rings that touch or overlap",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_polygon_that_is_not_valid_has_the_area_that_it_means(case: str) -> None:
    shape, area, wrong = CASES[case]
    island = there(box(100, 100, 110, 110))
    (feature, other), (note,) = repaired([Feature(there(shape), {"a": 1}), Feature(island, {})], UTM_48N)
    assert feature.geometry.is_valid and feature.geometry.area == pytest.approx(100 * area)
    assert feature.properties == {"a": 1} and other.geometry is island
    assert note.code == "repaired_geometry"
    assert note.detail.startswith(f"1 polygons {wrong} (") and note.detail.endswith(": 1.")
    after = polygon_area_ha(np.array([feature.geometry]), UTM_48N)[0]
    before = polygon_area_ha(np.array([there(shape)]), UTM_48N)[0]
    assert f"{after:.4f} ha after the repair, {after - before:+.4f} ha" in note.detail


def test_each_kind_of_repair_has_a_note_and_all_together_have_one() -> None:
    features = [Feature(there(shape), {}) for shape, _, _ in CASES.values()]
    result, notes = repaired(features, UTM_48N)
    assert sum(feature.geometry.area for feature in result) == pytest.approx(
        100 * sum(area for _, area, _ in CASES.values())
    )
    assert len(notes) == 6 and notes[-1].detail.startswith(f"{len(CASES)} polygons were repaired in all")
    numbers = [int(number) for note in notes[:-1] for number in note.detail.rsplit(": ", 1)[1].rstrip(".").split(", ")]
    assert sorted(numbers) == list(range(1, len(CASES) + 1))


def test_valid_polygons_are_not_touched() -> None:
    hole = Polygon(ring(WHOLE), [ring(box(2, 2, 8, 8))])
    island = there(MultiPolygon([hole, box(4, 4, 6, 6)]))
    result, notes = repaired([Feature(island, {})], UTM_48N)
    assert result[0].geometry is island and notes == ()
