"""Areas of single pixels, against the same formula for each pixel and against geodesic polygons."""

import numpy as np
import pyproj
import pytest
from affine import Affine

from ml.geo.areas import pixel_area_ha
from ml.geo.areas_by_pixel import areas_by_pixel_ha
from ml.geo.crs import geod_of
from ml.geo.grid import Grid
from ml.geo.windows import Window

TURNED = Affine.translation(500_000, 2_500_000) @ Affine.rotation(30) @ Affine.scale(10, -10)
GRIDS = {
    "utm": Grid(3000, 3000, Affine(10, 0, 700_000, 0, -10, 2_550_000), pyproj.CRS(32648)),
    "degrees": Grid(3000, 3000, Affine(0.001, 0, 107, 0, -0.001, 24), pyproj.CRS(4326)),
    "turned": Grid(3000, 3000, TURNED, pyproj.CRS(32649)),
    "metres of Mercator at 60 degrees": Grid(3000, 3000, Affine(30, 0, 0, 0, -30, 8_400_000), pyproj.CRS(3857)),
    "round a pole": Grid(3000, 3000, Affine(1000, 0, -1_500_000, 0, -1000, 1_500_000), pyproj.CRS(3413)),
    "up to a pole": Grid(3000, 3000, Affine(0.01, 0, 0, 0, -0.01, 90), pyproj.CRS(4326)),
    "the whole Earth": Grid(3000, 6000, Affine(0.06, 0, -180, 0, -0.06, 90), pyproj.CRS(4326)),
    "a centimetre": Grid(3000, 3000, Affine(0.01, 0, 700_000, 0, -0.01, 2_550_000), pyproj.CRS(32648)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_every_pixel_has_its_area(name: str) -> None:
    grid, window = GRIDS[name], Window(1024, 2000, 500, 1000)
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, window.rows, 400), rng.integers(0, window.cols, 400)
    found = areas_by_pixel_ha(grid, window)
    exact = pixel_area_ha(grid, window.row + rows + 0.5, window.col + cols + 0.5)
    assert found.shape == (window.rows, window.cols)
    assert found[rows, cols] == pytest.approx(exact, rel=1e-5 if name == "a centimetre" else 1e-8)


def test_a_window_has_the_area_of_a_geodesic_polygon() -> None:
    grid, window = GRIDS["utm"], Window(0, 2000, 1024, 1000)
    along = np.linspace(0, 1, 2000)
    sides = [(along, 0 * along), (1 + 0 * along, along), (1 - along, 1 + 0 * along), (0 * along, 1 - along)]
    col, row = (np.concatenate(each) for each in zip(*sides, strict=True))
    x, y = grid.xy(window.col + col * window.cols, window.row + row * window.rows)
    lon, lat = pyproj.Transformer.from_crs(32648, 4326, always_xy=True).transform(x, y)
    area_m2, _ = geod_of(grid.crs).polygon_area_perimeter(lon, lat)
    assert areas_by_pixel_ha(grid, window).sum() == pytest.approx(abs(area_m2) / 10_000, rel=1e-9)
