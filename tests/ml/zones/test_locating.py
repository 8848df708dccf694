"""In which zones the centres of pixels lie."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, mapping

from ml.zones.coverage import outline_of
from ml.zones.locating import inside, pixels_by_zone
from ml.zones.read import ZoneOptions, Zones
from tests.ml.conftest import GRID, MakeScene


@pytest.mark.parametrize("seed", range(5))
def test_points_lie_where_geos_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    star = Point(10, 10).buffer(9).symmetric_difference(LineString(random.uniform(0, 20, (6, 2))).buffer(1))
    pieces = [Polygon(each) for each in shapely.get_parts(star)]
    x, y = random.uniform(-1, 21, (2, 5000))
    found = inside(outline_of(pieces), x, y)
    np.testing.assert_array_equal(found, shapely.contains_xy(MultiPolygon(pieces), x, y))
    assert 0.2 < found.mean() < 0.8


def test_what_lies_on_a_border_is_in_one_of_the_zones_beside_it() -> None:
    """Triangles around the middle of a square: centres of pixels lie on their sides and on the common corner."""
    corners = [(0, 0), (10, 0), (10, 10), (0, 10), (0, 0)]
    zones = [Polygon([a, b, (4.5, 4.5)]) for a, b in pairwise(corners)]
    y, x = np.indices((10, 10), np.float64).reshape(2, 100) + 0.5
    found = np.sum([inside(outline_of([zone]), x, y) for zone in zones], axis=0)
    np.testing.assert_array_equal(found, np.ones(100))


def test_zones_in_another_crs_and_parts_of_each_other(make_scene: MakeScene, tmp_path: Path) -> None:
    map_ = make_scene(np.zeros((1, 40, 40), np.uint8), "map.tif")
    left, top = GRID.c, GRID.f
    crs = {"type": "name", "properties": {"name": "EPSG:32648"}}
    boxes = {"p": (0, 0, 40, 40), "a": (0, 0, 20, 40), "b": (20, 0, 40, 40), "far": (90, 0, 95, 9)}
    features = [
        {
            "type": "Feature",
            "properties": {"code": code, "in": None if code == "p" else "p"},
            "geometry": mapping(shapely.box(left + 10 * west, top - 10 * south, left + 10 * east, top - 10 * north)),
        }
        for code, (west, north, east, south) in boxes.items()
    ]
    path = tmp_path / "zones.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, "crs": crs}))
    zones = Zones(path, ZoneOptions(code_field="code", parent_field="in"))
    found = pixels_by_zone(map_, zones, [0, 39, 5], [0, 39, 19])
    assert found.by_code == {"p": (0, 1, 2), "a": (0, 2), "b": (1,)}
