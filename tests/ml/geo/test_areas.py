from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from shapely.affinity import affine_transform
from shapely.geometry import MultiPolygon, Polygon

from ml.geo.areas import count_by_class, pixel_area_ha, pixel_sides_m, polygon_area_ha, window_areas
from ml.geo.crs import full_turn, geod_of, lonlat, to_wgs84
from ml.geo.grid import Grid
from ml.geo.windows import Window
from ml.products.write import class_areas_ha
from tests.ml.conftest import MakeScene

PX = 400


@pytest.mark.parametrize(
    ("crs", "transform", "height_m", "width_m"),
    [
        ("EPSG:32648", Affine(10, 0, 500_000, 0, -20, 2_500_000), 20 / 0.9996, 10 / 0.9996),
        ("EPSG:4326", Affine(0.0001, 0, 105, 0, -0.0001, 60), 11.141, 5.580),  # a degree is 111.41 and 55.80 km there
        ("EPSG:4326", Affine(0, -0.0001, 105, 0.0001, 0, 60), 5.580, 11.141),  # turned by a quarter
        ("EPSG:3857", Affine(10, 0, 11_700_000, 0, -10, 8_399_738), 5.004, 5.0125),
        ("EPSG:4326", Affine(0.0001, 0, 179.999, 0, -0.0001, 60), 11.141, 5.580),  # across the date line
    ],
)
def test_the_sides_of_a_pixel_are_those_on_the_ground(
    crs: str, transform: Affine, height_m: float, width_m: float
) -> None:
    assert pixel_sides_m(Grid(40, 40, transform, pyproj.CRS(crs))) == pytest.approx((height_m, width_m), rel=2e-3)


def geodesic_ha(grid: Grid) -> float:
    """Return the area of the scene's outline by Karney's geodesics, with 4 x 250 points, in hectares."""
    return outline_ha(grid, 250)


def outline_ha(grid: Grid, points: int) -> float:
    """Return the area inside the outline of a grid by geodesics between points on its sides, in hectares."""
    up, one = np.linspace(0, 1, points), np.ones(points)
    cols, rows = np.concatenate([up, one, up[::-1], 0 * one]), np.concatenate([0 * one, up, one, up[::-1]])
    cols, rows = cols * grid.cols, rows * grid.rows
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
        ("EPSG:4326", Affine(0, 0.001, 104, -0.001, 0, 60)),  # turned by 90 degrees
        ("EPSG:3413", Affine(1000, 0, -2_400_000, 0, -1000, -1_900_000)),
        ("EPSG:3413", Affine(1000, 0, -150_000, 0, -1000, 210_000)),  # around the pole
    ],
)
def test_pixel_areas_in_any_crs_equal_geodesic_areas(crs: str, transform: Affine) -> None:
    grid = Grid(PX, PX, transform, pyproj.CRS(crs))
    area_ha = window_areas(grid, Window(0, 0, PX, PX)).full().sum()
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
    degrees = shapely.transform(shapes, lambda x, y: lonlat(known, x, y), interleaved=False)
    geod = geod_of(known)
    expected = [geod.geometry_area_perimeter(shape)[0] / 10_000 for shape in shapely.orient_polygons(degrees)]
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
    assert window_areas(grid, Window(0, 0, 1, 1)).full() == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", Affine(0, 0.01, 104, -0.01, 0, 60)),  # turned by 90 degrees: areas change along a row
        ("EPSG:3413", Affine(1000, 0, -2_400_000, 0, -1000, -1_900_000)),
        ("EPSG:32648", Affine(30, 0, 200_000, 0, -30, 8_000_000)),
        ("EPSG:4326", Affine(1e-4, 0, 108, 0, -1e-4, 80)),
    ],
)
def test_a_class_on_one_side_of_a_wide_map_has_the_area_of_its_outline(
    make_scene: MakeScene, crs: str, transform: Affine
) -> None:
    values = np.zeros((1, 60, 700), dtype=np.uint8)
    values[0, :, :100] = 1
    mapped = class_areas_ha(make_scene(values, crs=crs, transform=transform))
    grid = Grid(60, 100, transform, pyproj.CRS(crs))
    assert mapped[1] == pytest.approx(outline_ha(grid, 2000), rel=1e-5)
    corners = np.column_stack(grid.xy(np.array([0, 100, 100, 0]), np.array([0, 0, 60, 60])))
    assert polygon_area_ha(np.array([Polygon(corners)]), grid.crs)[0] == pytest.approx(mapped[1], rel=1e-5)


def test_single_pixels_are_counted_with_their_own_areas() -> None:
    grid = Grid(40, 50, Affine(1000, 0, -2_400_000, 0, -1000, -1_900_000), pyproj.CRS("EPSG:3413"))
    values = np.random.default_rng(0).integers(0, 4, (40, 50), dtype=np.uint8)
    rows, cols = np.meshgrid(np.arange(40) + 0.5, np.arange(50) + 0.5, indexing="ij")
    each = pixel_area_ha(grid, rows, cols)
    inside = cols > 20
    counts, area_ha = count_by_class(values, window_areas(grid, Window(0, 0, 40, 50)), where=inside)
    for value in range(4):
        assert counts[value] == ((values == value) & inside).sum()
        assert area_ha[value] == pytest.approx(each[(values == value) & inside].sum(), rel=1e-9)


@pytest.mark.parametrize(
    ("crs", "turn"),
    [
        ("EPSG:4807", 400),  # NTF (Paris), in grads
        ("EPSG:4805", 360),  # MGI (Ferro)
        ("EPSG:4326", 360),
        ("EPSG:3857", 2 * np.pi * 6_378_137),
        ("EPSG:4087", 2 * np.pi * 6_378_137),
        ("EPSG:32648", None),
        ("EPSG:3413", None),
    ],
)
def test_the_same_places_come_again_after_a_full_turn(crs: str, turn: float | None) -> None:
    assert full_turn(pyproj.CRS(crs)) == (None if turn is None else pytest.approx(turn, rel=1e-12))


def test_areas_in_grads_from_paris_equal_those_in_degrees_from_greenwich() -> None:
    paris, greenwich = pyproj.CRS("EPSG:4807"), pyproj.CRS("EPSG:4275")  # both NTF
    field = shapely.box(2.0, 46.0, 2.01, 46.005)
    in_grads = shapely.transform(field, lambda xy: (xy - (2.33722917, 0)) / 0.9)
    expected = abs(geod_of(greenwich).geometry_area_perimeter(field)[0]) / 10_000
    assert polygon_area_ha(np.array([in_grads]), paris)[0] == pytest.approx(expected, rel=1e-6)
    grid = Grid(10, 20, Affine(0.0005 / 0.9, 0, (2 - 2.33722917) / 0.9, 0, -0.0005 / 0.9, 46.005 / 0.9), paris)
    assert window_areas(grid, Window(0, 0, 10, 20)).full().sum() == pytest.approx(expected, rel=1e-6)


def test_a_lambert_grid_on_a_datum_in_grads_has_pixels_of_ten_metres() -> None:
    grid = Grid(64, 64, Affine(10, 0, 600_000, 0, -10, 2_200_000), pyproj.CRS("EPSG:27572"))
    assert window_areas(grid, Window(0, 0, 64, 64)).full() == pytest.approx(0.01 / 0.99987742**2, rel=1e-6)


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
