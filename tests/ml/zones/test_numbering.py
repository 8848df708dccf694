"""To which zone each pixel of a map belongs: the same answer as for single points."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.geometry import LineString, Point, Polygon, mapping

from ml.geo.windows import Window
from ml.sampling.frame import map_grid
from ml.zones.coverage import outline_of
from ml.zones.locating import inside
from ml.zones.numbering import ZoneNumbers, centres
from ml.zones.read import ZoneOptions, Zones
from tests.ml.conftest import GRID, MakeScene

SIDE = 40
BOX = tuple[float, float, float, float]


@pytest.mark.parametrize("seed", range(4))
def test_centres_of_a_window_are_those_that_lie_inside(seed: int) -> None:
    random = np.random.default_rng(seed)
    star = Point(20, 20).buffer(18).symmetric_difference(LineString(random.uniform(0, 40, (6, 2))).buffer(2))
    outline = outline_of([Polygon(each) for each in shapely.get_parts(star)])
    window = Window(7, 5, 23, 30)
    y, x = np.mgrid[7:30, 5:35] + 0.5
    found = centres(outline, window)
    np.testing.assert_array_equal(found.ravel(), inside(outline, x.ravel(), y.ravel()))
    assert 0.2 < found.mean() < 0.9


def test_centres_on_the_edges_of_zones_that_tile_are_in_one_of_them() -> None:
    window = Window(0, 0, 10, 10)
    halves = [shapely.box(0, 0, 4.5, 10), shapely.box(4.5, 0, 10, 10), shapely.box(0, -5, 10, 0.5)]
    left, right, above = (centres(outline_of([each]), window) for each in halves)
    assert (left ^ right).all()
    assert not above[1:].any()


def numbers(make_scene: MakeScene, tmp_path: Path, boxes: dict[str, tuple[str | None, BOX]]) -> ZoneNumbers:
    map_ = make_scene(np.zeros((1, SIDE, SIDE), np.uint8), "map.tif")
    return ZoneNumbers(zones_of(tmp_path, boxes), map_grid(map_))


def zones_of(tmp_path: Path, boxes: dict[str, tuple[str | None, BOX]]) -> Zones:
    """Zones by code: their parent, and left, top, right and bottom in pixels."""
    features = [
        {
            "type": "Feature",
            "properties": {"code": code, "in": parent},
            "geometry": mapping(
                shapely.box(GRID.c + 10 * left, GRID.f - 10 * bottom, GRID.c + 10 * right, GRID.f - 10 * top)
            ),
        }
        for code, (parent, (left, top, right, bottom)) in boxes.items()
    ]
    crs = {"type": "name", "properties": {"name": "EPSG:32648"}}
    path = tmp_path / "zones.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, "crs": crs}))
    return Zones(path, ZoneOptions(code_field="code", parent_field="in"))


def test_a_pixel_belongs_to_the_smallest_zone_and_then_to_the_first(make_scene: MakeScene, tmp_path: Path) -> None:
    found = numbers(
        make_scene,
        tmp_path,
        {
            "county": (None, (0, 0, 30, 40)),
            "town": ("county", (0, 0, 10, 40)),
            "irrigated": (None, (5, 0, 35, 10)),
            "far": (None, (900, 900, 910, 910)),
        },
    )
    assert [code for code, _ in found.names] == ["county", "town", "irrigated", "far"]
    window = Window(0, 0, SIDE, SIDE)
    zones, several = found.of(window)
    wanted = np.zeros((SIDE, SIDE), int)
    wanted[:10, 30:35] = 3
    wanted[:, :30] = 1
    wanted[:, :10] = 2
    np.testing.assert_array_equal(zones, wanted)
    assert several.sum() == 10 * 25, "where the irrigated ground lies in the county, too"
    for window in (Window(3, 8, 11, 25), Window(38, 0, 2, 40)):
        part, _ = found.of(window)
        np.testing.assert_array_equal(
            part, wanted[window.row : window.row + window.rows, window.col : window.col + window.cols]
        )
