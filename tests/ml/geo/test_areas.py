from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from shapely.affinity import affine_transform
from shapely.geometry import MultiPolygon, Polygon

from ml.geo.areas import polygon_area_ha, row_area_ha
from ml.geo.crs import geod_of, to_wgs84, transformer
from ml.geo.grid import Grid
from ml.geo.windows import Window
from ml.products.write import class_areas_ha
from tests.ml.conftest import MakeScene

PX = 400


def geodesic_ha(grid: Grid) -> float:
    """Return the area of the scene's outline by Karney's geodesics, with 4 x 250 points, in hectares."""
    up, one = np.linspace(0, PX, 250), np.full(250, PX)
    cols, rows = np.concatenate([up, one, up[::-1], 0 * one]), np.concatenate([0 * one, up, one, up[::-1]])
    lon, lat = to_wgs84(grid.crs).transform(*grid.xy(cols, rows))
    return abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)[0]) / 10_000


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32648", Affine(10, 0, 300_000, 0, -10, 2_500_000)),
        ("EPSG:32648", Affine(10, 3, 300_000, 2, -10, 2_500_000)),  # sheared and rotated
        ("EPSG:3857", Affine(10, 0, 1_000_000, 0, -10, 8_000_000)),
        ("EPSG:4326", Affine(1e-4, 0, 108, 0, -1e-4, 23)),
        ("EPSG:4326", Affine(1e-4, 0, 179.98, 0, 1e-4, 23)),  # south-up, across the date line
        ("EPSG:2264", Affine(10, 0, 1_500_000, 0, -10, 600_000)),  # US survey feet
        ("EPSG:6933", Affine(10, 0, 1_000_000, 0, -10, 4_000_000)),  # equal-area
    ],
)
def test_pixel_areas_in_any_crs_equal_geodesic_areas(crs: str, transform: Affine) -> None:
    grid = Grid(PX, PX, transform, pyproj.CRS(crs))
    area_ha = row_area_ha(grid, Window(0, 0, PX, PX)).sum() * PX
    assert area_ha == pytest.approx(geodesic_ha(grid), rel=1e-6)


SQUARE = [(0, 0), (0, 900), (900, 900), (900, 0)]  # runs clockwise
HOLES = [[(100, 100), (300, 100), (300, 300), (100, 300)], [(500, 500), (500, 600), (600, 500)]]
ISLAND = Polygon([(150, 150), (250, 150), (250, 250), (150, 250)])
SHAPES = (
    Polygon(SQUARE),
    Polygon(SQUARE[::-1]),
    Polygon(SQUARE, HOLES),
    Polygon(SQUARE[::-1], [hole[::-1] for hole in HOLES]),
    MultiPolygon([Polygon(SQUARE, HOLES), ISLAND]),
    MultiPolygon(),
    Polygon(),
    MultiPolygon([ISLAND]),
)


@pytest.mark.parametrize(
    ("crs", "place"),
    [
        ("EPSG:32648", Affine(1, 0, 300_000, 0, 1, 2_500_000)),
        ("EPSG:4326", Affine(1e-5, 0, 108, 0, 1e-5, -23)),
        ("EPSG:4490", Affine(1e-5, 0, 179.9951, 0, 1e-5, 23)),  # across the date line, on another ellipsoid
        ("EPSG:2264", Affine(3, 0, 1_500_000, 0, 3, 600_000)),  # US survey feet
    ],
)
def test_polygon_areas_equal_geodesic_areas(crs: str, place: Affine) -> None:
    known = pyproj.CRS(crs)
    shapes = np.array([affine_transform(shape, place.to_shapely()) for shape in SHAPES])
    lonlat = shapely.transform(shapes, transformer(known, known.geodetic_crs).transform, interleaved=False)
    geod = geod_of(known)
    expected = [geod.geometry_area_perimeter(shape)[0] / 10_000 for shape in shapely.orient_polygons(lonlat)]
    assert polygon_area_ha(shapes, known) == pytest.approx(expected, rel=1e-9)
    for number, shape in enumerate(shapes):
        assert polygon_area_ha(np.array([shape]), known) == pytest.approx(expected[number : number + 1], rel=1e-9)


def test_holes_do_not_count_but_polygons_inside_them_do() -> None:
    square, _, cut, _, both, *empty, island = polygon_area_ha(np.array(SHAPES), pyproj.CRS("EPSG:6933"))
    assert (square, cut) == (pytest.approx(81, rel=1e-5), pytest.approx(81 - 4 - 0.5, rel=1e-5))
    assert (both, empty) == (pytest.approx(cut + island), [0, 0])
    assert len(polygon_area_ha(np.array([], object), pyproj.CRS("EPSG:6933"))) == 0


def test_a_hectare_in_web_mercator_is_a_quarter_hectare_at_60_degrees() -> None:
    grid = Grid(1, 1, Affine(100, 0, 0, 0, -100, 8_399_738), pyproj.CRS("EPSG:3857"))
    assert row_area_ha(grid, Window(0, 0, 1, 1))[0] == pytest.approx(0.25, rel=0.01)


def test_areas_of_classes_add_up_to_the_area_of_the_raster(make_scene: MakeScene) -> None:
    values = np.zeros((1, 1100, 1500), dtype=np.uint8)
    values[0, :100], values[0, 100:150], values[0, -7:, -9:] = 1, 255, 4
    areas = class_areas_ha(make_scene(values, nodata=255))
    hectare = 10.0**2 / 10_000 / 0.9996**2  # UTM scales lengths by 0.9996 on its central meridian
    assert areas == pytest.approx(
        {0: 950 * 1500 * hectare - areas[4], 1: 100 * 1500 * hectare, 255: 50 * 1500 * hectare, 4: 63 * hectare},
        rel=1e-4,
    )


def test_areas_of_a_geographic_raster_are_not_square_degrees(make_scene: MakeScene) -> None:
    path = make_scene(
        np.ones((1, 100, 100), dtype=np.uint8), crs="EPSG:4326", transform=Affine(1e-4, 0, 108, 0, -1e-4, 23)
    )
    assert class_areas_ha(path)[1] == pytest.approx(100 * 100 * 113.55 / 10_000, rel=1e-3)


def test_computing_areas_does_not_change_the_class_raster(make_scene: MakeScene) -> None:
    path: Path = make_scene(np.ones((1, 8, 8), dtype=np.uint8))
    before = path.read_bytes()
    class_areas_ha(path)
    assert path.read_bytes() == before
    with rasterio.open(path) as dataset:
        assert dataset.nodata is None
